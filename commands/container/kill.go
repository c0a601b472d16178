package container

import (
	"errors"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/runtime/lifecycle"
	"skiff/storage/container"
)

// KillCommand sends a signal to containers.
func KillCommand(e *env.Env) *cli.Command {
	list := []cli.Flag{&cli.StringFlag{Name: "signal", Aliases: []string{"s"}, Usage: "Signal to send to the container"}}
	return eachCommand("kill", "Kill one or more running containers", list, func(c *cli.Context, refs []string) error {
		name := c.String("signal")
		if name == "" {
			name = "KILL"
		}
		sig, err := flags.ParseSignal(name)
		if err != nil {
			return err
		}
		return each(c.Context, e, refs, func(ref string, ctr *container.Container) error {
			err := lifecycle.Kill(c.Context, ctr, sig)
			if errors.Is(err, lifecycle.ErrNotRunning) {
				return failure.Engine(err, "cannot kill container: %s: container %s is not running", ref, ctr.Config.ID)
			}
			return err
		})
	})
}
