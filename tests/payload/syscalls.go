package main

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// syscalls tries what docker's profile refuses a container without additional
// capabilities, and prints how each was refused. A call that is let through is
// harmless or fails with another error.
func syscalls([]string) error {
	var attributes [128]byte
	p := uintptr(unsafe.Pointer(&attributes))
	for _, call := range []struct {
		name    string
		number  uintptr
		a, b, c uintptr
	}{
		{"bpf", unix.SYS_BPF, 0, p, 128},
		{"clone3", unix.SYS_CLONE3, p, 0, 0},
		{"io_uring_setup", unix.SYS_IO_URING_SETUP, 0, p, 0},
		{"keyctl", unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, 0, 0},
		{"mount", unix.SYS_MOUNT, 0, p, 0},
		{"setns", unix.SYS_SETNS, ^uintptr(0), 0, 0},
		{"socket(AF_ALG)", unix.SYS_SOCKET, unix.AF_ALG, unix.SOCK_SEQPACKET, 0},
		{"socket(AF_VSOCK)", unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM, 0},
		{"unshare(CLONE_NEWUSER)", unix.SYS_UNSHARE, unix.CLONE_NEWUSER, 0, 0},
		{"userfaultfd", unix.SYS_USERFAULTFD, 0, 0, 0},
	} {
		result := "let through"
		if _, _, errno := unix.Syscall(call.number, call.a, call.b, call.c); errno != 0 {
			result = errno.Error()
		}
		fmt.Printf("%s: %s\n", call.name, result)
	}
	return nil
}
