package container

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/runtime/lifecycle"
	"skiff/storage/container"
)

// RmCommand removes containers.
func RmCommand(e *env.Env) *cli.Command {
	list := []cli.Flag{
		&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "Force the removal of a running container (uses SIGKILL)"},
		&cli.BoolFlag{Name: "link", Aliases: []string{"l"}, Usage: "Remove the specified link"},
		&cli.BoolFlag{Name: "volumes", Aliases: []string{"v"}, Usage: "Remove anonymous volumes associated with the container"},
	}
	return eachCommand("rm", "Remove one or more containers", list, func(c *cli.Context, refs []string) error {
		if c.Bool("link") {
			return errors.New("--link is not supported: there are no links between containers")
		}
		o := lifecycle.RemoveOptions{Force: c.Bool("force"), Volumes: c.Bool("volumes")}
		if o.Force {
			refs = present(e, refs)
		}
		return each(c.Context, e, refs, func(ref string, ctr *container.Container) error {
			if ctr.Config.Infra != nil {
				return failure.Engine(nil, "cannot remove container %q: it is what pod %s is made of: remove that (skiff pod rm %[2]s)", ref, ctr.Config.Infra.Name)
			}
			err := lifecycle.Remove(c.Context, ctr, o)
			if s, _ := ctr.Status(); errors.Is(err, lifecycle.ErrRunning) && s.State == "paused" {
				return failure.Engine(err, "cannot remove container %q: container is paused and must be unpaused first", ref)
			}
			if errors.Is(err, lifecycle.ErrRunning) {
				return failure.Engine(err, "cannot remove container %q: container is running: "+
					"stop the container before removing or force remove", ref)
			}
			if o.Force && errors.Is(err, container.ErrNotFound) {
				return nil
			}
			return err
		})
	})
}

// present leaves out what is gone already: rm -f does not mind.
func present(e *env.Env, refs []string) []string {
	st, err := e.Store()
	if err != nil {
		return refs
	}
	var left []string
	for _, ref := range refs {
		_, err := find(st, ref)
		if !errors.Is(err, container.ErrNotFound) {
			left = append(left, ref)
		} else if e.Docker() {
			// docker's client says so and minds as little.
			fmt.Fprintln(e.Err, "Error response from daemon: "+err.Error())
		}
	}
	return left
}
