package runtime

import (
	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/flags"
)

func killCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "kill",
		Usage:     "Send a signal to the process of a container",
		ArgsUsage: "[OPTIONS] ID [SIGNAL]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "Accepted and ignored: the end of the first process ends all"},
		},
		Action: action(e, 1, func(c *cli.Context, g *globals) error {
			if err := flags.RangeArgs(c, 1, 2); err != nil {
				return err
			}
			name := c.Args().Get(1)
			if name == "" {
				name = "TERM"
			}
			sig, err := flags.ParseSignal(name)
			if err != nil {
				return err
			}
			ctr, err := g.Root.Open(c.Args().First())
			if err != nil {
				return err
			}
			return ctr.Kill(sig)
		}),
	}
}
