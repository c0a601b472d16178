package container

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/runtime/lifecycle"
	"skiff/storage/container"
)

// HealthCommand is the management group `healthcheck`.
func HealthCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:  "healthcheck",
		Usage: "Manage health checks",
		Subcommands: []*cli.Command{{
			Name:      "run",
			Usage:     "Run the health check of a container once: exit code 0 if it is healthy, else 1",
			ArgsUsage: "CONTAINER",
			Action: func(c *cli.Context) error {
				if err := flags.ExactArgs(c, 1); err != nil {
					return err
				}
				return runHealthcheck(c.Context, e, c.Args().First())
			},
		}},
	}
}

// defaultHealthTimeout is docker's.
const defaultHealthTimeout = 30 * time.Second

func runHealthcheck(ctx context.Context, e *env.Env, ref string) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	c, err := find(st, ref)
	if err != nil {
		return err
	}
	args := healthCommand(&c.Config.Config)
	if args == nil {
		return failure.Engine(nil, "container %s has no defined healthcheck", c.Config.ID)
	}
	timeout := c.Config.Config.Healthcheck.Timeout
	if timeout <= 0 {
		timeout = defaultHealthTimeout
	}
	session, err := lifecycle.Exec(ctx, c, lifecycle.ExecOptions{Args: args})
	if err != nil {
		return inWords(err, ref, c)
	}
	defer session.Close()
	// Too slow is unhealthy; the check itself is ended.
	expired := time.AfterFunc(timeout, func() {
		_ = session.Signal(9)
		session.Detach()
	})
	defer expired.Stop()
	code, err := session.Wait(io.Discard, io.Discard)
	if err != nil || code != 0 {
		fmt.Fprintln(e.Out, "unhealthy")
		return failure.Status(1)
	}
	return nil
}

// healthCommand is what a health check executes, nil when there is none.
func healthCommand(p *container.Process) []string {
	check := p.Healthcheck
	if check == nil || len(check.Test) < 2 {
		return nil
	}
	switch check.Test[0] {
	case "CMD":
		return check.Test[1:]
	case "CMD-SHELL":
		shell := p.Shell
		if len(shell) == 0 {
			shell = []string{"/bin/sh", "-c"}
		}
		return append(shell[:len(shell):len(shell)], check.Test[1])
	}
	return nil
}
