//go:build embed

package embedded

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// program is built before the front; see doc.go.
//
//go:embed courier.bin
var program string

// firstFD keeps the memfd clear of the descriptors that os/exec moves into
// place in the child before it executes the program.
const firstFD = 64

// Dispatch does nothing in this build: the courier is a program of its own.
func Dispatch() {}

// Command returns a command that runs the courier, and the file that it runs
// from, which the caller closes after starting it. The file exists in memory
// only, and sealed: no process can change what will be executed.
// https://man7.org/linux/man-pages/man2/memfd_create.2.html
func Command() (*exec.Cmd, *os.File, error) {
	f, err := memfd()
	if err != nil {
		return nil, nil, fmt.Errorf("unpack courier: %w", err)
	}
	cmd := exec.Command(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	cmd.Args = []string{Argv0}
	return cmd, f, nil
}

func memfd() (*os.File, error) {
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(Argv0, flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate(Argv0, flags)
	}
	if err != nil {
		return nil, err
	}
	low := os.NewFile(uintptr(fd), Argv0)
	defer low.Close()
	if _, err := low.WriteString(program); err != nil {
		return nil, err
	}
	seals := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(low.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return nil, err
	}
	high, err := unix.FcntlInt(low.Fd(), unix.F_DUPFD_CLOEXEC, firstFD)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(high), Argv0), nil
}
