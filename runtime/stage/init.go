package stage

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
	"skiff/runtime/stage/rootfs"
)

// initMain is the container's first process until it executes the user's
// program. The order is the OCI runtime specification's (runtime.md,
// "Lifecycle"); each step's error carries its name.
func initMain(parent message.Conn) int {
	var cfg message.Init
	var l message.Launch
	fds, err := parent.RecvLaunch(&l)
	if err == nil {
		err = message.Decode(l.Init, &cfg)
	}
	if err != nil {
		return 125
	}
	cfg.Process.Seccomp = l.Filter
	fds, err = place(&parent, &cfg.Process, fds)
	if err == nil {
		err = runInit(parent, &cfg, fds)
	}
	// Only a failure comes back from there.
	failure := asFailure(err)
	// The parent may be gone; then nobody is left to tell.
	_ = parent.SendJSON(message.StepFailed, failure)
	return failure.Code
}

func runInit(parent message.Conn, cfg *message.Init, fds []int) error {
	p := &cfg.Process
	unix.Umask(0)
	if _, err := unix.Setsid(); err != nil && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("setsid: %w", err)
	}
	if err := join(cfg.Join); err != nil {
		return err
	}
	if cfg.CgroupNS {
		if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
			return fmt.Errorf("make cgroup namespace: %w", err)
		}
	}
	if cfg.Loopback {
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("bring up loopback: %w", err)
		}
	}
	if cfg.NetworkWanted {
		if err := parent.Send(message.NetworkWanted, nil); err != nil {
			return err
		}
	}
	if p.OOMScore != nil {
		if err := SetOOMScore("self", *p.OOMScore); err != nil {
			return err
		}
	}
	root, err := makeRoot(parent, cfg, fds)
	if err != nil {
		return err
	}
	term, err := openTerminal(parent, root, p)
	if err != nil {
		return err
	}
	if cfg.HooksWanted {
		if err := awaitHooks(parent, cfg); err != nil {
			return err
		}
	}
	cfg.State.Pid = os.Getpid()
	if err := runHooks(cfg.CreateHooks, cfg.State, "creating", cfg.StartFIFO); err != nil {
		return fmt.Errorf("createContainer hook: %w", err)
	}
	if err := awaitNetwork(parent, cfg); err != nil {
		return err
	}
	descriptors := -1
	if cfg.StartFIFO {
		// Looked up now: the container need not have a /proc.
		if descriptors, err = unix.Open("/proc/self/fd", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("open descriptors: %w", err)
		}
	}
	if err := enterRoot(cfg, root); err != nil {
		return err
	}
	if err := setNames(cfg); err != nil {
		return err
	}
	if cfg.StartFIFO {
		// create says so, as other runtimes do; start would find it too.
		if err := present(p); err != nil {
			return err
		}
	}
	if err := parent.Send(message.RootReady, nil); err != nil {
		return err
	}
	if !cfg.StartFIFO {
		if _, err := parent.Expect(message.StartGranted, nil); err != nil {
			return err
		}
		return finish(cfg, term, parent.FD)
	}
	fifo, err := awaitFIFO(parent, p.KeepFDs, fds[len(fds)-1], descriptors)
	if err != nil {
		return err
	}
	err = finish(cfg, term, -1)
	tellFIFO(fifo, err)
	return err
}

// awaitHooks lets the parent run the hooks that come between the mounts and
// createContainer's. They may use the network.
func awaitHooks(parent message.Conn, cfg *message.Init) error {
	if err := awaitNetwork(parent, cfg); err != nil {
		return err
	}
	if err := parent.Send(message.HooksWanted, nil); err != nil {
		return err
	}
	_, err := parent.Expect(message.HooksDone, nil)
	return err
}

// awaitNetwork waits for the network, once, if it was asked for.
func awaitNetwork(parent message.Conn, cfg *message.Init) error {
	if !cfg.NetworkWanted {
		return nil
	}
	cfg.NetworkWanted = false
	if _, err := parent.Expect(message.NetworkReady, nil); err != nil {
		return fmt.Errorf("wait for network: %w", err)
	}
	return nil
}

// finish is what start stands for; control is the connection to the parent, -1
// without. It returns only what went wrong.
func finish(cfg *message.Init, term, control int) error {
	if err := runHooks(cfg.StartHooks, cfg.State, "created", cfg.StartFIFO); err != nil {
		return fmt.Errorf("startContainer hook: %w", err)
	}
	ready, err := enter(&cfg.Process, term, !cfg.Pause)
	if err != nil {
		return err
	}
	if os.Getppid() == 0 && os.Getpid() != 1 && !cfg.Process.Orphan {
		// In another container's pid namespace; see spawn.
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
			return fmt.Errorf("end with the monitor: %w", err)
		}
	}
	ready.control = control
	if cfg.Pause {
		return ready.pause()
	}
	return ready.execute(cfg.Reaper)
}

// join enters the namespaces that another process made.
func join(list []message.Namespace) error {
	for _, ns := range list {
		fd, err := unix.Open(ns.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open namespace %s: %w", ns.Path, err)
		}
		if ns.Flag == unix.CLONE_NEWNS {
			// Only a thread that shares no working directory may (setns(2)).
			err = unix.Unshare(unix.CLONE_FS)
		}
		if err == nil {
			err = unix.Setns(fd, ns.Flag)
		}
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("join namespace %s: %w", ns.Path, err)
		}
	}
	return nil
}

// SetOOMScore sets the oom_score_adj (proc(5)) of a process, which /proc names so.
func SetOOMScore(process string, score int) error {
	if err := os.WriteFile("/proc/"+process+"/oom_score_adj", strconv.AppendInt(nil, int64(score), 10), 0); err != nil {
		return fmt.Errorf("set oom_score_adj: %w (an ordinary user may only raise it)", err)
	}
	return nil
}

// makeRoot mounts the root and everything in it.
func makeRoot(parent message.Conn, cfg *message.Init, fds []int) (*rootfs.Root, error) {
	if cfg.Chroot {
		return rootfs.Open(cfg.Root)
	}
	// Slave first: what we mount stays ours, what the host mounts may still
	// arrive where a bind asks for it.
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return nil, fmt.Errorf("make / slave: %w", err)
	}
	var root *rootfs.Root
	var err error
	mounts := len(fds)
	if cfg.StartFIFO {
		mounts--
	}
	if mounts > 0 {
		root, err = rootfs.FromMount(fds[0], cfg.Mountpoint)
	} else {
		root, err = rootfs.FromDir(cfg.Root)
	}
	if err != nil {
		return nil, err
	}
	prop := cfg.RootPropagation
	if prop == 0 || prop&unix.MS_SHARED != 0 {
		prop = unix.MS_PRIVATE // see shareRoot
	}
	if err := root.SetPropagation(prop); err != nil {
		return nil, fmt.Errorf("root propagation: %w", err)
	}
	var given sources
	if cfg.OpenSources {
		if given, err = receiveSources(parent, cfg.Sources()); err != nil {
			return nil, err
		}
	}
	for i := range cfg.Copies {
		if err := root.Fill(&cfg.Copies[i], given.next()); err != nil {
			return nil, fmt.Errorf("fill volume: %w", err)
		}
	}
	for i := range cfg.Mounts {
		source := -1
		if cfg.Mounts[i].Opened() {
			source = given.next()
		}
		if err := root.Mount(&cfg.Mounts[i], source); err != nil {
			return nil, err
		}
	}
	if cfg.DefaultDevices {
		if err := root.DefaultDevices(); err != nil {
			return nil, err
		}
	}
	for i := range cfg.Devices {
		if err := root.Device(&cfg.Devices[i]); err != nil {
			return nil, err
		}
	}
	for i := range cfg.Files {
		if err := root.File(&cfg.Files[i], given.next()); err != nil {
			return nil, err
		}
	}
	return root, nil
}

// openTerminal makes the process's terminal in the container's devpts and hands
// its master to the parent. It returns the slave, or -1 without a terminal.
func openTerminal(parent message.Conn, root *rootfs.Root, p *message.Process) (int, error) {
	if !p.Terminal {
		return -1, nil
	}
	master, slave, err := root.Terminal(0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(master)
	setSize(master, p.Size)
	if err := parent.Send(message.ConsoleReady, nil, master); err != nil {
		return -1, err
	}
	return slave, nil
}

// enterRoot makes the root that of this process, protected as it shall be.
func enterRoot(cfg *message.Init, root *rootfs.Root) error {
	if cfg.Chroot {
		return root.Chroot()
	}
	if err := protectRoot(cfg, root); err != nil {
		return err
	}
	if err := root.Pivot(); err != nil {
		return err
	}
	return shareRoot(cfg.RootPropagation)
}

// protectRoot does what must come after all mounts and before the pivot.
func protectRoot(cfg *message.Init, root *rootfs.Root) error {
	if err := setSysctls(root, cfg.Sysctl); err != nil {
		return err
	}
	if err := root.Protect(cfg.Readonly); err != nil {
		return err
	}
	if err := root.Mask(cfg.Masked); err != nil {
		return err
	}
	if cfg.ReadonlyRoot {
		if err := root.SetReadonly(); err != nil {
			return fmt.Errorf("read-only root: %w", err)
		}
	}
	return nil
}

// shareRoot makes the root shared where that is wanted: pivot_root(2) refuses a
// shared one, so that it comes after.
func shareRoot(propagation uintptr) error {
	if propagation&unix.MS_SHARED == 0 {
		return nil
	}
	if err := unix.Mount("", "/", "", propagation, ""); err != nil {
		return fmt.Errorf("root propagation: %w", err)
	}
	return nil
}

func setSysctls(root *rootfs.Root, list []message.Setting) error {
	for _, s := range list {
		if err := root.WriteProc("sys/"+s.Name, s.Value); err != nil {
			return fmt.Errorf("sysctl %s: %w", s.Name, err)
		}
	}
	return nil
}

func setNames(cfg *message.Init) error {
	if cfg.Hostname != "" {
		if err := unix.Sethostname([]byte(cfg.Hostname)); err != nil {
			return fmt.Errorf("set hostname: %w", err)
		}
	}
	if cfg.Domainname != "" {
		if err := unix.Setdomainname([]byte(cfg.Domainname)); err != nil {
			return fmt.Errorf("set domainname: %w", err)
		}
	}
	return nil
}

// awaitFIFO waits for the OCI command line's start to open the other end of the
// FIFO, and returns ours. It was opened with O_PATH before the pivot, and is opened
// again by its name in the directory descriptors; create waits for its connection
// to close.
func awaitFIFO(parent message.Conn, keep, fifo, descriptors int) (int, error) {
	defer unix.Close(descriptors)
	if err := parent.Close(); err != nil {
		return -1, err
	}
	// Descriptors to keep came behind the connection and belong in its place.
	for i := range keep {
		if err := unix.Dup3(controlFD+1+i, controlFD+i, 0); err != nil {
			return -1, fmt.Errorf("move descriptor: %w", err)
		}
	}
	name := strconv.Itoa(fifo)
	fd, err := unix.Openat(descriptors, name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	for errors.Is(err, unix.EINTR) {
		fd, err = unix.Openat(descriptors, name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return -1, fmt.Errorf("open start fifo: %w", err)
	}
	if _, err := unix.Write(fd, []byte{0}); err != nil {
		return -1, fmt.Errorf("answer start: %w", err)
	}
	return fd, nil
}

// tellFIFO tells start why the program was not executed.
func tellFIFO(fd int, err error) {
	if body, err := json.Marshal(asFailure(err)); err == nil {
		// It may be gone; then nobody is left to tell.
		_, _ = unix.Write(fd, body)
	}
}

// present makes sure that the program is there, as far as that can be told
// before start. Who may execute it is known only later.
func present(p *message.Process) error {
	look := *p
	if name := p.Args[0]; strings.Contains(name, "/") && !path.IsAbs(name) {
		look.Args = []string{path.Join(p.Cwd, name)}
	}
	if _, failed := findExecutable(&look); failed != nil && failed.Code == 127 {
		return failed
	}
	return nil
}

func asFailure(err error) *message.Failure {
	failure := &message.Failure{Code: 125}
	if !errors.As(err, &failure) {
		failure = &message.Failure{Code: 125, Text: err.Error()}
	}
	return failure
}

func setSize(fd int, s message.Size) {
	if s.Rows > 0 || s.Cols > 0 {
		// A terminal without a size still works.
		_ = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: s.Rows, Col: s.Cols})
	}
}

// loopbackUp sets the interface lo up in the current network namespace.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req); err != nil {
		return err
	}
	req.SetUint16(req.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}
