//go:build !embed

package embedded

import (
	"context"
	"os"
	"os/exec"

	"skiff/commands/kube/translate"
)

// Dispatch translates and ends the process if it was started for that. The
// program's main calls it first.
func Dispatch() {
	if os.Args[0] == Argv0 {
		os.Exit(translate.Main(os.Stdin, os.Stdout))
	}
}

func command(ctx context.Context, _ string) (*exec.Cmd, *os.File, error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{Argv0}
	return cmd, nil, nil
}
