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
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"skiff/storage/sealed"
	"skiff/storage/unpacked"
)

// program is built, and compressed, before the front; sum is its digest and its
// size in bytes. See the Makefile.
var (
	//go:embed kube.bin.gz
	program []byte
	//go:embed kube.sum
	sum string
)

// Dispatch does nothing in this build: the translator is a program of its own.
func Dispatch() {}

// command executes the copy in the cache, which saves the unpacking; where that
// cannot be, one in memory.
func command(ctx context.Context, cache string) (*exec.Cmd, *os.File, error) {
	digest, text, _ := strings.Cut(strings.TrimSpace(sum), " ")
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, nil, fmt.Errorf("unpack translator: %w", err)
	}
	path := filepath.Join(cache, "kube-"+digest)
	var f *os.File
	if err := unpacked.Keep(path, size, unpack); err != nil || unix.Access(path, unix.X_OK) != nil {
		plain, err := unpack()
		if err == nil {
			f, err = sealed.File(Argv0, plain)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("unpack translator: %w", err)
		}
		path = sealed.Path(f)
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Args = []string{Argv0}
	return cmd, f, nil
}

func unpack() (string, error) {
	var plain strings.Builder
	r, err := gzip.NewReader(bytes.NewReader(program))
	if err == nil {
		_, err = io.Copy(&plain, r)
	}
	return plain.String(), err
}
