package container

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"skiff/commands/env"
	"skiff/storage/container"
)

// notifyName is the socket, in the container's directory, at which a front hears
// from its container.
const notifyName = "notify.sock"

// maxNotice bounds one message in bytes; systemd's own limit is the same.
const maxNotice = 4096

// passedOn are what a container may tell the service manager of itself
// (sd_notify(3)). What is about processes, descriptors and the manager's own
// bookkeeping is this process's.
var passedOn = []string{"READY", "RELOADING", "STOPPING", "STATUS", "ERRNO", "BUSERROR", "WATCHDOG", "EXTEND_TIMEOUT_USEC", "MONOTONIC_USEC"}

// proxyNotices makes a socket for a container that tells the service manager itself
// when it is ready, and passes on what it says until end is called, which loses
// nothing: the manager listens to its main process, which we are (NotifyAccess=main).
// The socket's path is empty where there is nothing to do.
func proxyNotices(e *env.Env, c *container.Container) (path string, end func(), err error) {
	manager := containersSocket(e, c)
	if manager == "" {
		return "", func() {}, nil
	}
	path = filepath.Join(c.Dir(), notifyName)
	defer func() {
		if err != nil {
			err = fmt.Errorf("listen to the container at %s: %w", path, err)
		}
	}()
	// By a descriptor: a socket's path is bounded by 108 bytes (unix(7)).
	dir, err := unix.Open(c.Dir(), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, err
	}
	defer unix.Close(dir)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return "", nil, err
	}
	socket := os.NewFile(uintptr(fd), path)
	short := fmt.Sprintf("/proc/self/fd/%d/%s", dir, notifyName)
	if err := os.Remove(short); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", nil, errors.Join(err, socket.Close())
	}
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: short})
	if err == nil {
		err = os.Chmod(short, 0o777) // for whoever the container runs as
	}
	if err != nil {
		return "", nil, errors.Join(err, socket.Close())
	}
	p := &noticeProxy{socket: socket, manager: manager, done: make(chan struct{})}
	go p.run()
	return path, p.end, nil
}

// noticeProxy passes on what a container says to the service manager.
type noticeProxy struct {
	socket  *os.File
	manager string
	done    chan struct{}
}

func (p *noticeProxy) run() {
	defer close(p.done)
	buf := make([]byte, maxNotice)
	for {
		n, err := p.socket.Read(buf)
		if err != nil {
			return
		}
		p.tell(buf[:n])
	}
}

func (p *noticeProxy) tell(message []byte) {
	if text := ownNotices(message); text != "" {
		// As with every notice: who does not listen misses it.
		_ = notify(p.manager, text)
	}
}

// end passes on what has come, and closes the socket.
func (p *noticeProxy) end() {
	defer p.socket.Close()
	if p.socket.SetReadDeadline(time.Unix(1, 0)) != nil {
		return
	}
	<-p.done
	raw, err := p.socket.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		buf := make([]byte, maxNotice)
		for {
			n, _, err := unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
			if err != nil {
				return // there is no more
			}
			p.tell(buf[:n])
		}
	})
}

// ownNotices are the lines that a container may say.
func ownNotices(message []byte) string {
	var lines []string
	for line := range bytes.SplitSeq(message, []byte{'\n'}) {
		key, _, ok := strings.Cut(string(line), "=")
		for _, allowed := range passedOn {
			if ok && key == allowed {
				lines = append(lines, string(line))
			}
		}
	}
	return strings.Join(lines, "\n")
}
