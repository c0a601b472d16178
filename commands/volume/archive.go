package volume

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/rootless"
	"skiff/storage/container/archive"
	"skiff/storage/volume"
)

// ExportCommand writes the contents of a volume as a tar archive.
func ExportCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "Export the contents of a volume as a tar archive",
		ArgsUsage: "[OPTIONS] VOLUME",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "Write to a file, instead of STDOUT"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 1); err != nil {
				return err
			}
			return runExport(e, c.Args().First(), c.String("output"))
		},
	}
}

func runExport(e *env.Env, name, output string) (err error) {
	dir, err := contents(e, name)
	if err != nil {
		return err
	}
	defer dir.Close()
	out, err := e.Output(output)
	if errors.Is(err, env.ErrToTerminal) {
		return failure.Local("%v", err)
	}
	if err != nil {
		return failure.Local("failed to export volume: %v", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	buffered := bufio.NewWriterSize(out, 1<<20)
	if err := errors.Join(archive.InRoot(dir).Pack(buffered, "", ".", false), buffered.Flush()); err != nil {
		return fmt.Errorf("export volume %s: %w", name, err)
	}
	return out.Commit()
}

// ImportCommand puts a tar archive into a volume.
func ImportCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:        "import",
		Usage:       "Import the contents of a tar archive into a volume",
		ArgsUsage:   "VOLUME [FILE|-]",
		Description: "What is in the volume stays unless the archive has a file of the same name.",
		Action: func(c *cli.Context) error {
			if err := flags.RangeArgs(c, 1, 2); err != nil {
				return err
			}
			return runImport(e, c.Args().Get(0), c.Args().Get(1))
		},
	}
}

func runImport(e *env.Env, name, file string) error {
	dir, err := contents(e, name)
	if err != nil {
		return err
	}
	defer dir.Close()
	in := e.In
	if file != "" && file != "-" {
		if in, err = os.Open(file); err != nil {
			return failure.Local("%v", err)
		}
		defer in.Close()
	} else if env.Terminal(in) {
		return failure.Local("refusing to read an archive from a terminal: name a file, or redirect the input")
	}
	if err := archive.InRoot(dir).Unpack(bufio.NewReaderSize(in, 1<<20), "/", true); err != nil {
		return fmt.Errorf("import into volume %s: %w", name, err)
	}
	return nil
}

// contents opens the directory with what is in the volume.
func contents(e *env.Env, name string) (*os.File, error) {
	st, err := e.Store()
	if err != nil {
		return nil, err
	}
	v, err := volume.Inspect(st, name)
	if errors.Is(err, volume.ErrNotFound) {
		return nil, failure.Engine(err, "get %s: no such volume", name)
	}
	if err != nil {
		return nil, err
	}
	b, err := v.Backing()
	if err != nil {
		return nil, err
	}
	if b.Tmpfs {
		return nil, fmt.Errorf("volume %s is in memory: it has contents only in the containers that use it", name)
	}
	path := v.Mountpoint
	if b.Bind != "" {
		path = b.Bind
	}
	// Files of the containers' users are read and made only from within.
	if err := rootless.Await(); err != nil {
		return nil, err
	}
	return os.Open(path)
}
