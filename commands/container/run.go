package container

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/terminal"
	"skiff/runtime/lifecycle"
	"skiff/storage/container"
)

type runOptions struct {
	createOptions
	Detach   bool
	Preserve int // descriptors
	Streams  streams
	Sockets  lifecycle.Sockets
}

// preserveFlag is podman's.
func preserveFlag() cli.Flag {
	return &cli.IntFlag{Name: "preserve-fds", Usage: "Number of descriptors, from 3 on, that the process gets beside its standard streams"}
}

// RunCommand makes a container and starts it.
func RunCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "Create and run a new container from an image",
		ArgsUsage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
		Category:  "Common",
		Flags: append(createFlags(),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "Run container in background and print container ID"},
			&cli.StringFlag{Name: "detach-keys", Usage: "Override the key sequence for detaching a container"},
			preserveFlag(),
			&cli.BoolFlag{Name: "sig-proxy", Value: true, Usage: "Proxy received signals to the process"},
		),
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 1); err != nil {
				return err
			}
			o, err := parseRun(c, e)
			if err != nil {
				if errors.Is(err, errAttachDetach) {
					return err // as docker says it: without its name, exit code 1
				}
				return &failure.Setup{Command: "run", Err: err, Local: true}
			}
			return runRun(c.Context, e, o, lifecycle.Start)
		},
	}
}

var errAttachDetach = failure.Local("conflicting options: cannot specify both --attach and --detach")

// parseRun reads the flags of run. Its errors make exit code 125.
func parseRun(c *cli.Context, e *env.Env) (runOptions, error) {
	shared, err := parseCreate(c, e)
	o := runOptions{createOptions: shared, Detach: c.Bool("detach"), Preserve: c.Int("preserve-fds")}
	o.Starting = true
	if err != nil {
		return o, err
	}
	if err := lifecycle.CheckPreserved(o.Preserve); err != nil {
		return o, err
	}
	if attached := len(c.StringSlice("attach")) > 0; o.Detach && attached {
		return o, errAttachDetach
	} else if !attached && !o.Detach {
		o.attachAll()
	}
	if err := o.checkPassthrough(o.Detach); err != nil {
		return o, err
	}
	p := o.Process
	o.Streams = streams{
		Stdin: p.AttachStdin, Stdout: p.AttachStdout, Stderr: p.AttachStderr,
		Tty: p.Tty, SigProxy: c.Bool("sig-proxy") && !p.Tty, DetachKeys: detachKeys(c, e, p.Tty),
	}
	if _, err = terminal.ParseDetachKeys(o.Streams.DetachKeys); err != nil {
		return o, err
	}
	if o.Sockets, err = sockets(e); err != nil {
		return o, err
	}
	return o, lifecycle.CheckPreserved(o.Sockets.Count + o.Preserve)
}

// starter is lifecycle.Start; tests have their own.
type starter func(context.Context, *container.Container, lifecycle.StartOptions) (lifecycle.Session, error)

func runRun(ctx context.Context, e *env.Env, o runOptions, start starter) error {
	if !o.Detach {
		if err := o.Streams.check(e); err != nil {
			return err
		}
		if err := o.Streams.give(e, &o.Host); err != nil {
			return &failure.Setup{Command: "run", Err: err, Local: true}
		}
	}
	st, err := e.Store()
	if err != nil {
		return &failure.Setup{Command: "run", Err: err}
	}
	ahead := lifecycle.Prepare(st, &o.Process, &o.Host)
	defer ahead.Close()
	c, err := create(ctx, e, st, userStore{st, e}, o.createOptions)
	if err != nil {
		return &failure.Setup{Command: "run", Err: err}
	}
	options := lifecycle.StartOptions{Ahead: ahead, Preserve: o.Preserve, Sockets: o.Sockets, NotifySocket: containersSocket(e, c), Direct: !o.Detach}
	if !o.Detach {
		socket, end, err := proxyNotices(e, c)
		if err != nil {
			return notStarted(ctx, c, err)
		}
		defer end()
		options.NotifySocket = socket
		options.Attach = o.Streams.attachment(e)
	}
	session, err := start(ctx, c, options)
	if err != nil {
		return notStarted(ctx, c, err)
	}
	if o.Detach {
		_, err := fmt.Fprintln(e.Out, c.Config.ID)
		WarnPostStart(ctx, e, c)
		notifyReady(ctx, e, c, true)
		return err
	}
	defer session.Close()
	notifyReady(ctx, e, c, false)
	Watchdog(ctx, e, c)
	if o.Streams.SigProxy {
		e.TakeSignals(ctx)
		o.Streams.Stop = stopForUnit(ctx, e, c)
	}
	return ended(o.Streams.tie(ctx, e, session))
}

// notStarted words a failed start of run; a container that was to vanish at its
// end vanishes now.
func notStarted(ctx context.Context, c *container.Container, err error) error {
	setup := &failure.Setup{Command: "run", Err: err}
	var start *lifecycle.StartError
	if errors.As(err, &start) {
		setup.Code = start.Code
	}
	if c.Config.Host.AutoRemove {
		gone := lifecycle.Remove(context.WithoutCancel(ctx), c, lifecycle.RemoveOptions{Force: true, Volumes: true})
		if gone != nil && !errors.Is(gone, container.ErrNotFound) {
			setup.Err = errors.Join(err, gone)
		}
	}
	return setup
}
