package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/runtime/lifecycle"
	"skiff/storage"
	"skiff/storage/container/archive"
)

// copyOptions name one container at most once: From or To is its name.
type copyOptions struct {
	From, To   string // container, empty for this machine
	FromPath   string
	ToPath     string
	Archive    bool
	FollowLink bool
	Quiet      bool
}

// CopyCommand copies files between a container and this machine.
func CopyCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "cp",
		Usage:     "Copy files/folders between a container and the local filesystem",
		ArgsUsage: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n[OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
		Description: "Use '-' as the source to read a tar archive from stdin\n" +
			"and extract it to a directory destination in a container.\n" +
			"Use '-' as the destination to stream a tar archive of a\n" +
			"container source to stdout.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "archive", Aliases: []string{"a"}, Usage: "Archive mode (copy all uid/gid information)"},
			&cli.BoolFlag{Name: "follow-link", Aliases: []string{"L"}, Usage: "Always follow symbol link in SRC_PATH"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 2); err != nil {
				return err
			}
			o, err := parseCopy(c)
			if err != nil {
				return err
			}
			return runCopy(c.Context, e, o)
		},
	}
}

func parseCopy(c *cli.Context) (copyOptions, error) {
	o := copyOptions{Archive: c.Bool("archive"), FollowLink: c.Bool("follow-link"), Quiet: c.Bool("quiet")}
	switch {
	case c.Args().Get(0) == "":
		return o, failure.Local("source can not be empty")
	case c.Args().Get(1) == "":
		return o, failure.Local("destination can not be empty")
	}
	o.From, o.FromPath = splitPlace(c.Args().Get(0))
	o.To, o.ToPath = splitPlace(c.Args().Get(1))
	switch {
	case o.From != "" && o.To != "":
		return o, failure.Local("copying between containers is not supported")
	case o.From == "" && o.To == "":
		return o, failure.Local("must specify at least one container source")
	}
	return o, nil
}

// splitPlace reads container:path. What begins like a path has no container,
// so that ./a:b can be named.
func splitPlace(s string) (ref, name string) {
	if s == "-" || strings.HasPrefix(s, "/") || strings.HasPrefix(s, ".") {
		return "", s
	}
	if ref, name, ok := strings.Cut(s, ":"); ok {
		return ref, name
	}
	return "", s
}

func runCopy(ctx context.Context, e *env.Env, o copyOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	var n int64
	if o.From != "" {
		n, err = copyOut(ctx, e, st, o)
	} else {
		n, err = copyIn(ctx, e, st, o)
	}
	if err == nil {
		emitCopy(st, o)
	}
	if err != nil || o.Quiet || o.FromPath == "-" || o.ToPath == "-" || !env.Terminal(e.Err) {
		return err
	}
	to := o.ToPath
	if o.To != "" {
		to = o.To + ":" + to
	}
	fmt.Fprintf(e.Err, "Successfully copied %s to %s\n", format.LongSize(n), to)
	return nil
}

// emitCopy records a copy under docker's name for it.
func emitCopy(st *storage.Store, o copyOptions) {
	ref, action := o.From, "archive-path"
	if ref == "" {
		ref, action = o.To, "extract-to-dir"
	}
	if c, err := find(st, ref); err == nil {
		c.Emit(action)
	}
}

// rootOf opens the root of the container that ref names, until done is called.
func rootOf(ctx context.Context, st *storage.Store, ref string) (tree archive.Tree, done func(), err error) {
	c, err := find(st, ref)
	if err != nil {
		return tree, nil, err
	}
	if tree, done, err = lifecycle.Root(ctx, c); err != nil {
		return tree, nil, inWords(err, ref, c)
	}
	return tree, done, nil
}

func copyOut(ctx context.Context, e *env.Env, st *storage.Store, o copyOptions) (int64, error) {
	tree, done, err := rootOf(ctx, st, o.From)
	if err != nil {
		return 0, err
	}
	defer done()
	// A slash at the end means what a link leads to, even without -L.
	follow := o.FollowLink || archive.WantsDir(o.FromPath)
	from, err := tree.Stat(o.FromPath, follow)
	if err != nil {
		return 0, err
	}
	if !from.Exists {
		return 0, failure.Engine(os.ErrNotExist, "Could not find the file %s in container %s", o.FromPath, o.From)
	}
	if o.ToPath == "-" {
		if env.Terminal(e.Out) {
			return 0, failure.Local("refusing to copy to a terminal: redirect standard output")
		}
		return 0, tree.Pack(e.Out, o.FromPath, baseName(o.FromPath), follow)
	}
	to, err := statLocal(o.ToPath)
	if err != nil {
		return 0, err
	}
	place, err := archive.Plan(o.FromPath, from, absolute(o.ToPath), to)
	if err != nil {
		return 0, failure.Local("%v", err)
	}
	dir, err := os.Open(place.Dir)
	if err != nil {
		return 0, failure.Local("invalid output path: directory %q does not exist", place.Dir)
	}
	defer dir.Close()
	return stream(
		func(w io.Writer) error { return tree.Pack(w, o.FromPath, place.Base, follow) },
		func(r io.Reader) error { return archive.Beneath(dir).Unpack(r, "/", o.Archive) })
}

func copyIn(ctx context.Context, e *env.Env, st *storage.Store, o copyOptions) (int64, error) {
	tree, done, err := rootOf(ctx, st, o.To)
	if err != nil {
		return 0, err
	}
	defer done()
	to, err := tree.Stat(o.ToPath, true)
	if err != nil {
		return 0, err
	}
	if o.FromPath == "-" {
		if !to.Exists {
			return 0, failure.Engine(os.ErrNotExist, "Could not find the file %s in container %s", o.ToPath, o.To)
		}
		if !to.Dir {
			return 0, failure.Local("destination \"%s:%s\" must be a directory", o.To, o.ToPath)
		}
		return 0, tree.Unpack(e.In, o.ToPath, true)
	}
	source := absolute(o.FromPath)
	follow := o.FollowLink || archive.WantsDir(o.FromPath)
	from, err := statSource(source, follow)
	if err != nil {
		return 0, failure.Local("%v", err)
	}
	dest := path.Join("/", o.ToPath)
	if archive.WantsDir(o.ToPath) && dest != "/" {
		dest += "/"
	}
	place, err := archive.Plan(o.FromPath, from, dest, to)
	if err != nil {
		return 0, failure.Local("%v", err)
	}
	if in, err := tree.Stat(place.Dir, true); err != nil || !in.Dir {
		return 0, errors.Join(err, failure.Engine(os.ErrNotExist, "Could not find the file %s in container %s", place.Dir, o.To))
	}
	// The path is the user's own: it may go through any link of this machine.
	local, err := os.Open("/")
	if err != nil {
		return 0, err
	}
	defer local.Close()
	return stream(
		func(w io.Writer) error { return archive.InRoot(local).Pack(w, source, place.Base, follow) },
		func(r io.Reader) error { return tree.Unpack(r, place.Dir, o.Archive) })
}

// stream ties a packer to an unpacker and counts what passes.
func stream(pack func(io.Writer) error, unpack func(io.Reader) error) (int64, error) {
	r, w := io.Pipe()
	counted := &counter{w: w}
	packed := make(chan error, 1)
	go func() {
		err := pack(counted)
		w.CloseWithError(err)
		packed <- err
	}()
	err := unpack(r)
	r.CloseWithError(err)
	packErr := <-packed
	if err == nil || errors.Is(err, packErr) || errors.Is(packErr, io.ErrClosedPipe) {
		if packErr != nil && !errors.Is(packErr, io.ErrClosedPipe) && err == nil {
			return counted.n, packErr
		}
		return counted.n, err
	}
	return counted.n, errors.Join(packErr, err)
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// baseName is the name that the first entry of a stream has.
func baseName(name string) string {
	if archive.Contents(name) {
		return "."
	}
	return path.Base(path.Clean(name))
}

// absolute makes a local path absolute and keeps what its end says.
func absolute(name string) string {
	abs, err := filepath.Abs(name)
	if err != nil {
		return name
	}
	switch {
	case archive.Contents(name) && abs != "/":
		return abs + "/."
	case archive.WantsDir(name) && abs != "/":
		return abs + "/"
	}
	return abs
}

func statLocal(name string) (archive.Info, error) {
	info, err := os.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return archive.Info{}, nil
	}
	if err != nil {
		return archive.Info{}, err
	}
	return archive.Info{Exists: true, Dir: info.IsDir()}, nil
}

func statSource(name string, follow bool) (archive.Info, error) {
	stat := os.Lstat
	if follow {
		stat = os.Stat
	}
	info, err := stat(name)
	if err != nil {
		return archive.Info{}, err
	}
	return archive.Info{Exists: true, Dir: info.IsDir()}, nil
}
