package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/terminal"
	"skiff/runtime/lifecycle"
	"skiff/storage/container"
)

type startOptions struct {
	Refs        []string
	Attach      bool
	Interactive bool
	DetachKeys  string
	Sockets     lifecycle.Sockets // of a single container
}

// StartCommand starts containers that exist.
func StartCommand(e *env.Env) *cli.Command {
	list := []cli.Flag{
		&cli.BoolFlag{Name: "attach", Aliases: []string{"a"}, Usage: "Attach STDOUT/STDERR and forward signals"},
		&cli.StringFlag{Name: "detach-keys", Usage: "Override the key sequence for detaching a container"},
		&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "Attach container's STDIN"},
	}
	return eachCommand("start", "Start one or more stopped containers", list, func(c *cli.Context, refs []string) error {
		o, err := parseStart(c, e, refs)
		if err != nil {
			return err
		}
		if len(refs) == 1 {
			if o.Sockets, err = sockets(e); err != nil {
				return err
			}
		}
		if o.Attach || o.Interactive {
			return startAttached(c.Context, e, o, lifecycle.Start)
		}
		return startAll(c.Context, e, o, lifecycle.Start)
	})
}

func parseStart(c *cli.Context, e *env.Env, refs []string) (startOptions, error) {
	o := startOptions{
		Refs: refs, Attach: c.Bool("attach"), Interactive: c.Bool("interactive"),
		DetachKeys: detachKeys(c, e, true),
	}
	if (o.Attach || o.Interactive) && len(refs) > 1 {
		return o, failure.Local("you cannot start and attach multiple containers at once")
	}
	_, err := terminal.ParseDetachKeys(o.DetachKeys)
	return o, err
}

// detachKeys is the value of --detach-keys, or that of docker's config.json, or
// docker's own. Only a terminal has any.
func detachKeys(c *cli.Context, e *env.Env, tty bool) string {
	if !tty && !c.IsSet("detach-keys") {
		return terminal.DefaultDetachKeys
	}
	return cmp.Or(flags.DetachKeys(e, c.String("detach-keys")), terminal.DefaultDetachKeys)
}

func startAll(ctx context.Context, e *env.Env, o startOptions, start starter) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	var failed failure.Several
	var names []string
	for _, ref := range o.Refs {
		c, err := find(st, ref)
		if err == nil {
			err = refusePaused(c)
		}
		if err == nil {
			_, err = start(ctx, c, lifecycle.StartOptions{Sockets: o.Sockets, NotifySocket: containersSocket(e, c)})
		}
		if err != nil {
			failed, names = append(failed, inWords(err, ref, c)), append(names, ref)
			continue
		}
		WarnPostStart(ctx, e, c)
		notifyReady(ctx, e, c, true)
		if _, err := fmt.Fprintln(e.Out, ref); err != nil {
			return err
		}
	}
	if len(failed) == 0 {
		return nil
	}
	text := "failed to start containers: " + strings.Join(names, ", ")
	if e.Docker() {
		text = "Error: " + text
	}
	return append(failed, &failure.Error{Text: text, Code: 1, Local: true})
}

// WarnPostStart waits for the end of a started container's PostStart hook, and says
// if that did not go well: the container runs, or is stopped by now.
func WarnPostStart(ctx context.Context, e *env.Env, c *container.Container) {
	if err := lifecycle.AwaitPostStart(ctx, c); err != nil {
		fmt.Fprintf(e.Err, "WARNING: container %s: %v\n", c.Config.Name, err)
	}
}

// refusePaused is docker's answer to starting what is paused.
func refusePaused(c *container.Container) error {
	if s, err := c.Status(); err == nil && s.State == "paused" {
		return failure.Engine(nil, "cannot start a paused container, try unpause instead")
	}
	return nil
}

func startAttached(ctx context.Context, e *env.Env, o startOptions, start starter) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	c, err := find(st, o.Refs[0])
	if err != nil {
		return err
	}
	if err := refusePaused(c); err != nil {
		return err
	}
	s := streamsOf(c, o.Interactive && c.Config.Config.OpenStdin, o.DetachKeys)
	s.Stdout, s.Stderr = true, true
	if err := s.check(e); err != nil {
		return err
	}
	if err := s.give(e, &c.Config.Host); err != nil {
		return err
	}
	socket, end, err := proxyNotices(e, c)
	if err != nil {
		return err
	}
	defer end()
	session, err := start(ctx, c, lifecycle.StartOptions{Attach: s.attachment(e), Sockets: o.Sockets, NotifySocket: socket, Direct: true})
	if err != nil {
		// docker's exit code is 1 here, whatever run's would have been.
		return &failure.Error{Text: inWords(err, o.Refs[0], c).Error(), Code: 1, Cause: err}
	}
	defer session.Close()
	notifyReady(ctx, e, c, false)
	Watchdog(ctx, e, c)
	e.TakeSignals(ctx)
	s.Stop = stopForUnit(ctx, e, c)
	return ended(s.tie(ctx, e, session))
}

// streamsOf are the streams of a container that exists.
func streamsOf(c *container.Container, stdin bool, keys string) streams {
	return streams{
		Stdin: stdin, Stdout: true, Stderr: true,
		Tty: c.Config.Config.Tty, SigProxy: true, DetachKeys: keys,
	}
}

// ended turns the outcome of streams.tie into the outcome of a command.
func ended(code int, err error) error {
	switch {
	case errors.Is(err, lifecycle.ErrDetached):
		return nil
	case err != nil:
		return err
	case code != 0:
		return failure.Status(code)
	}
	return nil
}
