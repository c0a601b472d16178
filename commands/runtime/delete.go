package runtime

import (
	"errors"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/flags"
	"skiff/runtime/bundle"
)

func deleteCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "delete",
		Usage:     "Delete a container that has ended",
		ArgsUsage: "[OPTIONS] ID",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "Kill it first if it runs; it need not exist"},
		},
		Action: action(e, 1, func(c *cli.Context, g *globals) error {
			if err := flags.ExactArgs(c, 1); err != nil {
				return err
			}
			ctr, err := g.Root.Open(c.Args().First())
			if c.Bool("force") && errors.Is(err, bundle.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			return deleted(c.Context, g, ctr, c.Bool("force"))
		}),
	}
}
