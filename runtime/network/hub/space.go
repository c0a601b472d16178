package hub

import (
	"fmt"
	"os"
	goruntime "runtime"

	"golang.org/x/sys/unix"
)

// space is a network namespace with a thread of ours in it. Sockets and devices
// belong to the namespace of the thread that opens them and may be used by any
// other then.
type space struct {
	jobs chan func()
	fd   int // the namespace
}

// openSpace starts a thread in the namespace on fd, or in a new one when fd is
// negative.
func openSpace(fd int) (*space, error) {
	s := &space{jobs: make(chan func()), fd: fd}
	ready := make(chan error)
	go func() {
		goruntime.LockOSThread() // and never unlock: it ends with its goroutine
		if s.fd < 0 {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				ready <- fmt.Errorf("make network namespace: %w", err)
				return
			}
			ns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				ready <- err
				return
			}
			s.fd = ns
		} else if err := unix.Setns(s.fd, unix.CLONE_NEWNET); err != nil {
			ready <- fmt.Errorf("enter network namespace: %w", err)
			return
		}
		ready <- nil
		for job := range s.jobs {
			job()
		}
	}()
	if err := <-ready; err != nil {
		return nil, err
	}
	return s, nil
}

// do runs f on the thread in the namespace.
func (s *space) do(f func() error) error {
	done := make(chan error, 1)
	s.jobs <- func() { done <- f() }
	return <-done
}

// close ends the thread. The descriptor stays.
func (s *space) close() { close(s.jobs) }

// sysctl writes below /proc/sys/net, which shows the namespace of who opens it.
func (s *space) sysctl(name, value string) error {
	return s.do(func() error { return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0) })
}

// inode names a namespace.
func inode(fd int) uint64 {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return 0
	}
	return st.Ino
}
