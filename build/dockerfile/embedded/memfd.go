//go:build embed

package embedded

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"

	"skiff/storage/sealed"
)

// program is built before the front; see the Makefile.
//
//go:embed dockerfile.bin
var program string

// Dispatch does nothing in this build: the parser is a program of its own.
func Dispatch() {}

func command(ctx context.Context) (*exec.Cmd, *os.File, error) {
	f, err := sealed.File(Argv0, program)
	if err != nil {
		return nil, nil, fmt.Errorf("unpack parser: %w", err)
	}
	cmd := exec.CommandContext(ctx, sealed.Path(f))
	cmd.Args = []string{Argv0}
	return cmd, f, nil
}
