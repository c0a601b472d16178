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
	args := c.Config.Config.Healthcheck.Command(c.Config.Config.Shell)
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
