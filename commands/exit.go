package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/format"
	"skiff/runtime/lifecycle"
)

// Interrupted is the cause of a context that a signal has ended.
type Interrupted struct{ Signal syscall.Signal }

func (i Interrupted) Error() string { return i.Signal.String() }

// hinter is what an error has that knows how to cure it.
type hinter interface{ Hint() string }

// exit prints err as docker would, under docker's name to the byte, and
// returns the exit code. path is the command that was meant.
func exit(ctx context.Context, e *env.Env, path []*cli.Command, err error) int {
	var status failure.Status
	var stopped Interrupted
	var beside *failure.Beside
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &beside):
		for _, one := range beside.Damaged {
			fmt.Fprintln(e.Err, "WARNING: "+format.EscapeText(one.Error()))
			printHint(e, one)
		}
		return 0
	case errors.Is(err, context.Canceled) && errors.As(context.Cause(ctx), &stopped):
		return 128 + int(stopped.Signal)
	case ownOutput(err):
		// Whoever read our output has seen enough; SIGPIPE would say nothing either.
		return 128 + int(syscall.SIGPIPE)
	}
	if text, code := usageError(e, path, err); code != 0 {
		fmt.Fprintln(e.Err, format.EscapeText(text))
		return code
	}
	var several failure.Several
	if !errors.As(err, &several) {
		several = failure.Several{err}
	}
	code := 1
	for _, one := range several {
		printError(e, one)
		code = exitCode(one)
	}
	return code
}

// ownOutput reports whether err is that of a write to our own output, which nobody reads
// any more. A process of ours that has died closes a pipe, too, and that is an error.
func ownOutput(err error) bool {
	var failed *fs.PathError
	return errors.Is(err, syscall.EPIPE) && errors.As(err, &failed) && (failed.Path == os.Stdout.Name() || failed.Path == os.Stderr.Name())
}

// usageError words what is wrong with the command line itself. The code is 0
// when err is about something else.
func usageError(e *env.Env, path []*cli.Command, err error) (text string, code int) {
	var flag *flagError
	var value *failure.Value
	var count *failure.Count
	name := commandName(e, path)
	run := "Run '" + name + " --help' for more information"
	switch {
	case errors.As(err, &flag):
		return flag.text + "\n\n" + usageLine(e, path) + "\n\n" + run, 125
	case errors.As(err, &value):
		title := "--" + value.Flag
		if len(path) > 0 {
			if f := findFlag(path[len(path)-1].Flags, value.Flag); f != nil {
				title = flagTitle(f)
			}
		}
		return fmt.Sprintf("invalid argument %q for %q flag: %v\n\n%s\n\n%s",
			value.Value, title, value.Err, usageLine(e, path), run), 125
	case errors.As(err, &count):
		if strings.HasPrefix(count.Text, "requires at least") && !strings.Contains(count.Text, "at most") {
			run = "See" + run[len("Run"):]
		}
		return fmt.Sprintf("%s: '%s' %s\n\n%s\n\n%s", e.Program, name, count.Text, usageLine(e, path), run), 1
	case errors.Is(err, errUnknownCommand):
		text = fmt.Sprintf("%s: %v\n\n", e.Program, strings.Replace(err.Error(), ": ", ": "+name+" ", 1))
		if len(path) > 0 {
			usage := name
			if path[len(path)-1].Name == "volume" {
				usage += " COMMAND" // docker's, for this noun alone
			}
			text += "Usage:  " + usage + "\n\n"
		}
		return text + run, 1
	}
	return "", 0
}

func printError(e *env.Env, err error) {
	var said *failure.Error
	var setup *failure.Setup
	text := format.EscapeText(err.Error())
	isSetup := errors.As(err, &setup)
	local := isSetup && setup.Local
	if errors.As(err, &said) {
		local = said.Local // who would have said it in docker's case
	}
	if e.Docker() {
		text = runtimeWords(err, text)
	}
	switch {
	case !e.Docker():
		text = "Error: " + text
	case !local && isSetup && setup.Command == "run":
		text = "docker: Error response from daemon: " + text
	case isSetup:
		text = "docker: " + text
	case !local:
		text = "Error response from daemon: " + text
	}
	if e.Docker() && isSetup {
		text += "\n\nRun 'docker " + setup.Command + " --help' for more information"
	}
	fmt.Fprintln(e.Err, text)
	if e.Debug {
		printChain(e.Err, err)
	}
	printHint(e, err)
}

func printHint(e *env.Env, err error) {
	var h hinter
	if errors.As(err, &h) && h.Hint() != "" && !e.Docker() {
		fmt.Fprintln(e.Err, "hint: "+format.EscapeText(h.Hint()))
	}
}

// runtimeWords puts around a process that could not be started what docker's
// daemon, containerd and runc put around it.
func runtimeWords(err error, text string) string {
	var start *lifecycle.StartError
	if !errors.As(err, &start) || start.Code == 125 {
		return text
	}
	const before = "failed to create task for container: failed to create shim task: OCI runtime create failed: " +
		"runc create failed: unable to start container process: error during container init: "
	if said := format.EscapeText(start.Error()); strings.HasSuffix(text, said) {
		return strings.TrimSuffix(text, said) + before + said + ": unknown"
	}
	return before + text + ": unknown"
}

// printChain shows what --debug asks for: each cause on a line of its own.
func printChain(w io.Writer, err error) {
	for err = errors.Unwrap(err); err != nil; err = errors.Unwrap(err) {
		fmt.Fprintln(w, format.EscapeText(fmt.Sprintf("cause: %v (%T)", err, err)))
	}
}

// setupCode is docker's: its client takes the exit code of a failed run from the
// text (cli/command/container/run.go, toStatusError).
func setupCode(text string) int {
	contains := func(part string) bool { return strings.Contains(text, part) }
	switch {
	case contains("executable file not found"), contains("no such file or directory"):
		return 127
	case contains(syscall.EACCES.Error()), contains(syscall.EISDIR.Error()):
		return 126
	}
	return 125
}

func exitCode(err error) int {
	var setup *failure.Setup
	var said *failure.Error
	var start *lifecycle.StartError
	isSetup := errors.As(err, &setup)
	switch {
	case isSetup && setup.Code != 0 && setup.Code != 125:
		return setup.Code
	case !isSetup && errors.As(err, &said) && said.Code != 0:
		return said.Code
	case errors.As(err, &start) && start.Code != 0 && (start.Code != 125 || !isSetup):
		return start.Code
	case isSetup && !setup.Local:
		return setupCode(err.Error())
	case isSetup:
		return 125
	}
	return 1
}
