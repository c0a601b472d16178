package rootless

// #include "entry.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// EnterUser makes this program a member of the user namespace that process pid
// lives in, or of the one around it that is next to ours: as its owner we have
// all power there, but only a program with one thread may enter, so that this
// one is started over. It does nothing for root, or once that has happened.
func EnterUser(pid int) error {
	if !Rootless() || Inside() {
		return nil
	}
	ns, err := userNamespace(pid)
	if err != nil {
		return fmt.Errorf("enter user namespace: %w", err)
	}
	if ns < 0 {
		return nil
	}
	defer unix.Close(ns)
	if _, err := unix.FcntlInt(uintptr(ns), unix.F_SETFD, 0); err != nil {
		return fmt.Errorf("enter user namespace: %w", err)
	}
	env := append(os.Environ(), C.SKIFF_USERNS+"="+strconv.Itoa(ns))
	return fmt.Errorf("enter user namespace: %w", syscall.Exec("/proc/self/exe", os.Args, env))
}

// userNamespace opens the namespace to enter; -1 when it is ours already.
func userNamespace(pid int) (int, error) {
	var own, theirs unix.Stat_t
	if err := unix.Stat("/proc/self/ns/user", &own); err != nil {
		return -1, err
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/user", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	found := -1
	for {
		if err := unix.Fstat(fd, &theirs); err != nil {
			unix.Close(fd)
			return -1, err
		}
		if own.Ino == theirs.Ino && own.Dev == theirs.Dev {
			unix.Close(fd)
			return found, nil
		}
		if found >= 0 {
			unix.Close(found)
		}
		found = fd
		// EPERM: the parent is out of our sight, as ours is (ioctl_ns(2)).
		fd, err = unix.IoctlRetInt(found, unix.NS_GET_PARENT)
		if errors.Is(err, unix.EPERM) {
			return found, nil
		}
		if err != nil {
			unix.Close(found)
			return -1, err
		}
	}
}
