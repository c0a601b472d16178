package stage

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

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
		err = json.Unmarshal(l.Init, &cfg)
	}
	if err != nil {
		return 125
	}
	cfg.Process.Seccomp = l.Filter
	err = runInit(parent, &cfg, fds)
	// Only a failure comes back from there.
	failure := &message.Failure{Code: 125}
	if !errors.As(err, &failure) {
		failure = &message.Failure{Code: 125, Text: err.Error()}
	}
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
		if err := os.WriteFile("/proc/self/oom_score_adj", fmt.Appendf(nil, "%d", *p.OOMScore), 0); err != nil {
			return fmt.Errorf("set oom_score_adj: %w (an ordinary user may only raise it)", err)
		}
	}
	root, err := makeRoot(cfg, fds)
	if err != nil {
		return err
	}
	term, err := openTerminal(parent, root, p)
	if err != nil {
		return err
	}
	if err := runHooks(cfg.CreateHooks, cfg.State, "created"); err != nil {
		return fmt.Errorf("createContainer hook: %w", err)
	}
	if err := protectRoot(cfg, root); err != nil {
		return err
	}
	if cfg.NetworkWanted {
		if _, err := parent.Expect(message.NetworkReady, nil); err != nil {
			return fmt.Errorf("wait for network: %w", err)
		}
	}
	if err := root.Pivot(); err != nil {
		return err
	}
	if err := setNames(cfg); err != nil {
		return err
	}
	if err := parent.Send(message.RootReady, nil); err != nil {
		return err
	}
	if err := awaitStart(parent, cfg.StartFIFO, fds); err != nil {
		return err
	}
	if err := runHooks(cfg.StartHooks, cfg.State, "created"); err != nil {
		return fmt.Errorf("startContainer hook: %w", err)
	}
	ready, err := enter(p, term)
	if err != nil {
		return err
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
		err = unix.Setns(fd, ns.Flag)
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("join namespace %s: %w", ns.Path, err)
		}
	}
	return nil
}

// makeRoot mounts the root and everything in it.
func makeRoot(cfg *message.Init, fds []int) (*rootfs.Root, error) {
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
	if prop == 0 {
		prop = unix.MS_PRIVATE
	}
	if err := root.SetPropagation(prop); err != nil {
		return nil, fmt.Errorf("root propagation: %w", err)
	}
	for i := range cfg.Copies {
		if err := root.Fill(&cfg.Copies[i]); err != nil {
			return nil, fmt.Errorf("fill volume: %w", err)
		}
	}
	for i := range cfg.Mounts {
		if err := root.Mount(&cfg.Mounts[i]); err != nil {
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
		if err := root.File(&cfg.Files[i]); err != nil {
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

// awaitStart waits for the word to execute: from the parent, or from the OCI
// command line's start, which opens the other end of a FIFO.
func awaitStart(parent message.Conn, fifo bool, fds []int) error {
	if !fifo {
		_, err := parent.Expect(message.StartGranted, nil)
		return err
	}
	// The descriptor was opened with O_PATH before the pivot; the create
	// command waits for the connection to close.
	if err := parent.Close(); err != nil {
		return err
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fds[len(fds)-1]), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open start fifo: %w", err)
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte{0})
	return err
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
