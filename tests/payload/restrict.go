package main

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// restrict executes its arguments as systemd does with RestrictSUIDSGID=yes, which
// DynamicUser=yes implies: no call makes set-user-ID or set-group-ID files, openat2(2)
// is not there, and no program gains privileges (systemd.exec(5)).
func restrict(args []string) error {
	const number, argument = 0, 16 // offsets in struct seccomp_data, the latter of the first argument
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	jump := func(how uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | how | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	refuse := func(errno uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | errno}
	}
	filter := []unix.SockFilter{load(number)}
	for _, call := range []struct{ number, mode uint32 }{
		{unix.SYS_FCHMOD, 1},
		{unix.SYS_FCHMODAT, 2},
		{unix.SYS_FCHMODAT2, 2},
		{unix.SYS_MKDIRAT, 2},
		{unix.SYS_MKNODAT, 2},
		{unix.SYS_OPENAT, 3},
	} {
		filter = append(filter, jump(unix.BPF_JEQ, call.number, 0, 4), load(argument+8*call.mode),
			jump(unix.BPF_JSET, unix.S_ISUID|unix.S_ISGID, 0, 1), refuse(uint32(unix.EPERM)), load(number))
	}
	filter = append(filter, jump(unix.BPF_JEQ, unix.SYS_OPENAT2, 0, 1), refuse(uint32(unix.ENOSYS)),
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl: %w", err)
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return unix.Exec(args[0], args, os.Environ())
}
