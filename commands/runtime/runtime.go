// Package runtime is the OCI runtime command line on bundles, as runc has it,
// for other engines and for the specification's own tests. Containers that it
// makes are not those of `skiff ps`. The work is done in runtime/bundle.
package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/rootless"
	"skiff/runtime/bundle"
)

// Command is the group `runtime`. version is the line that --version begins
// with.
func Command(e *env.Env, version string) *cli.Command {
	return &cli.Command{
		Name:  "runtime",
		Usage: "Run OCI bundles, as an OCI runtime for other engines",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "log", Usage: "Append errors and warnings to this file"},
			&cli.StringFlag{Name: "log-format", Value: "text", Usage: `Format of the log ("text", "json")`},
			&cli.BoolFlag{Name: "debug", Usage: "Enable debug mode"},
			&cli.StringFlag{Name: "root", Usage: "Directory of the containers' state"},
			&cli.BoolFlag{Name: "systemd-cgroup", Usage: "Accepted and ignored: no cgroup is made"},
			&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "Print version information and quit"},
		},
		Action: func(*cli.Context) error {
			_, err := fmt.Fprintf(e.Out, "%s\nspec: %s\n", version, rspec.Version)
			return err
		},
		Subcommands: []*cli.Command{
			createCommand(e),
			deleteCommand(e),
			execCommand(e),
			killCommand(e),
			listCommand(e),
			runCommand(e),
			specCommand(e),
			startCommand(e),
			stateCommand(e),
		},
	}
}

// globals are the options in front of the verb.
type globals struct {
	Root bundle.StateRoot
	log  log
}

// action makes the Action of a verb with at least args operands: it reads the
// globals and writes what goes wrong to the log as well.
func action(e *env.Env, args int, run func(*cli.Context, *globals) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		g := &globals{log: log{path: c.String("log"), json: c.String("log-format") == "json", clock: e.Clock}}
		e.Debug = e.Debug || c.Bool("debug")
		err := flags.MinArgs(c, args)
		if err == nil {
			g.Root, err = stateRoot(e, c.String("root"))
		}
		if err == nil && c.Bool("systemd-cgroup") {
			err = g.log.write("warning", "--systemd-cgroup is ignored: no cgroup is made")
		}
		if err == nil {
			err = run(c, g)
		}
		var status failure.Status
		if err != nil && !errors.As(err, &status) {
			err = errors.Join(err, g.log.write("error", err.Error()))
		}
		return err
	}
}

// stateRoot is where containers are kept: it must be gone after a reboot, and
// nobody else's.
func stateRoot(e *env.Env, given string) (bundle.StateRoot, error) {
	const name = "skiff-runtime"
	switch {
	case given != "":
		dir, err := filepath.Abs(given)
		return bundle.StateRoot(dir), err
	case e.Getenv("XDG_RUNTIME_DIR") != "":
		return bundle.StateRoot(filepath.Join(e.Getenv("XDG_RUNTIME_DIR"), name)), nil
	case !rootless.Rootless():
		return bundle.StateRoot(filepath.Join("/run", name)), nil
	}
	st, err := e.Store()
	if err != nil {
		return "", err
	}
	return bundle.StateRoot(filepath.Join(st.Cache(), name)), nil
}

// cache is where the stage program and compiled filters are kept: with the
// user's store, or, within another engine's user namespace, where root's store
// is nobody's, with the containers.
func cache(e *env.Env, g *globals) (string, error) {
	if err := rootless.Await(); err != nil {
		return "", err
	}
	st, err := e.Store()
	if err != nil {
		return filepath.Join(string(g.Root), ".cache"), nil
	}
	return st.Cache(), nil
}

// log is the file that other engines read errors from, in the two formats that
// they know.
type log struct {
	path  string // empty: none
	json  bool
	clock func() time.Time
}

func (l *log) write(level, text string) error {
	if l.path == "" {
		return nil
	}
	at := l.clock().Format(time.RFC3339)
	line := "time=" + strconv.Quote(at) + " level=" + level + " msg=" + strconv.Quote(text)
	if l.json {
		data, err := json.Marshal(struct {
			Level string `json:"level"`
			Msg   string `json:"msg"`
			Time  string `json:"time"`
		}{level, text, at})
		if err != nil {
			return err
		}
		line = string(data)
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}
