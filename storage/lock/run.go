package lock

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// HoldRun takes the run lock in path for the rest of this process's life. The
// returned file must stay open, and the process must never open path a second
// time: closing any descriptor of a file drops all POSIX locks on it
// (fcntl(2)). It returns ErrBusy when another process holds it.
func HoldRun(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open run lock: %w", err)
	}
	lk := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lk); err != nil {
		f.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			err = ErrBusy
		}
		return nil, fmt.Errorf("take run lock: %w", err)
	}
	return f, nil
}

var anchors []*os.File

// HoldAnchor marks this process, among others, as one whose user namespace new
// commands enter, for the rest of its life. What is said at HoldRun of opening
// path again is true here too.
func HoldAnchor(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("open anchor: %w", err)
	}
	lk := unix.Flock_t{Type: unix.F_RDLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lk); err != nil {
		f.Close()
		return fmt.Errorf("hold anchor: %w", err)
	}
	anchors = append(anchors, f) // a file that is collected is closed
	return nil
}

// RunHolder returns the pid of the process that holds the run lock in path,
// and 0 when nobody does or path is absent. It takes nothing itself.
func RunHolder(path string) (pid int, err error) {
	// Not an os.File: of many that run, each command asks for each, and Go's poller
	// triples the system calls.
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EROFS) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("ask run lock: %w", &os.PathError{Op: "open", Path: path, Err: err})
	}
	defer unix.Close(fd)
	lk := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_GETLK, &lk); err != nil {
		return 0, fmt.Errorf("ask run lock: %w", err)
	}
	if lk.Type == unix.F_UNLCK {
		return 0, nil
	}
	if lk.Pid <= 0 {
		// The holder lives in a pid namespace that we cannot see into.
		return -1, nil
	}
	return int(lk.Pid), nil
}

// YieldRun gives the run lock up but keeps f open, locked with flock instead: the
// container is not running any more, and a sweeper sees that its directory is
// still somebody's work.
func YieldRun(f *os.File) error {
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock for removal: %w", err)
	}
	lk := unix.Flock_t{Type: unix.F_UNLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lk); err != nil {
		return fmt.Errorf("give up run lock: %w", err)
	}
	return nil
}
