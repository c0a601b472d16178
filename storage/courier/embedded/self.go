//go:build !embed

package embedded

import (
	"os"
	"os/exec"

	"github.com/containers/storage/pkg/reexec"

	"skiff/storage/courier/server"
)

// Dispatch runs the courier and ends the process if it was started as one. The
// program's main calls it first.
func Dispatch() {
	if reexec.Init() {
		os.Exit(0)
	}
	if os.Args[0] == Argv0 {
		os.Exit(server.Main())
	}
}

// Command returns a command that runs the courier. The file is nil.
func Command() (*exec.Cmd, *os.File, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{Argv0}
	return cmd, nil, nil
}
