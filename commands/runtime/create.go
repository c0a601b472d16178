package runtime

import (
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/runtime/bundle"
)

func createCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "Create a container from a bundle",
		ArgsUsage: "[OPTIONS] ID",
		Flags:     createFlags(),
		Action: action(e, 1, func(c *cli.Context, g *globals) error {
			o, err := parseCreate(c, e)
			if err != nil {
				return err
			}
			_, _, err = create(c.Context, e, g, o)
			return err
		}),
	}
}

func createFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Value: ".", Usage: "Directory of the bundle"},
		&cli.StringFlag{Name: "console-socket", Usage: "Unix socket that gets the master of the process's terminal"},
		&cli.BoolFlag{Name: "no-new-keyring", Usage: "Accepted and ignored: no keyring is made"},
		&cli.BoolFlag{Name: "no-pivot", Usage: "Refused: the root is always entered by pivot_root(2)"},
		&cli.StringFlag{Name: "pid-file", Usage: "Write the process's id to this file"},
		&cli.IntFlag{Name: "preserve-fds", Usage: "Pass so many more descriptors, from 3 on, to the process"},
	}
}

func parseCreate(c *cli.Context, e *env.Env) (*bundle.CreateOptions, error) {
	o := &bundle.CreateOptions{
		ID: c.Args().First(), Bundle: c.String("bundle"), ConsoleSocket: c.String("console-socket"),
		PIDFile: c.String("pid-file"), KeepFDs: c.Int("preserve-fds"),
	}
	if c.NArg() > 1 {
		return nil, failure.Local("requires 1 argument, the container's id")
	}
	if c.Bool("no-pivot") {
		return nil, failure.Local("--no-pivot is not supported: a process could leave such a root")
	}
	// Given by the service manager (sd_listen_fds(3)).
	if n, err := strconv.Atoi(e.Getenv("LISTEN_FDS")); err == nil && n > 0 {
		o.KeepFDs += n
	}
	if o.KeepFDs < 0 {
		return nil, &failure.Value{Flag: "preserve-fds", Value: c.String("preserve-fds"), Err: fmt.Errorf("must not be negative")}
	}
	return o, nil
}
