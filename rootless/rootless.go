// Package rootless is how an ordinary user gets a user namespace of his own,
// with all the ids that subuid(5) gives him: entry.c does it before the Go
// runtime starts, this file tells what came of it, in words where it failed.
// Start reading in entry.c.
package rootless

// #cgo CFLAGS: -O2 -Wall -Wextra -Werror
// #cgo race CFLAGS: -DSKIFF_RACE
// #include "entry.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
)

// RoleJoin is argv[0] of this program when it shall enter a container's own user
// namespace and then become another program: descriptor 4 is a pidfd of the
// container, 5 the program, which gets "skiff:exec" as its name and keeps 0 to
// 3.
const RoleJoin = "skiff:join"

// UID is the user's id outside of any namespace that this process entered.
func UID() int { return int(C.skiff_entry.uid) }

// GID is the user's group id outside.
func GID() int { return int(C.skiff_entry.gid) }

// Inside reports whether this process may mount: it has entered a user
// namespace or is root. It is false for commands that do not need to.
func Inside() bool {
	return C.skiff_entry.how != C.SKIFF_OUTSIDE && C.skiff_entry.failed == C.SKIFF_NOTHING
}

// OneID reports that the user has no subordinate ids, so that only root exists
// inside: in the namespace that this process made, or found made.
func OneID() bool {
	return C.skiff_entry.how == C.SKIFF_ONE_ID || C.skiff_entry.how == C.SKIFF_ANCHOR && oneMapped()
}

// oneMapped reports whether one id is mapped in the namespace that was joined.
var oneMapped = sync.OnceValue(func() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	fields := strings.Fields(string(data))
	return err == nil && len(fields) == 3 && fields[2] == "1"
})

// OpenFiles is the soft limit of open files that this process was started with. Go
// has raised its own since (os package), and gives this one to what it executes.
func OpenFiles() uint64 { return uint64(C.skiff_entry.files) }

// Inherited is how many descriptors from 3 on, one after the other, the caller
// left open for this process. Programs that it starts do not get them.
func Inherited() int { return int(C.skiff_entry.inherited) }

// Rootless reports whether the process runs for an ordinary user.
func Rootless() bool { return UID() != 0 }

var (
	awaitOnce sync.Once
	awaitErr  error
)

// Await returns once the id maps of the namespace are in place, which the C
// entry left being written. Before it nothing may be executed or mounted: the
// process still has all capabilities, but no ids. It returns why the namespace
// could not be entered; such errors have a Hint. Safe for concurrent use, and
// free after the first call.
func Await() error {
	awaitOnce.Do(func() { awaitErr = await() })
	return awaitErr
}

func await() error {
	if C.skiff_entry.failed != C.SKIFF_NOTHING {
		return entryError(int(C.skiff_entry.failed), syscall.Errno(C.skiff_entry.err))
	}
	for i, name := range []string{"newuidmap", "newgidmap"} {
		pid := int(C.skiff_entry.mapper[i])
		if pid == 0 {
			continue
		}
		var status syscall.WaitStatus
		for {
			_, err := syscall.Wait4(pid, &status, 0, nil)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if err != nil {
				return fmt.Errorf("enter user namespace: wait for %s: %w", name, err)
			}
			break
		}
		if status.ExitStatus() != 0 {
			return &MapperError{Program: name, Missing: status.ExitStatus() == 127}
		}
	}
	return nil
}

// EndTurn lets other processes go on that wait to see whether this one starts
// the first container of the user: once it did, or will take long. Safe to call
// again; what it guards is told in entry.c, wait_turn.
func EndTurn() {
	turnOnce.Do(func() {
		if fd := int(C.skiff_entry.turn); fd > 0 {
			syscall.Close(fd)
		}
	})
}

var turnOnce sync.Once

// MapperError says that newuidmap or newgidmap (shadow-utils) could not write
// an id map.
type MapperError struct {
	Program string
	Missing bool
}

func (e *MapperError) Error() string {
	if e.Missing {
		return fmt.Sprintf("enter user namespace: %s is not installed", e.Program)
	}
	return fmt.Sprintf("enter user namespace: %s refused the ids in /etc/subuid and /etc/subgid", e.Program)
}

// Hint says how to mend it.
func (e *MapperError) Hint() string {
	if e.Missing {
		return "install it: apt-get install uidmap, or dnf install shadow-utils"
	}
	return fmt.Sprintf("%s must be setuid root or have file capabilities, and the ranges must not overlap another user's", e.Program)
}

// NamespaceError says that the kernel refused a user namespace.
type NamespaceError struct {
	Step string
	Err  error
	// Setting is the sysctl that forbids it, when one was found.
	Setting string
}

func (e *NamespaceError) Error() string {
	return fmt.Sprintf("enter user namespace: %s: %v", e.Step, e.Err)
}
func (e *NamespaceError) Unwrap() error { return e.Err }

// Hint names the setting that forbids user namespaces.
func (e *NamespaceError) Hint() string {
	if e.Setting != "" {
		return "as root: sysctl -w " + e.Setting
	}
	return "the kernel or a security module forbids user namespaces to this user; `skiff doctor` tells which"
}

func entryError(step int, errno syscall.Errno) error {
	names := map[int]string{
		C.SKIFF_FORK:            "fork",
		C.SKIFF_UNSHARE:         "unshare",
		C.SKIFF_MAP:             "write id map",
		C.SKIFF_MOUNT_NAMESPACE: "unshare mount namespace",
	}
	e := &NamespaceError{Step: names[step], Err: errno}
	for _, s := range []struct{ file, bad, cure string }{
		{"/proc/sys/kernel/unprivileged_userns_clone", "0\n", "kernel.unprivileged_userns_clone=1"},
		{"/proc/sys/user/max_user_namespaces", "0\n", "user.max_user_namespaces=15000"},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n", "kernel.apparmor_restrict_unprivileged_userns=0"},
	} {
		if data, err := os.ReadFile(s.file); err == nil && string(data) == s.bad {
			e.Setting = s.cure
			break
		}
	}
	return e
}
