package probe

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// capset drops all capabilities of all threads (capset(2)).
func capset() syscall.Errno {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0)
	return errno
}
