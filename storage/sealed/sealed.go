// Package sealed unpacks the programs that the front carries into memory where
// nobody can change them, so that no container can write to what will be executed
// next (runc CVE-2019-5736). Package unpacked keeps them in files.
package sealed

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// firstFD keeps the file clear of the descriptors that a child's are moved to
// before it executes the program.
const firstFD = 64

// File returns program as an executable file that exists in memory only and
// cannot be written to any more. It is close-on-exec and the caller's to close;
// execute Path of it. https://man7.org/linux/man-pages/man2/memfd_create.2.html
func File(name, program string) (*os.File, error) {
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	low := os.NewFile(uintptr(fd), name)
	defer low.Close()
	if _, err := low.WriteString(program); err != nil {
		return nil, err
	}
	seals := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return Raise(fd, name)
}

// Raise duplicates a descriptor out of the way of a child's low ones.
func Raise(fd int, name string) (*os.File, error) {
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, firstFD)
	if err != nil {
		return nil, fmt.Errorf("duplicate: %w", err)
	}
	return os.NewFile(uintptr(high), name), nil
}

// Path names f for execve.
func Path(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }
