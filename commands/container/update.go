package container

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/runtime/lifecycle"
	"skiff/storage/container"
)

// UpdateCommand changes the limits and the restart policy of containers.
func UpdateCommand(e *env.Env) *cli.Command {
	list := append(flags.UpdateFlags(),
		&cli.StringFlag{Name: "restart", Usage: "Restart policy to apply when a container exits"})
	return eachCommand("update", "Update configuration of one or more containers", list, func(c *cli.Context, refs []string) error {
		if c.NumFlags() == 0 {
			return failure.Local("you must provide one or more flags when using this command")
		}
		var policy *container.RestartPolicy
		if c.IsSet("restart") {
			p, err := flags.ParseRestart(c.String("restart"))
			if err != nil {
				return err
			}
			policy = &p
		}
		return each(c.Context, e, refs, func(_ string, ctr *container.Container) error {
			warnings, err := update(c.Context, c, ctr, policy)
			for _, w := range warnings {
				fmt.Fprintln(e.Err, "WARNING: "+w)
			}
			return err
		})
	})
}

func update(ctx context.Context, c *cli.Context, ctr *container.Container, policy *container.RestartPolicy) ([]string, error) {
	held, err := ctr.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer held.Release()
	// Another may have changed it while we waited.
	if ctr, err = container.Load(ctr.Store, ctr.Config.ID); err != nil {
		return nil, err
	}
	host := ctr.Config.Host
	if err := flags.Update(c, &host); err != nil {
		return nil, failure.Engine(err, "%v", err)
	}
	if policy != nil {
		if host.AutoRemove && policy.Name != "no" {
			return nil, failure.Engine(nil, "Restart policy cannot be updated because AutoRemove is enabled for the container")
		}
		host.RestartPolicy = *policy
	}
	s, err := ctr.Status()
	if err != nil {
		return nil, err
	}
	var warnings []string
	if s.Running() {
		if warnings, err = lifecycle.Limit(ctr, s.Pid, &host); err != nil {
			return warnings, failure.Engine(err, "Cannot update container %s: %v", ctr.Config.ID, err)
		}
	}
	ctr.Config.Host = host
	if err := ctr.Save(); err != nil {
		return warnings, err
	}
	if policy != nil && s.State != "exited" {
		lifecycle.SetPolicy(ctr, *policy)
	}
	if policy != nil {
		if notice := lifecycle.BootNotice(*policy); notice != "" {
			warnings = append(warnings, notice)
		}
		if err := lifecycle.KeepBootUnit(ctr.Store, *policy); err != nil {
			return warnings, err
		}
	}
	ctr.Emit("update")
	return warnings, nil
}
