package container

import (
	"errors"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/runtime/lifecycle"
	"skiff/storage/container"
)

// PauseCommand stops the processes of containers for a while.
func PauseCommand(e *env.Env) *cli.Command {
	command := eachCommand("pause", "Pause all processes within one or more containers", nil, func(c *cli.Context, refs []string) error {
		return each(c.Context, e, refs, func(_ string, ctr *container.Container) error {
			err := lifecycle.Pause(c.Context, ctr)
			if errors.Is(err, lifecycle.ErrPaused) {
				return failure.Engine(err, "container %s is already paused", ctr.Config.ID)
			}
			return err
		})
	})
	command.ArgsUsage = "CONTAINER [CONTAINER...]"
	return command
}

// UnpauseCommand lets paused containers go on.
func UnpauseCommand(e *env.Env) *cli.Command {
	command := eachCommand("unpause", "Unpause all processes within one or more containers", nil, func(c *cli.Context, refs []string) error {
		return each(c.Context, e, refs, func(_ string, ctr *container.Container) error {
			err := lifecycle.Unpause(c.Context, ctr)
			if errors.Is(err, lifecycle.ErrNotPaused) {
				return failure.Engine(err, "Container %s is not paused", ctr.Config.ID)
			}
			return err
		})
	})
	command.ArgsUsage = "CONTAINER [CONTAINER...]"
	return command
}
