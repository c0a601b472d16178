package container

import (
	"bufio"
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/rootless"
)

// ExportCommand writes a container's root as a tar archive.
func ExportCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "Export a container's filesystem as a tar archive",
		ArgsUsage: "[OPTIONS] CONTAINER",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "Write to a file, instead of STDOUT"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 1); err != nil {
				return err
			}
			return runExport(c.Context, e, c.Args().First(), c.String("output"))
		},
	}
}

func runExport(ctx context.Context, e *env.Env, ref, output string) (err error) {
	out, err := e.Output(output)
	if errors.Is(err, env.ErrToTerminal) {
		return failure.Local("%v", err)
	}
	if err != nil {
		return failure.Local("failed to export container: %v", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	st, err := e.Store()
	if err != nil {
		return err
	}
	c, err := find(st, ref)
	if err != nil {
		return err
	}
	if err := rootless.Await(); err != nil {
		return err
	}
	held, err := hold(ctx, c)
	if err != nil {
		return inWords(err, ref, c)
	}
	defer held.Release()
	buffered := bufio.NewWriterSize(out, 1<<20)
	if err := errors.Join(rootContents(c).Export(buffered), buffered.Flush()); err != nil {
		return err
	}
	if err := out.Commit(); err != nil {
		return err
	}
	c.Emit("export")
	return nil
}
