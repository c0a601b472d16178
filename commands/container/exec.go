package container

import (
	"context"
	"errors"
	"path"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/terminal"
	"skiff/runtime/lifecycle"
	"skiff/storage/container"
)

type execOptions struct {
	Ref     string
	Process lifecycle.ExecOptions
	Streams streams
}

// ExecCommand runs another process in a running container.
func ExecCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "exec",
		Usage:     "Execute a command in a running container",
		ArgsUsage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
		Category:  "Common",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "Detached mode: run command in the background"},
			&cli.StringFlag{Name: "detach-keys", Usage: "Override the key sequence for detaching a container"},
			&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "Set environment variables"},
			&cli.StringSliceFlag{Name: "env-file", Usage: "Read in a file of environment variables"},
			&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "Keep STDIN open even if not attached"},
			preserveFlag(),
			&cli.BoolFlag{Name: "privileged", Usage: "Give extended privileges to the command"},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "Allocate a pseudo-TTY"},
			&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: `Username or UID (format: "<name|uid>[:<group|gid>]")`},
			&cli.StringFlag{Name: "workdir", Aliases: []string{"w"}, Usage: "Working directory inside the container"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 2); err != nil {
				return err
			}
			o, err := parseExec(c, e)
			if err != nil {
				return err
			}
			return runExec(c.Context, e, o, lifecycle.Exec)
		},
	}
}

func parseExec(c *cli.Context, e *env.Env) (execOptions, error) {
	vars, err := flags.Environment(c.StringSlice("env-file"), c.StringSlice("env"), flags.Environ(e.Environ()))
	if err != nil {
		var said *failure.Value
		if errors.As(err, &said) {
			return execOptions{}, err
		}
		return execOptions{}, failure.Local("%v", err) // docker's client reads the files
	}
	o := execOptions{
		Ref: c.Args().First(),
		Process: lifecycle.ExecOptions{
			Args: c.Args().Tail(), Env: vars, User: c.String("user"), WorkingDir: c.String("workdir"),
			Privileged: c.Bool("privileged"), Tty: c.Bool("tty"), Stdin: c.Bool("interactive"), Detach: c.Bool("detach"),
			Preserve: c.Int("preserve-fds"),
		},
	}
	if err := lifecycle.CheckPreserved(o.Process.Preserve); err != nil {
		return o, err
	}
	if dir := o.Process.WorkingDir; dir != "" && !path.IsAbs(dir) {
		return o, &failure.Error{Code: 126, Text: "OCI runtime exec failed: exec failed: Cwd must be an absolute path: unknown"}
	}
	o.Streams = streams{
		Stdin: o.Process.Stdin, Stdout: true, Stderr: true, Tty: o.Process.Tty, DetachKeys: detachKeys(c, e, o.Process.Tty),
	}
	if _, err := terminal.ParseDetachKeys(o.Streams.DetachKeys); err != nil {
		return o, failure.Engine(err, "Invalid escape keys (%s) provided", o.Streams.DetachKeys)
	}
	return o, nil
}

// executor is lifecycle.Exec; tests have their own.
type executor func(context.Context, *container.Container, lifecycle.ExecOptions) (lifecycle.Session, error)

func runExec(ctx context.Context, e *env.Env, o execOptions, exec executor) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	c, err := find(st, o.Ref)
	if err != nil {
		return err
	}
	if s, err := c.Status(); err == nil && s.State == "paused" {
		return failure.Engine(nil, "Container %s is paused, unpause the container before exec", o.Ref)
	}
	if !o.Process.Detach {
		if err := o.Streams.check(e); err != nil {
			return err
		}
		if o.Process.Tty {
			o.Process.Rows, o.Process.Cols = env.Size(e.Out)
		}
	}
	o.Process.ID = container.NewID()
	session, err := exec(ctx, c, o.Process)
	var start *lifecycle.StartError
	if errors.As(err, &start) && e.Docker() {
		return &failure.Error{Code: start.Code, Cause: start.Err, Text: "OCI runtime exec failed: exec failed: " +
			"unable to start container process: " + start.Error() + ": unknown"}
	}
	if err != nil {
		return inWords(err, o.Ref, c)
	}
	if o.Process.Detach {
		return nil
	}
	defer session.Close()
	code, err := o.Streams.tie(ctx, e, session)
	if errors.Is(err, lifecycle.ErrDetached) {
		return failure.Local("%v", terminal.ErrDetach)
	}
	return ended(code, err)
}
