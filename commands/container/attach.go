package container

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/terminal"
	"skiff/runtime/lifecycle"
)

type attachOptions struct {
	Ref        string
	NoStdin    bool
	SigProxy   bool
	DetachKeys string
}

// AttachCommand ties the terminal to a running container.
func AttachCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "attach",
		Usage:     "Attach local standard input, output, and error streams to a running container",
		ArgsUsage: "[OPTIONS] CONTAINER",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "detach-keys", Usage: "Override the key sequence for detaching a container"},
			&cli.BoolFlag{Name: "no-stdin", Usage: "Do not attach STDIN"},
			&cli.BoolFlag{Name: "sig-proxy", Value: true, Usage: "Proxy all received signals to the process"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 1); err != nil {
				return err
			}
			o := attachOptions{
				Ref: c.Args().First(), NoStdin: c.Bool("no-stdin"),
				SigProxy: c.Bool("sig-proxy"), DetachKeys: detachKeys(c, e, true),
			}
			if _, err := terminal.ParseDetachKeys(o.DetachKeys); err != nil {
				return err
			}
			return runAttach(c.Context, e, o)
		},
	}
}

func runAttach(ctx context.Context, e *env.Env, o attachOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	c, err := find(st, o.Ref)
	if err != nil {
		return err
	}
	status, err := c.Status()
	if err != nil {
		return err
	}
	switch status.State {
	case "running":
	case "paused":
		return failure.Local("You cannot attach to a paused container, unpause it first")
	case "restarting":
		return failure.Local("You cannot attach to a restarting container, wait until it is running")
	default:
		return failure.Local("You cannot attach to a stopped container, start it first")
	}
	s := streamsOf(c, c.Config.Config.OpenStdin && !o.NoStdin, o.DetachKeys)
	s.SigProxy = o.SigProxy
	if err := s.check(e); err != nil {
		return err
	}
	session, err := lifecycle.Attach(ctx, c, *s.attachment(e))
	if err != nil {
		return inWords(err, o.Ref, c)
	}
	defer session.Close()
	c.Emit("attach")
	if o.SigProxy {
		e.TakeSignals(ctx)
	}
	code, err := s.tie(ctx, e, session)
	if errors.Is(err, lifecycle.ErrDetached) {
		return failure.Local("%v", terminal.ErrDetach)
	}
	return ended(code, err)
}
