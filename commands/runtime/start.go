package runtime

import (
	"github.com/urfave/cli/v2"

	"skiff/commands/env"
)

func startCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "Start the process of a created container",
		ArgsUsage: "ID",
		Action: action(e, 1, func(c *cli.Context, g *globals) error {
			ctr, err := g.Root.Open(c.Args().First())
			if err != nil {
				return err
			}
			return ctr.Start(c.Context)
		}),
	}
}
