// Package commands is the command line: which commands there are, how a line is
// read, and what is printed when one fails. Each verb lives in a package named
// for its noun; this one ties them together. Start reading at Run.
package commands

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/system"
	"skiff/rootless"
	"skiff/storage"
	"skiff/storage/courier/configuration"
)

// waiting are commands that wait for others and compute nothing for long. Go's
// scheduler, looking for work for a second processor, took a twelfth of the
// processor time of `run`.
var waiting = []string{"run", "exec", "create", "start", "stop", "restart", "kill", "rm", "wait"}

// Run executes the command line args, args[0] being the program, prints what
// goes wrong and returns the exit code.
func Run(ctx context.Context, e *env.Env, args []string) int {
	e.Recover = func(st *storage.Store) { system.Recover(ctx, st) }
	only := ""
	if len(args) > 1 {
		only = args[1]
	}
	if slices.Contains(waiting, only) {
		runtime.GOMAXPROCS(1)
	}
	app := newApp(e, only)
	l, err := parseLine(app, args)
	if err == nil && (l.help || l.bare) {
		// Help names others, too.
		app = App(e)
		l, err = parseLine(app, args)
	}
	switch {
	case err == nil && l.bare && !asksVersion(l.args):
		err = printHelp(e.Err, e, app, l.path)
	case err == nil && l.help && !l.bare:
		err = printHelp(e.Out, e, app, l.path)
	case err == nil:
		restore := quicken(&l)
		err = app.RunContext(ctx, l.args)
		restore()
	}
	code := exit(ctx, e, l.path, err)
	// A command that ends early must not leave newuidmap with a process that is
	// gone, of which it would complain. Why it failed was said above, if it matters.
	_ = rootless.Await()
	return code
}

// App returns the command tree over e. It keeps no state elsewhere, so that two
// may exist in one test.
func App(e *env.Env) *cli.App { return newApp(e, "") }

// newApp is App with one command only, if there is one of that name.
func newApp(e *env.Env, only string) *cli.App {
	app := &cli.App{
		Name:     e.Program,
		HelpName: e.Program,
		Usage:    "A container engine without a daemon",
		Commands: commandList(e, only),
		Flags:    globalFlags(),
		Before:   func(c *cli.Context) error { return applyGlobals(c, e) },
		Action:   func(*cli.Context) error { fmt.Fprintln(e.Out, system.VersionLine(e)); return nil },
		Writer:   e.Out,
		// Errors are printed in exit.go alone; the library would print and exit.
		ErrWriter:      e.Err,
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   func(_ *cli.Context, err error, _ bool) error { return &flagError{err.Error()} },
		// -e A=1,2 is one value.
		DisableSliceFlagSeparator: true,
		UseShortOptionHandling:    true,
		// Help is ours (help.go), in docker's shape; the library would also take
		// `rm help` for a wish for help.
		HideHelp:        true,
		HideHelpCommand: true,
		HideVersion:     true,
		// Otherwise the library looks at the program file's date.
		Compiled: time.Unix(1, 0),
	}
	for _, c := range app.Commands {
		settle(c)
	}
	return app
}

// settle gives a command and those below it the settings that the library does
// not inherit.
func settle(c *cli.Command) {
	c.HideHelp, c.HideHelpCommand, c.UseShortOptionHandling = true, true, true
	c.OnUsageError = func(_ *cli.Context, err error, _ bool) error { return &flagError{err.Error()} }
	for _, sub := range c.Subcommands {
		settle(sub)
	}
}

func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", Usage: "Location of client config files"},
		&cli.StringFlag{Name: "context", Aliases: []string{"c"}, Usage: "Name of the context to use; only one of this machine is"},
		&cli.BoolFlag{Name: "debug", Aliases: []string{"D"}, Usage: "Enable debug mode"},
		&cli.StringSliceFlag{Name: "host", Aliases: []string{"H"}, Usage: "Daemon socket to connect to; refused, because there is no daemon"},
		&cli.StringFlag{
			Name: "log-level", Aliases: []string{"l"}, Value: "info",
			Usage: `Set the logging level ("debug", "info", "warn", "error", "fatal")`,
		},
		&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "Print version information and quit"},
	}
}

// asksVersion tells `skiff --version`, which names no command and is no error.
func asksVersion(args []string) bool {
	for _, a := range args {
		if a == "--version=true" {
			return true
		}
	}
	return false
}

// applyGlobals takes over the flags that stand before the command. What would
// send the command to another engine is refused: silently running it here
// would be the worst answer.
func applyGlobals(c *cli.Context, e *env.Env) error {
	switch level := c.String("log-level"); level {
	case "debug", "info", "warn", "error", "fatal", "panic":
		e.Debug = c.Bool("debug") || level == "debug"
	default:
		return failure.Local("Unable to parse logging level: %s", level)
	}
	if dir := c.String("config"); dir != "" {
		getenv := e.Getenv
		e.Getenv = func(name string) string {
			if name == "DOCKER_CONFIG" {
				return dir
			}
			return getenv(name)
		}
	}
	if hosts := c.StringSlice("host"); len(hosts) > 0 {
		return &remoteError{"--host " + hosts[0]}
	}
	if name := c.String("context"); name != "" {
		if configuration.IsRemoteContext(e.Getenv, name) {
			return &remoteError{"--context " + name}
		}
		return nil
	}
	if where := configuration.Elsewhere(e.Getenv); where != "" {
		return &remoteError{where}
	}
	return nil
}

// remoteError says that the command was meant for an engine elsewhere.
type remoteError struct{ said string }

func (r *remoteError) Error() string {
	return r.said + ": talking to a remote engine is not supported"
}

// Hint tells the way round.
func (r *remoteError) Hint() string {
	return "run skiff on that machine, for example through ssh, or leave this out"
}
