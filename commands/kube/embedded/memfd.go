//go:build embed

package embedded

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"

	"skiff/storage/sealed"
)

// program is built, and compressed, before the front; see the Makefile.
//
//go:embed kube.bin.gz
var program []byte

// Dispatch does nothing in this build: the translator is a program of its own.
func Dispatch() {}

func command(ctx context.Context) (*exec.Cmd, *os.File, error) {
	var plain bytes.Buffer
	r, err := gzip.NewReader(bytes.NewReader(program))
	if err == nil {
		_, err = io.Copy(&plain, r)
	}
	var f *os.File
	if err == nil {
		f, err = sealed.File(Argv0, plain.String())
	}
	if err != nil {
		return nil, nil, fmt.Errorf("unpack translator: %w", err)
	}
	cmd := exec.CommandContext(ctx, sealed.Path(f))
	cmd.Args = []string{Argv0}
	return cmd, f, nil
}
