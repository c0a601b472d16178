package container

import (
	"context"
	"errors"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage/container"
)

// RenameCommand gives a container another name.
func RenameCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "rename",
		Usage:     "Rename a container",
		ArgsUsage: "CONTAINER NEW_NAME",
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 2); err != nil {
				return err
			}
			err := runRename(c.Context, e, c.Args().Get(0), strings.TrimPrefix(c.Args().Get(1), "/"))
			var said *failure.Error
			if err != nil && e.Docker() && !(errors.As(err, &said) && said.Local) {
				return failure.Several{err, failure.Local("Error: failed to rename container named %s", c.Args().Get(0))}
			}
			return err
		},
	}
}

func runRename(ctx context.Context, e *env.Env, ref, name string) error {
	if name == "" {
		return failure.Local("Neither old nor new names may be empty")
	}
	st, err := e.Store()
	if err != nil {
		return err
	}
	c, err := find(st, ref)
	if err != nil {
		return err
	}
	held, err := c.Lock(ctx)
	if err != nil {
		return err
	}
	defer held.Release()
	// Another may have renamed it while we waited.
	if c, err = container.Load(st, c.Config.ID); err != nil {
		return inWords(err, ref, nil)
	}
	if name == c.Config.Name {
		return failure.Engine(nil, "Renaming a container with the same name as its current name")
	}
	before := c.Config.Name
	if err := container.CheckName(name); err != nil {
		return failure.Engine(err, "Error when allocating new name: Invalid container name (/%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name)
	}
	if err := c.Rename(name); err != nil {
		return inWords(err, ref, nil)
	}
	c.Emit("rename", "oldName", "/"+before)
	return nil
}
