// Package systemd is the commands about systemd: its generator, Quadlet files,
// units of containers that exist, and their updates. Units and Quadlet files
// themselves are in unit and quadlet below it, which need no store.
package systemd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"skiff/commands/env"
	"skiff/commands/systemd/quadlet"
	"skiff/rootless"
	"skiff/storage"
)

// The names that systemd calls its generators by (systemd.generator(7)).
const (
	systemGenerator = "skiff-system-generator"
	userGenerator   = "skiff-user-generator"
)

// IsGenerator reports whether a program of this name is to be a generator.
func IsGenerator(program string) bool {
	name := filepath.Base(program)
	return name == systemGenerator || name == userGenerator
}

// Generator is the program under its generator's name: args are that name and
// the directories that systemd gives, of which the first counts, or --dryrun for
// a look at what would be. It returns the exit code.
func Generator(e *env.Env, args []string) int {
	log := newLog(e)
	defer log.Close()
	o := options(e, filepath.Base(args[0]) == userGenerator)
	dry, dir := false, ""
	for _, a := range args[1:] {
		switch {
		case a == "-dryrun" || a == "--dryrun" || a == "--dry-run":
			dry = true
		case a == "-user" || a == "--user":
			o = options(e, true)
		case a == "-v" || a == "-no-kmsg-log" || a == "--no-kmsg-log":
		case strings.HasPrefix(a, "-"):
			fmt.Fprintf(log, "%s: unknown flag %s\n", args[0], a)
			return 1
		case dir == "":
			dir = a
		}
	}
	if dir == "" && !dry {
		fmt.Fprintf(log, "%s: no directory to write units to; --dryrun shows them\n", args[0])
		return 1
	}
	units, problems := quadlet.Generate(o)
	failed := report(log, units, problems)
	if dry {
		printUnits(e.Out, units)
	} else if err := quadlet.Write(dir, units); err != nil {
		fmt.Fprintf(log, "skiff: %v\n", err)
		failed = true
	}
	// A mistake in one file leaves the units of the others as good as they are:
	// systemd takes them whatever the generator's exit code is.
	if failed {
		return 1
	}
	return 0
}

// report says what is wrong, a line each, and whether a unit is missing for it.
func report(w io.Writer, units []*quadlet.Unit, problems []error) (failed bool) {
	for _, p := range problems {
		fmt.Fprintf(w, "skiff: %v\n", p)
		failed = true
	}
	for _, u := range units {
		for _, warning := range u.Warnings {
			fmt.Fprintf(w, "skiff: warning: %v\n", warning)
		}
		if u.Err != nil {
			fmt.Fprintf(w, "skiff: %v\n", u.Err)
			failed = true
		}
	}
	return failed
}

func printUnits(w io.Writer, units []*quadlet.Unit) {
	for _, u := range units {
		if u.Err == nil {
			fmt.Fprintf(w, "---%s---\n%s\n", u.Name, u.Text)
		}
	}
}

// options are those of the user, or of the machine.
func options(e *env.Env, user bool) quadlet.Options {
	o := quadlet.Options{Dirs: quadlet.Dirs(e.Getenv, user, rootless.UID()), User: user, Program: "/usr/local/bin/skiff"}
	if dir, err := storage.Locate(e.Getenv, rootless.UID()); err == nil {
		o.Store = dir
	}
	// A generator is called by its link's name; the units name the program.
	if program, err := os.Executable(); err == nil {
		o.Program = program
	}
	return o
}

// newLog is where a generator complains: standard error, and the kernel's log
// when systemd itself calls, whose journal is not there yet at boot.
func newLog(e *env.Env) io.WriteCloser {
	l := &generatorLog{err: e.Err}
	if e.Getenv("SYSTEMD_SCOPE") == "system" {
		l.kernel, _ = os.OpenFile("/dev/kmsg", os.O_WRONLY, 0) // standard error has it too
	}
	return l
}

type generatorLog struct {
	err    io.Writer
	kernel *os.File
}

func (l *generatorLog) Write(line []byte) (int, error) {
	if l.kernel != nil {
		_, _ = l.kernel.Write(append([]byte("<3>skiff-generator: "), line...))
	}
	return l.err.Write(line)
}

func (l *generatorLog) Close() error {
	if l.kernel == nil {
		return nil
	}
	return l.kernel.Close()
}

var errMistakes = errors.New("there are mistakes in Quadlet files, named above")
