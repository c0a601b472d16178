package container

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/runtime/lifecycle"
	"skiff/storage/container"
)

// stopOptions say how to ask a process to end.
type stopOptions struct {
	Signal  syscall.Signal // 0: the container's
	Timeout *time.Duration // nil: the container's; negative: for ever
}

func stopFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "signal", Aliases: []string{"s"}, Usage: "Signal to send to the container"},
		&cli.IntFlag{Name: "timeout", Aliases: []string{"t"}, Usage: "Seconds to wait before killing the container"},
		&cli.IntFlag{Name: "time", Hidden: true, Usage: "Seconds to wait before killing the container"},
	}
}

func parseStop(c *cli.Context, e *env.Env) (o stopOptions, err error) {
	if c.IsSet("time") && e.Docker() {
		fmt.Fprintln(e.Out, "Flag --time has been deprecated, use --timeout instead") // as docker: there, too
	}
	if s := c.String("signal"); s != "" {
		if o.Signal, err = flags.ParseSignal(s); err != nil {
			return o, err
		}
	}
	for _, name := range []string{"time", "timeout"} {
		if c.IsSet(name) {
			d := time.Duration(c.Int(name)) * time.Second
			o.Timeout = &d
		}
	}
	return o, nil
}

// StopCommand asks containers to end and kills those that do not.
func StopCommand(e *env.Env) *cli.Command {
	return eachCommand("stop", "Stop one or more running containers", stopFlags(), func(c *cli.Context, refs []string) error {
		o, err := parseStop(c, e)
		if err != nil {
			return err
		}
		return each(c.Context, e, refs, func(_ string, ctr *container.Container) error {
			return lifecycle.Stop(c.Context, ctr, o.Signal, o.Timeout)
		})
	})
}

// RestartCommand stops containers and starts them again.
func RestartCommand(e *env.Env) *cli.Command {
	return eachCommand("restart", "Restart one or more containers", stopFlags(), func(c *cli.Context, refs []string) error {
		o, err := parseStop(c, e)
		if err != nil {
			return err
		}
		return each(c.Context, e, refs, func(ref string, ctr *container.Container) error {
			if err := restart(c.Context, ctr, o); err != nil {
				return &failure.Error{Text: fmt.Sprintf("Cannot restart container %s: %v", ref, err), Code: 1, Cause: err}
			}
			return nil
		})
	})
}

func restart(ctx context.Context, c *container.Container, o stopOptions) error {
	if err := lifecycle.Stop(ctx, c, o.Signal, o.Timeout); err != nil {
		return err
	}
	if _, err := lifecycle.Start(ctx, c, lifecycle.StartOptions{}); err != nil {
		return err
	}
	c.Emit("restart")
	return nil
}
