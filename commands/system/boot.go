package system

import (
	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/runtime/lifecycle"
)

// BootCommand is what the unit for restart policies runs after a reboot.
func BootCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:   "boot",
		Usage:  "Start the containers whose restart policy wants them up after a reboot",
		Hidden: true,
		Action: func(c *cli.Context) error {
			st, err := e.Store()
			if err != nil {
				return err
			}
			return lifecycle.Boot(c.Context, st)
		},
	}
}
