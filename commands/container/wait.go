package container

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/runtime/lifecycle"
)

// WaitCommand waits for containers to end.
func WaitCommand(e *env.Env) *cli.Command {
	list := []cli.Flag{
		&cli.StringFlag{Name: "condition", Value: "not-running", Usage: `Condition to wait for ("not-running", "next-exit", "removed", or a state: "running", "paused", "exited", "created")`},
	}
	return eachCommand("wait", "Block until one or more containers stop, then print their exit codes", list, func(c *cli.Context, refs []string) error {
		switch c.String("condition") {
		case "not-running", "next-exit", "removed", "running", "paused", "exited", "stopped", "created":
		default:
			return failure.Local("invalid condition: %q", c.String("condition"))
		}
		return runWait(c.Context, e, refs, c.String("condition"))
	})
}

// runWait waits for all at once: one may vanish while another still runs.
func runWait(ctx context.Context, e *env.Env, refs []string, condition string) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	type answer struct {
		code int
		err  error
	}
	answers := make([]answer, len(refs))
	done := make([]chan struct{}, len(refs))
	for i, ref := range refs {
		done[i] = make(chan struct{})
		c, err := find(st, ref)
		go func() {
			defer close(done[i])
			if err == nil {
				answers[i].code, err = lifecycle.WaitFor(ctx, c, condition)
			}
			answers[i].err = inWords(err, ref, c)
		}()
	}
	var failed failure.Several
	for i := range refs {
		<-done[i]
		if err := answers[i].err; err != nil {
			failed = append(failed, err)
			continue
		}
		if _, err := fmt.Fprintln(e.Out, answers[i].code); err != nil {
			return err
		}
	}
	return failed.Err()
}
