package container

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage/container"
)

// each does the same to all containers that refs name, at once, and prints
// those that it was done to as they were typed, in the order of refs.
func each(ctx context.Context, e *env.Env, refs []string, do func(ref string, c *container.Container) error) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	results := make([]chan error, len(refs))
	for i, ref := range refs {
		results[i] = make(chan error, 1)
		go func() {
			c, err := find(st, ref)
			if err == nil {
				err = inWords(do(ref, c), ref, c)
			}
			results[i] <- err
		}()
	}
	var failed failure.Several
	for i, ref := range refs {
		select {
		case err = <-results[i]:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if _, err := fmt.Fprintln(e.Out, ref); err != nil {
			return err
		}
	}
	return failed.Err()
}

// eachCommand is the shape that the verbs over several containers share.
func eachCommand(name, usage string, list []cli.Flag, run func(c *cli.Context, refs []string) error) *cli.Command {
	return &cli.Command{
		Name:      name,
		Usage:     usage,
		ArgsUsage: "[OPTIONS] CONTAINER [CONTAINER...]",
		Flags:     list,
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 1); err != nil {
				return err
			}
			return run(c, c.Args().Slice())
		},
	}
}
