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
	check := c.Config.Config.Healthcheck
	args, probe := check.Command(c.Config.Config.Shell), check.Probe()
	if args == nil && probe == nil {
		return failure.Engine(nil, "container %s has no defined healthcheck", c.Config.ID)
	}
	timeout := check.Timeout
	if timeout <= 0 {
		timeout = defaultHealthTimeout
	}
	var session lifecycle.Session
	if probe != nil {
		session, err = lifecycle.Probe(ctx, c, probe)
	} else {
		session, err = lifecycle.Exec(ctx, c, lifecycle.ExecOptions{Args: args})
	}
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
