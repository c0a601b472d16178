package stage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
	"skiff/runtime/stage/rootfs"
)

// child is an init that was launched and waits to execute.
type child struct {
	pid     int
	pidfd   int
	conn    message.Conn
	console int // terminal master, -1 without
	helpers []*os.Process
	mounts  []string // made for the helpers
	hub     message.Conn
	bridges []int // what came with the connection to the network program
	// gone, if any, is closed to end the thread that cloned it.
	gone chan struct{}
}

// launch leads an init to RootReady: ahead, when it was cloned before its
// configuration was known, else a new one. stdio are its standard streams, given
// descriptors for it: the root's mount, if the front has made it already, or
// what else init wants. Where the kernel refuses overlay, fuse-overlayfs is tried.
// On error nothing is left behind.
func launch(l *message.Launch, ahead *child, stdio [3]uintptr, given ...int) (*child, error) {
	if l.Overlay != nil && len(l.Overlay.UIDMap)+len(l.Overlay.GIDMap) > 0 {
		return launchFuse(l, stdio)
	}
	c, err := tryLaunch(l, ahead, stdio, given)
	if errors.Is(err, rootfs.ErrNoOverlay) && l.Overlay.Fuse != "" {
		return launchFuse(l, stdio)
	}
	return c, err
}

// launchFuse is launch with a root of fuse-overlayfs.
func launchFuse(l *message.Launch, stdio [3]uintptr) (*child, error) {
	fuse, err := rootfs.Fuse(l.Overlay)
	if err != nil {
		return nil, err
	}
	target := l.Overlay.Target
	l.Overlay = nil
	var c *child
	root, err := rootfs.CloneDir(target)
	if err == nil {
		c, err = tryLaunch(l, nil, stdio, []int{root})
		unix.Close(root)
	}
	if err != nil {
		c = &child{pidfd: -1, conn: message.Conn{FD: -1}, console: -1, hub: message.Conn{FD: -1}}
	}
	c.helpers, c.mounts = append(c.helpers, fuse), append(c.mounts, target)
	if err != nil {
		c.release()
		return nil, err
	}
	return c, nil
}

func tryLaunch(l *message.Launch, c *child, stdio [3]uintptr, given []int) (_ *child, err error) {
	if c == nil {
		if c, err = clone(l, stdio); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			c.abandon()
		}
	}()
	if err := EnterCgroups(l.Cgroups, c.pid); err != nil {
		return nil, err
	}
	fds := given
	if l.Overlay != nil && len(given) == 0 {
		root, err := rootfs.Overlay(l.Overlay)
		if errors.Is(err, rootfs.ErrNoOverlay) {
			if older, failed := rootfs.OldOverlay(l.Overlay); failed == nil {
				root, err = older, nil
			}
		}
		if err != nil {
			return nil, err
		}
		defer unix.Close(root)
		fds = []int{root}
	}
	if err := c.conn.SendLaunch(l, slices.Concat(fds, l.Kept)...); err != nil {
		return nil, fmt.Errorf("send configuration: %w", err)
	}
	if l.OpenSources {
		if err := c.sendSources(l); err != nil {
			return nil, err
		}
	}
	return c, c.awaitRoot(l)
}

// clone makes an init that waits for its configuration.
func clone(l *message.Launch, stdio [3]uintptr) (*child, error) {
	ours, theirs, err := message.Pair()
	if err != nil {
		return nil, err
	}
	c := &child{pidfd: -1, conn: ours, console: -1, hub: message.Conn{FD: -1}}
	err = c.spawn(l, stdio, theirs)
	unix.Close(theirs.FD)
	if err != nil {
		c.abandon()
		return nil, err
	}
	return c, nil
}

// spawn clones this very program into new namespaces.
func (c *child) spawn(l *message.Launch, stdio [3]uintptr, theirs message.Conn) error {
	joins := l.Join
	if l.PidNS != "" {
		joins = append([]message.Namespace{{Flag: unix.CLONE_NEWPID, Path: l.PidNS}}, joins...)
	}
	attr := &syscall.SysProcAttr{
		Cloneflags: l.CloneFlags,
		PidFD:      &c.pidfd,
	}
	// Not into another pid namespace: there the child sees no parent, and Go takes
	// that for a dead one. Init sets the signal itself.
	if !l.Orphan && l.PidNS == "" {
		// The thread that launches is locked and lives as long as the process:
		// init dies with its monitor, whatever kills that.
		attr.Pdeathsig = syscall.SIGKILL
	}
	if len(l.UIDMap) > 0 {
		for _, m := range l.UIDMap {
			attr.UidMappings = append(attr.UidMappings, syscall.SysProcIDMap{ContainerID: m.Container, HostID: m.Host, Size: m.Size})
		}
		for _, m := range l.GIDMap {
			attr.GidMappings = append(attr.GidMappings, syscall.SysProcIDMap{ContainerID: m.Container, HostID: m.Host, Size: m.Size})
		}
		attr.GidMappingsEnableSetgroups = true
		attr.Credential = &syscall.Credential{Uid: 0, Gid: 0, NoSetGroups: true}
	}
	files := []uintptr{stdio[0], stdio[1], stdio[2], uintptr(theirs.FD)}
	for i := range l.KeepFDs {
		files = append(files, uintptr(controlFD+1+i))
	}
	fork := func() (err error) {
		c.pid, err = syscall.ForkExec(selfPath, []string{string(RoleInit)}, &syscall.ProcAttr{Env: Environ(), Files: files, Sys: attr})
		if err != nil {
			return fmt.Errorf("clone init: %w", err)
		}
		return nil
	}
	if len(l.Join) > 0 {
		c.gone = make(chan struct{})
		return onThread(joins, c.gone, fork)
	}
	if err := join(joins); err != nil {
		return err
	}
	return fork()
}

// onThread calls do on a thread that join has namespaces of. It cannot come back
// from there: ours may be of a user namespace above. It lives until gone is
// closed, because what it clones ends with it.
func onThread(list []message.Namespace, gone <-chan struct{}, do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := join(list)
		if err == nil {
			err = do()
		}
		done <- err
		if err == nil {
			<-gone
		}
	}()
	return <-done
}

// awaitRoot answers what init asks for until its root is ready.
func (c *child) awaitRoot(l *message.Launch) error {
	for {
		t, body, fds, err := c.conn.Recv()
		if err != nil {
			return c.died(err)
		}
		switch t {
		case message.NetworkWanted:
			if err := c.connect(l); err != nil {
				return c.cause(err)
			}
			if err := c.conn.Send(message.NetworkReady, nil); err != nil {
				return c.died(err)
			}
		case message.HooksWanted:
			if err := c.runHooks(&l.Hooks); err != nil {
				return err
			}
		case message.ConsoleReady:
			if len(fds) != 1 || c.console >= 0 {
				return errors.New("init sent no terminal")
			}
			c.console = fds[0]
		case message.RootReady:
			return nil
		case message.StepFailed:
			return parseFailure(body)
		default:
			return fmt.Errorf("init sent message %d", t)
		}
	}
}

// runHooks runs the hooks of creation in this namespace and lets init go on.
func (c *child) runHooks(h *message.Hooks) error {
	st := h.State
	st.Pid = c.pid
	if err := runHooks(h.Prestart, st, "creating", true); err != nil {
		return fmt.Errorf("prestart hook: %w", err)
	}
	if err := runHooks(h.CreateRuntime, st, "creating", true); err != nil {
		return fmt.Errorf("createRuntime hook: %w", err)
	}
	if err := c.conn.Send(message.HooksDone, nil); err != nil {
		return c.died(err)
	}
	return nil
}

// start lets init execute and returns when it has: the socket closes on exec.
func (c *child) start() error {
	if err := c.conn.Send(message.StartGranted, nil); err != nil {
		return c.died(err)
	}
	t, body, _, err := c.conn.Recv()
	switch {
	case errors.Is(err, io.EOF):
		c.conn.Close()
		c.conn.FD = -1
		return nil
	case err != nil:
		return c.died(err)
	case t == message.StepFailed:
		return parseFailure(body)
	}
	return fmt.Errorf("init sent message %d", t)
}

// died says why init went without a word, or with one, although err was met
// first.
func (c *child) died(err error) error {
	return c.cause(fmt.Errorf("init (pid %d) ended early: %w", c.pid, err))
}

// endingPatience is how long an init that may be ending gets for it, in
// milliseconds. It is spent on errors only.
const endingPatience = 100

// cause is err unless that comes from init's end: then what init said last.
func (c *child) cause(err error) error {
	// It may be about to end: its namespaces go before it is a zombie.
	if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(c.pidfd), Events: unix.POLLIN}}, endingPatience); n == 0 && !errors.Is(err, unix.EPIPE) {
		return err
	}
	for {
		t, body, fds, failed := c.conn.Recv()
		closeAll(fds)
		switch {
		case failed != nil:
			return err
		case t == message.StepFailed:
			return parseFailure(body)
		}
	}
}

// abandon kills an init that is not wanted any more and waits for its end.
func (c *child) abandon() {
	if c.pid > 0 {
		_ = unix.PidfdSendSignal(c.pidfd, unix.SIGKILL, nil, 0)
		wait(c.pid)
	}
	c.release()
}

// release closes what the parent holds of the child and ends its helper.
func (c *child) release() {
	for _, fd := range [...]int{c.pidfd, c.conn.FD, c.console} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	c.pidfd, c.conn.FD, c.console = -1, -1, -1
	if c.gone != nil {
		close(c.gone)
		c.gone = nil
	}
	c.leaveHub()
	// Unmounted first: a helper that serves one ends well then, and the mount
	// point could not be removed else.
	for _, target := range c.mounts {
		_ = unix.Unmount(target, unix.MNT_DETACH)
	}
	for _, p := range c.helpers {
		_ = p.Kill()
		_, _ = p.Wait()
	}
	c.helpers, c.mounts = nil, nil
}

// wait collects a child and returns its exit code as a shell would tell it.
func wait(pid int) int {
	var ws syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &ws, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return 255
		}
		return exitCode(ws)
	}
}
