package harness

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// Requirement is something that a machine may lack; it returns why it is
// missing, or nothing.
type Requirement func() string

const busyboxPath = "/bin/busybox"

// Requires skips the test, with the reason, unless the machine has all of it.
func Requires(t *testing.T, all ...Requirement) {
	t.Helper()
	for _, missing := range all {
		if why := missing(); why != "" {
			t.Skip(why)
		}
	}
}

// BusyboxStatic is Debian's busybox-static.
func BusyboxStatic() string {
	if _, err := os.Stat(busyboxPath); err != nil {
		return "needs busybox-static: " + err.Error()
	}
	return ""
}

// CommandNamed is a program in PATH.
func CommandNamed(name string) Requirement {
	return func() string {
		if _, err := exec.LookPath(name); err != nil {
			return "needs " + name + ", which is not installed"
		}
		return ""
	}
}

// Subids are subordinate ids for the test user.
func Subids() string {
	if len(suite.user.subuids) == 0 {
		return "needs subordinate ids for " + suite.user.name + " in /etc/subuid"
	}
	return ""
}

// Root is a harness that may change the machine, not only use it.
func Root() string {
	if os.Getuid() != 0 {
		return "needs root to prepare the machine"
	}
	return ""
}

// CgroupV2 is the unified hierarchy alone on /sys/fs/cgroup.
func CgroupV2() string {
	var fs unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &fs); err != nil {
		return "needs cgroup v2: " + err.Error()
	}
	if fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return "needs cgroup v2; this machine has version 1 or both"
	}
	return ""
}

// FUSE is a /dev/fuse that the test user may open.
func FUSE() string {
	if info, err := os.Stat("/dev/fuse"); err != nil || info.Mode().Perm()&0o006 != 0o006 {
		return "needs a /dev/fuse that everybody may open"
	}
	return ""
}

// Long marks a test that takes minutes; `go test -short` leaves it out.
func Long() string {
	if testing.Short() {
		return "takes minutes; left out with -short"
	}
	return ""
}
