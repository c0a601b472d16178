package build

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"skiff/build"
	"skiff/commands/env"
	"skiff/commands/failure"
)

func parseContexts(list []string) (map[string]string, error) {
	out := make(map[string]string)
	for _, c := range list {
		name, value, ok := strings.Cut(c, "=")
		if !ok || name == "" || value == "" {
			return nil, failure.Local("invalid context value: %s, expected key=value", c)
		}
		switch {
		case strings.HasPrefix(value, "docker-image://"), build.IsRemote(value):
		case strings.Contains(value, "://"):
			return nil, failure.Local("build context %s: only directories, docker-image://, archives behind http and https, and git repositories are supported", value)
		default:
			info, err := os.Stat(value)
			if err != nil || !info.IsDir() {
				return nil, failure.Local("failed to get build context %s: %s is not a directory", name, value)
			}
			if value, err = filepath.Abs(value); err != nil {
				return nil, err
			}
		}
		out[name] = value
	}
	return out, nil
}

// load reads the Dockerfile and finds the context.
func load(ctx context.Context, e *env.Env, o *options) error {
	if o.Path == "-" {
		if o.File == "-" {
			return errors.New("invalid argument: can't use stdin for both build context and dockerfile")
		}
		return loadInput(e, o, e.In)
	}
	if _, err := os.Lstat(o.Path); err != nil && build.IsRemote(o.Path) {
		return loadRemote(ctx, e, o)
	}
	info, err := os.Stat(o.Path)
	if err != nil {
		return fmt.Errorf("unable to prepare context: path %q not found", o.Path)
	}
	if !info.IsDir() {
		return fmt.Errorf("unable to prepare context: context must be a directory: %s", o.Path)
	}
	if o.Context, err = filepath.Abs(o.Path); err != nil {
		return err
	}
	if o.Context, err = filepath.EvalSymlinks(o.Context); err != nil {
		return err
	}
	return loadDirectory(e, o)
}

// loadRemote fetches the context: a git repository, an archive or a Dockerfile.
func loadRemote(ctx context.Context, e *env.Env, o *options) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	f, err := build.Fetch(ctx, st, o.Path, o.SSH["default"])
	if err != nil {
		return fmt.Errorf("failed to solve: failed to load the build context %s: %w", o.Path, err)
	}
	o.discard = f.Discard
	if f.Dir == "" {
		err := loadInput(e, o, f.File)
		if o.Context != "" {
			return errors.Join(err, f.Discard())
		}
		return err
	}
	o.Context, o.Path = f.Dir, f.Dir
	return loadDirectory(e, o)
}

// loadNamed fetches the named contexts that are not on this machine.
func loadNamed(ctx context.Context, e *env.Env, o *options) error {
	for name, address := range o.Contexts {
		if !build.IsRemote(address) || strings.HasPrefix(address, "/") {
			continue
		}
		st, err := e.Store()
		if err != nil {
			return err
		}
		f, err := build.Fetch(ctx, st, address, o.SSH["default"])
		if err != nil {
			return fmt.Errorf("failed to solve: failed to load the build context %s: %w", address, err)
		}
		o.discards = append(o.discards, f.Discard)
		if f.Dir != "" {
			o.Contexts[name] = f.Dir
			continue
		}
		plain, err := build.Decompress(f.File)
		if err != nil {
			return fmt.Errorf("failed to solve: build context %s: %w", address, err)
		}
		defer plain.Close()
		dir, discard, err := build.UnpackContext(st, plain)
		if err != nil {
			return fmt.Errorf("failed to solve: build context %s is no archive: %w", address, err)
		}
		o.discards = append(o.discards, discard)
		o.Contexts[name] = dir
	}
	return nil
}

// loadInput takes what comes on standard input or from a URL for a Dockerfile,
// or for a context as a tar, by its contents.
func loadInput(e *env.Env, o *options, input io.Reader) error {
	plain, err := build.Decompress(input)
	if err != nil {
		return fmt.Errorf("failed to read the build context: %w", err)
	}
	defer plain.Close()
	in := bufio.NewReaderSize(plain, 1<<10)
	head, err := in.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("failed to read the build context: %w", err)
	}
	if _, err := tar.NewReader(bytes.NewReader(head)).Next(); err != nil {
		data, err := io.ReadAll(io.LimitReader(in, maxDockerfile+1))
		if err != nil {
			return fmt.Errorf("failed to read the build context: %w", err)
		}
		o.Dockerfile, o.Name = data, "Dockerfile"
		return checkSize(data)
	}
	st, err := e.Store()
	if err != nil {
		return err
	}
	if o.Context, o.discard, err = build.UnpackContext(st, in); err != nil {
		return fmt.Errorf("failed to unpack the build context: %w", err)
	}
	o.Path = o.Context
	return loadDirectory(e, o)
}

// loadDirectory reads the Dockerfile and .dockerignore of a context.
func loadDirectory(e *env.Env, o *options) (err error) {
	// What came with the context is read beneath it; the user's own files are
	// where the user says.
	read, in := readFile, o.Path
	if o.discard != nil {
		read, in = func(name string) ([]byte, error) { return build.ReadBeneath(o.Context, name, maxDockerfile+1) }, "/"
	}
	name := o.File
	switch name {
	case "-":
		if o.Dockerfile, err = io.ReadAll(io.LimitReader(e.In, maxDockerfile+1)); err != nil {
			return fmt.Errorf("failed to read from standard input: %w", err)
		}
		o.Name = "Dockerfile"
	case "":
		name = filepath.Join(in, "Dockerfile")
		fallthrough
	default:
		o.Name = filepath.Base(name)
		if o.Dockerfile, err = read(name); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("failed to solve: failed to read dockerfile: open %s: no such file or directory", o.Name)
			}
			return fmt.Errorf("failed to solve: failed to read dockerfile: %w", err)
		}
	}
	if err := checkSize(o.Dockerfile); err != nil {
		return err
	}
	// That of the Dockerfile wins over that of the context.
	for _, ignore := range []string{name + ".dockerignore", filepath.Join(in, ".dockerignore")} {
		if name == "-" && ignore == "-.dockerignore" {
			continue
		}
		if o.Ignore, err = read(ignore); err == nil || !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read .dockerignore: %w", err)
	}
	return nil
}

// maxDockerfile bounds a Dockerfile, in bytes: BuildKit's bound is 16 MB too.
const maxDockerfile = 16 << 20

func checkSize(data []byte) error {
	if len(data) > maxDockerfile {
		return fmt.Errorf("the Dockerfile is larger than %d bytes", maxDockerfile)
	}
	if len(strings.TrimSpace(string(data))) == 0 {
		return errors.New("failed to solve: the Dockerfile cannot be empty")
	}
	return nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxDockerfile+1))
}
