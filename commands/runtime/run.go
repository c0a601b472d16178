package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/terminal"
	"skiff/runtime/bundle"
)

func runCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "Create and start a container from a bundle, and wait for its end",
		ArgsUsage: "[OPTIONS] ID",
		Flags: append(createFlags(),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "Do not wait"},
			&cli.BoolFlag{Name: "keep", Usage: "Do not delete the container at its end"},
		),
		Action: action(e, 1, func(c *cli.Context, g *globals) error {
			o, err := parseCreate(c, e)
			if err != nil {
				return err
			}
			return runRun(c.Context, e, g, o, c.Bool("detach"), c.Bool("keep"))
		}),
	}
}

func runRun(ctx context.Context, e *env.Env, g *globals, o *bundle.CreateOptions, detach, keep bool) error {
	if !detach {
		// The process's parent ends before it; it becomes our child then.
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("become subreaper: %w", err)
		}
		o.Attached = o.ConsoleSocket == ""
	}
	c, console, err := create(ctx, e, g, o)
	if err != nil {
		return err
	}
	remove := func() error {
		if keep {
			return nil
		}
		return deleted(ctx, g, c, true)
	}
	relay, err := newRelay(e, console)
	if err != nil {
		return errors.Join(err, remove())
	}
	defer relay.close()
	if err := c.Start(ctx); err != nil {
		return errors.Join(err, remove())
	}
	if detach {
		return nil
	}
	e.TakeSignals(ctx)
	// Gone already: then there is nobody to tell.
	defer terminal.ProxySignals(func(s syscall.Signal) { _ = c.Kill(s) })()
	code := wait(c.Pid)
	relay.close()
	if err := remove(); err != nil {
		return err
	}
	return ended(code)
}

// create makes the container and warns of what is not applied.
func create(ctx context.Context, e *env.Env, g *globals, o *bundle.CreateOptions) (*bundle.Container, *os.File, error) {
	var err error
	if o.Cache, err = cache(e, g); err != nil {
		return nil, nil, err
	}
	if o.Attached {
		o.Rows, o.Cols = env.Size(e.Out)
	}
	c, console, err := bundle.Create(g.Root, o)
	if err != nil {
		return nil, nil, err
	}
	if text := c.Unmet(); text != "" {
		if g.log.path == "" {
			fmt.Fprintln(e.Err, "WARNING: "+text)
		}
		if err := g.log.write("warning", text); err != nil {
			return nil, nil, errors.Join(err, deleted(ctx, g, c, true))
		}
	}
	return c, console, nil
}

// wait collects a child and returns its exit code as a shell would tell it.
func wait(pid int) int {
	var ws syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &ws, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		switch {
		case err != nil:
			return 255
		case ws.Signaled():
			return 128 + int(ws.Signal())
		}
		return ws.ExitStatus()
	}
}

func ended(code int) error {
	if code == 0 {
		return nil
	}
	return failure.Status(code)
}

// deleted deletes the container, with its hooks' failures in the log only.
func deleted(ctx context.Context, g *globals, c *bundle.Container, force bool) error {
	warnings, err := c.Delete(context.WithoutCancel(ctx), force)
	for _, w := range warnings {
		err = errors.Join(err, g.log.write("warning", w.Error()))
	}
	return err
}
