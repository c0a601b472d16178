package stage

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/hub"
	"skiff/runtime/stage/message"
)

// connect gives init's network namespace a way out: by the network program, or
// by a helper of its own.
func (c *child) connect(l *message.Launch) error {
	if l.Hub != nil {
		return c.attach(l.Hub)
	}
	h := l.Network
	if h == nil {
		return nil
	}
	if err := c.connectWith(h); err != nil {
		return fmt.Errorf("network: %s: %w", h.Path, err)
	}
	return nil
}

// attach connects init's network namespace to the networks of the user, for as
// long as we hold the connection. The namespace with the bridges is kept open, so
// that they outlive a network program that is killed.
func (c *child) attach(h *message.Hub) error {
	netns, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", c.pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer unix.Close(netns)
	conn, fds, err := hub.Ask(h, message.NetworkAttach, h.Request, message.NetworkAttached, netns)
	if err != nil {
		return err
	}
	c.leaveHub()
	c.hub, c.bridges = conn, fds
	return nil
}

func (c *child) leaveHub() {
	if c.hub.FD >= 0 {
		unix.Close(c.hub.FD)
	}
	for _, fd := range c.bridges {
		unix.Close(fd)
	}
	c.hub.FD, c.bridges = -1, nil
}

// rejoinTries bounds how long output waits when the network program was killed.
const rejoinTries = 3

// rejoin connects anew after the network program's death. If nothing helps the
// container goes on with what the kernel keeps.
func (c *child) rejoin(h *message.Hub) {
	unix.Close(c.hub.FD)
	c.hub.FD = -1
	for range rejoinTries {
		if c.attach(h) == nil {
			return
		}
	}
}

func (c *child) connectWith(h *message.Helper) error {
	if err := c.showNetns(h.Netns); err != nil {
		return err
	}
	ready, theirs, err := readiness(h.Ready)
	if err != nil {
		return err
	}
	defer ready.Close()
	said, err := newWords()
	if err != nil {
		return err
	}
	defer said.Close()
	null, err := openNull()
	if err != nil {
		return err
	}
	defer null.Close()
	args := []string{h.Path}
	for _, a := range h.Args {
		args = append(args, strings.ReplaceAll(a, "{pid}", strconv.Itoa(c.pid)))
	}
	pidfd := -1
	p, err := os.StartProcess(h.Path, args, &os.ProcAttr{
		Env: []string{}, Files: []*os.File{null, null, said, theirs},
		Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true, PidFD: &pidfd},
	})
	if theirs != nil {
		theirs.Close()
	}
	if err != nil {
		return err
	}
	c.helpers = append(c.helpers, p)
	defer unix.Close(pidfd)
	if awaitReady(int(ready.Fd()), pidfd) {
		return nil
	}
	return fmt.Errorf("%s", words(said))
}

// newWords returns a file for what a program says on its standard error: a pipe that
// nobody reads any more would end it later.
func newWords() (*os.File, error) {
	fd, err := unix.MemfdCreate("stderr", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "stderr"), nil
}

// words returns the beginning of what was said there, on one line.
func words(said *os.File) string {
	text := make([]byte, 512)
	n, _ := said.ReadAt(text, 0)
	return strings.Join(strings.Fields(string(text[:n])), " ")
}

// showNetns binds init's network namespace on a file, in our own mount
// namespace only.
func (c *child) showNetns(file string) error {
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	if err := unix.Mount(fmt.Sprintf("/proc/%d/ns/net", c.pid), file, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind network namespace: %w", err)
	}
	c.mounts = append(c.mounts, file)
	return nil
}

// readiness returns what becomes readable when the helper is ready: a FIFO that
// it knows by name, or a pipe whose other end it gets as descriptor 3.
func readiness(fifo string) (ready, theirs *os.File, err error) {
	if fifo == "" {
		return os.Pipe()
	}
	if err := unix.Mkfifo(fifo, 0o600); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, nil, err
	}
	// For writing too, so that opening does not wait for the helper.
	ready, err = os.OpenFile(fifo, os.O_RDWR|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	return ready, nil, err
}

// awaitReady waits for a word or the helper's end.
func awaitReady(ready, pidfd int) bool {
	polls := []unix.PollFd{{Fd: int32(ready), Events: unix.POLLIN}, {Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(polls, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return err == nil && polls[0].Revents&unix.POLLIN != 0
	}
}
