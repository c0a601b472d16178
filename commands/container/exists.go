package container

import (
	"errors"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage/container"
)

// ExistsCommand tells by its exit code whether there is a container.
func ExistsCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "exists",
		Usage:     "Tell by the exit code whether a container exists: 0 or 1",
		ArgsUsage: "CONTAINER",
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 1); err != nil {
				return err
			}
			st, err := e.Store()
			if err != nil {
				return err
			}
			_, err = container.Find(st, c.Args().First())
			if errors.Is(err, container.ErrNotFound) {
				return failure.Status(1)
			}
			return err
		},
	}
}
