//go:build embed

package embedded

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"

	"skiff/storage/sealed"
)

// program is built before the front; see doc.go.
//
//go:embed courier.bin
var program string

// Dispatch does nothing in this build: the courier is a program of its own.
func Dispatch() {}

// Command returns a command that runs the courier, and the file that it runs
// from, which the caller closes after starting it. The file exists in memory
// only, and sealed: no process can change what will be executed.
// https://man7.org/linux/man-pages/man2/memfd_create.2.html
func Command() (*exec.Cmd, *os.File, error) {
	f, err := sealed.File(Argv0, program)
	if err != nil {
		return nil, nil, fmt.Errorf("unpack courier: %w", err)
	}
	cmd := exec.Command(sealed.Path(f))
	cmd.Args = []string{Argv0}
	return cmd, f, nil
}
