package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/runtime/cgroup"
	"skiff/runtime/embedded"
	"skiff/runtime/launch"
	"skiff/runtime/seccomp"
	"skiff/runtime/stage"
	"skiff/runtime/stage/message"
	"skiff/storage/atomicfile"
	"skiff/storage/container"
	"skiff/storage/lock"
)

// CreateOptions say what to make a container of.
type CreateOptions struct {
	ID            string
	Bundle        string // its directory
	Cache         string // keeps the stage program and compiled filters
	ConsoleSocket string // gets the terminal's master, when the process has one
	PIDFile       string
	KeepFDs       int // descriptors from 3 on that the process inherits
	// Attached says that the caller takes the terminal's master itself.
	Attached   bool
	Rows, Cols uint16 // of that terminal
}

// Create makes a container whose process waits for Start, with the caller's
// standard streams. console is the terminal's master with o.Attached, the
// caller's to close, else nil. It returns ErrExists when the id is taken. On
// error nothing is left.
func Create(root StateRoot, o *CreateOptions) (_ *Container, _ *os.File, err error) {
	if err := checkID(o.ID); err != nil {
		return nil, nil, err
	}
	b, err := Load(o.Bundle)
	if err != nil {
		return nil, nil, err
	}
	if err := checkTerminal(b.Spec.Process, o); err != nil {
		return nil, nil, err
	}
	c, held, err := claim(root, o.ID, b)
	if err != nil {
		return nil, nil, err
	}
	defer held.Release()
	defer func() {
		if err != nil {
			stage.LeaveCgroups(c.Cgroups)
			err = errors.Join(err, os.RemoveAll(c.dir))
			root.tidy()
		}
	}()
	console, err := c.launch(b, o)
	if err != nil {
		return nil, nil, err
	}
	if err := c.handOver(o, &console); err != nil {
		_ = c.signal(unix.SIGKILL) // it may have died of the same cause
		return nil, nil, err
	}
	return c, console, nil
}

func checkTerminal(p *rspec.Process, o *CreateOptions) error {
	switch {
	case p.Terminal && o.ConsoleSocket == "" && !o.Attached:
		return errors.New("cannot allocate tty if runc will detach without setting console socket")
	case !p.Terminal && o.ConsoleSocket != "":
		return errors.New("cannot use console socket if runc will not detach or allocate tty")
	}
	return nil
}

// claim publishes the container's directory, whole, under its id, and returns
// it with its lock: as long as that is held it is being created.
func claim(root StateRoot, id string, b *Bundle) (_ *Container, _ *lock.Lock, err error) {
	config, err := json.Marshal(b.Spec)
	if err != nil {
		return nil, nil, err
	}
	temp, err := root.temp()
	if err != nil {
		return nil, nil, fmt.Errorf("make state directory: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
			root.tidy()
		}
	}()
	c := &Container{dir: temp, record: record{
		Version: b.Spec.Version, ID: id, Bundle: b.Dir, Rootfs: b.Root, Created: time.Now().UTC(),
		Annotations: b.Spec.Annotations, Owner: rootless.UID(), BootID: container.BootID(),
	}}
	held, err := lock.TryDir(temp)
	if err != nil {
		return nil, nil, err
	}
	err = atomicfile.Write(filepath.Join(temp, configFile), config, 0o600, atomicfile.Volatile)
	if err == nil {
		err = c.write()
	}
	if err == nil {
		err = unix.Mkfifo(filepath.Join(temp, startFIFO), 0o600)
	}
	if err == nil {
		// The process may be another user (config-linux.md, "User namespace
		// mappings"); it has a descriptor, nobody else passes the directory.
		err = os.Chmod(filepath.Join(temp, startFIFO), 0o622)
	}
	if err == nil {
		c.dir = filepath.Join(string(root), id)
		err = os.Rename(temp, c.dir) // refuses a directory that is not empty
		if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
			err = fmt.Errorf("container %q: %w", id, ErrExists)
		}
	}
	if err != nil {
		held.Release()
		return nil, nil, err
	}
	return c, held, nil
}

// temp makes a directory that readers of the root skip. The root may be tidied
// away under our feet.
func (r StateRoot) temp() (string, error) {
	for tries := 0; ; tries++ {
		if err := os.MkdirAll(string(r), 0o700); err != nil {
			return "", err
		}
		dir, err := os.MkdirTemp(string(r), ".create-")
		if !errors.Is(err, fs.ErrNotExist) || tries == 10 {
			return dir, err
		}
	}
}

// tidy removes the root if no container is left.
func (r StateRoot) tidy() { _ = os.Remove(string(r)) }

// launch leads the container's process to where it waits for Start.
func (c *Container) launch(b *Bundle, o *CreateOptions) (*os.File, error) {
	if err := c.confine(b.Spec.Linux); err != nil {
		return nil, err
	}
	l, err := c.messages(b, o)
	if err != nil {
		return nil, err
	}
	l.Cgroups = c.Cgroups
	fifo, err := unix.Open(filepath.Join(c.dir, startFIFO), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", startFIFO, err)
	}
	defer unix.Close(fifo)
	conn, launcher, err := spawnLauncher(o)
	if err != nil {
		return nil, err
	}
	defer func() { _, _ = syscall.Wait4(launcher, nil, 0, nil) }()
	defer conn.Close()
	err = conn.SendConfig(message.LaunchConfig, l)
	if err == nil {
		err = conn.SendLaunch(l, fifo)
	}
	if err != nil {
		return nil, err
	}
	var console *os.File
	if b.Spec.Process.Terminal {
		fds, err := conn.Expect(message.ConsoleReady, nil)
		if err == nil && len(fds) != 1 {
			err = errors.New("create sent no terminal")
		}
		if err != nil {
			return nil, err
		}
		console = os.NewFile(uintptr(fds[0]), "terminal")
	}
	var started message.Running
	if _, err := conn.Expect(message.Started, &started); err != nil {
		return nil, err
	}
	c.Pid, c.PidStart = started.Pid, container.StartTime(started.Pid)
	return console, nil
}

// confine makes the container's control groups. They are recorded before there is
// anything in them, so that who deletes it finds them.
func (c *Container) confine(s *rspec.Linux) error {
	if s == nil {
		return nil
	}
	g, unmet, err := cgroup.ForSpec(c.ID, s.CgroupsPath, s.Resources)
	switch {
	case err != nil:
		return err
	case g == nil && cgroup.Limits(s.Resources):
		c.unmet = "resource limits are not applied: no cgroup is made"
	case len(unmet) > 0:
		c.unmet = "resource limits are not applied that this kernel does not know: " + strings.Join(unmet, ", ")
	}
	if !slices.ContainsFunc(s.Namespaces, func(n rspec.LinuxNamespace) bool { return n.Type == rspec.MountNamespace }) {
		c.unmet = strings.TrimPrefix(c.unmet+"; ", "; ") + "without a mount namespace of its own a container has no mounts, devices, sysctls, masked or read-only paths"
	}
	if g == nil {
		return nil
	}
	c.Cgroups = g.Dirs
	return c.write()
}

func (c *Container) messages(b *Bundle, o *CreateOptions) (*message.Launch, error) {
	s := b.Spec
	if rootless.Rootless() {
		if err := adaptMappings(s); err != nil {
			return nil, err
		}
	}
	in := &launch.Input{
		ID: c.ID, Bundle: b.Dir, RootDir: b.Root, StartFIFO: true, Orphan: true, KeepFDs: o.KeepFDs,
		OwnCgroup: len(c.Cgroups) > 0, MountNamespace: fmt.Sprintf("/proc/%d/ns/mnt", os.Getppid()),
		Size: message.Size{Rows: o.Rows, Cols: o.Cols},
	}
	var err error
	if in.Filter, err = filter(o.Cache, s); err != nil {
		return nil, err
	}
	if o.KeepFDs > 0 {
		// sd_listen_fds(3); init adds LISTEN_PID.
		s.Process.Env = append(s.Process.Env, "LISTEN_FDS="+strconv.Itoa(o.KeepFDs))
	}
	return launch.Messages(s, in)
}

func filter(cache string, s *rspec.Spec) (*seccomp.Filter, error) {
	if s.Linux == nil || s.Linux.Seccomp == nil {
		return nil, nil
	}
	return seccomp.FromSpec(cache, s.Linux.Seccomp)
}

// spawnLauncher starts the stage as "create": the process will be its child,
// and the caller's once it has ended.
func spawnLauncher(o *CreateOptions) (message.Conn, int, error) {
	path, file, err := embedded.Stage(o.Cache)
	if err != nil {
		return message.Conn{}, 0, err
	}
	if file != nil {
		defer file.Close()
	}
	ours, theirs, err := message.Pair()
	if err != nil {
		return ours, 0, err
	}
	defer theirs.Close()
	files := []uintptr{0, 1, 2, uintptr(theirs.FD)}
	for i := range o.KeepFDs {
		files = append(files, uintptr(3+i))
	}
	pid, err := syscall.ForkExec(path, []string{string(stage.RoleCreate)}, &syscall.ProcAttr{Env: stage.Environ(), Files: files})
	if err != nil {
		ours.Close()
		return ours, 0, fmt.Errorf("start %s: %w", stage.RoleCreate, err)
	}
	return ours, pid, nil
}

// handOver tells everybody who asked about the process: terminal, pid, state.
func (c *Container) handOver(o *CreateOptions, console **os.File) error {
	if *console != nil && o.ConsoleSocket != "" {
		err := SendConsole(o.ConsoleSocket, *console)
		(*console).Close()
		*console = nil
		if err != nil {
			return err
		}
	}
	if err := c.write(); err != nil {
		return err
	}
	return WritePIDFile(o.PIDFile, c.Pid)
}

// WritePIDFile publishes pid as path, whole, unless path is empty.
func WritePIDFile(path string, pid int) error {
	if path == "" {
		return nil
	}
	return atomicfile.Write(path, []byte(strconv.Itoa(pid)), 0o644, atomicfile.Volatile)
}

// Unmet says what the configuration asks for and is not applied, and why; empty when
// all is.
func (c *Container) Unmet() string { return c.unmet }
