package commands

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/failure"
	"skiff/commands/flags"
)

// line is a command line understood in docker's manner.
type line struct {
	// path leads from the program to the command that was meant: its parents
	// and itself. It is filled as far as it was understood.
	path []*cli.Command
	// args say the same in the only form in which the flag package and docker
	// cannot differ: program, command words, --name=value..., --, operands.
	args []string
	// help: the usage text was asked for, by --help or by naming only a group.
	help bool
	// bare: a group was named without a command; docker shows help on stderr.
	bare bool
	// given are the command's flags that args name.
	given []cli.Flag
}

// errUnknownFlag and its like make exit code 125.
type flagError struct{ text string }

func (e *flagError) Error() string { return e.text }

// errUnknownCommand makes exit code 1.
var errUnknownCommand = errors.New("unknown command")

// parseLine reads args as docker's pflag does: short flags may be combined and
// carry their value, flags may stand behind operands, except for commands that
// take another command as operand. Values of numbers and booleans are checked
// here, because the flag package would word it differently.
func parseLine(app *cli.App, args []string) (line, error) {
	l := line{args: args[:1:1]}
	flags, commands := app.Flags, app.Commands
	rest := args[1:]
	for {
		operands, err := l.takeFlags(flags, rest, len(commands) > 0 || l.stopsAtOperand())
		if err != nil || l.help {
			return l, err
		}
		if len(commands) == 0 {
			l.args = append(append(l.args, "--"), operands...)
			return l, nil
		}
		if len(operands) == 0 {
			l.help, l.bare = true, true
			return l, nil
		}
		if operands[0] == "help" && len(l.path) == 0 {
			l.help = true
			return l, l.takeTopic(commands, operands[1:])
		}
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(operands[0]) })
		if i < 0 {
			return l, fmt.Errorf("%w: %s", errUnknownCommand, operands[0])
		}
		l.path = append(l.path, commands[i])
		l.args = append(l.args, operands[0])
		rest, flags, commands = operands[1:], commands[i].Flags, commands[i].Subcommands
	}
}

// takeTopic reads the command that `help` is asked about.
func (l *line) takeTopic(commands []*cli.Command, words []string) error {
	for _, w := range words {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(w) })
		if i < 0 {
			return failure.Local("unknown help topic: %s", strings.Join(words, " "))
		}
		l.path, commands = append(l.path, commands[i]), commands[i].Subcommands
	}
	return nil
}

// stopsAtOperand tells the commands whose operands are a command line of
// their own: what follows the image or container is not ours.
func (l *line) stopsAtOperand() bool {
	n := len(l.path)
	if n == 0 || n > 1 && l.path[0].Name != "container" && l.path[0].Name != "runtime" {
		return n > 1 && l.path[0].Name == "pod" && l.path[n-1].Name == "top"
	}
	switch l.path[n-1].Name {
	case "run", "create", "exec", "top", "unshare":
		return true
	}
	return false
}

// takeFlags moves the flags of rest to l.args and returns the operands. With
// stop it ends at the first operand.
func (l *line) takeFlags(flags []cli.Flag, rest []string, stop bool) (operands []string, err error) {
	for len(rest) > 0 {
		arg := rest[0]
		rest = rest[1:]
		switch {
		case arg == "--":
			return append(operands, rest...), nil
		case len(arg) < 2 || arg[0] != '-':
			operands = append(operands, arg)
			if stop {
				return append(operands, rest...), nil
			}
		case strings.HasPrefix(arg, "--"):
			rest, err = l.takeLong(flags, arg[2:], rest)
		default:
			rest, err = l.takeShort(flags, arg[1:], rest)
		}
		if err != nil || l.help {
			return nil, err
		}
	}
	return operands, nil
}

func (l *line) takeLong(flags []cli.Flag, arg string, rest []string) ([]string, error) {
	name, value, hasValue := strings.Cut(arg, "=")
	f := findFlag(flags, name)
	switch {
	case len(name) < 2 || f == nil && name != "help":
		return nil, &flagError{"unknown flag: --" + name}
	case f == nil:
		l.help = true
		return rest, nil
	case hasValue:
	case !takesValue(f):
		value = "true"
	case len(rest) == 0:
		return nil, &flagError{"flag needs an argument: --" + name}
	default:
		value, rest = rest[0], rest[1:]
	}
	return rest, l.add(f, value)
}

func (l *line) takeShort(flags []cli.Flag, letters string, rest []string) ([]string, error) {
	for i := 0; i < len(letters); i++ {
		name := letters[i : i+1]
		f := findFlag(flags, name)
		if f == nil && name == "h" {
			l.help = true
			return rest, nil
		}
		if f == nil {
			return nil, &flagError{fmt.Sprintf("unknown shorthand flag: %q in -%s", letters[i], letters)}
		}
		after := letters[i+1:]
		switch {
		case strings.HasPrefix(after, "="):
			return rest, l.add(f, after[1:])
		case !takesValue(f):
			if err := l.add(f, "true"); err != nil {
				return nil, err
			}
			continue
		case after != "":
			return rest, l.add(f, after)
		case len(rest) == 0:
			return nil, &flagError{fmt.Sprintf("flag needs an argument: %q in -%s", letters[i], letters)}
		}
		return rest[1:], l.add(f, rest[0])
	}
	return rest, nil
}

func (l *line) add(f cli.Flag, value string) error {
	if err := checkValue(f, value); err != nil {
		return &flagError{fmt.Sprintf("invalid argument %q for %q flag: %v", value, flagTitle(f), err)}
	}
	l.args, l.given = append(l.args, "--"+longName(f)+"="+value), append(l.given, f)
	return nil
}

func checkValue(f cli.Flag, value string) (err error) {
	switch f.(type) {
	case *cli.BoolFlag:
		_, err = strconv.ParseBool(value)
	case *cli.IntFlag, *cli.Int64Flag:
		_, err = strconv.ParseInt(value, 0, 64)
	case *cli.UintFlag, *cli.Uint64Flag:
		_, err = strconv.ParseUint(value, 0, 64)
	case *cli.DurationFlag:
		_, err = time.ParseDuration(value)
	}
	return err
}

func findFlag(all []cli.Flag, name string) cli.Flag {
	for _, f := range all {
		if slices.Contains(flags.Names(f), name) {
			return f
		}
	}
	return nil
}

// takesValue tells booleans, which need none, from all others.
func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return !ok || d.TakesValue()
}

// longName is the name that the command asks for; a flag may have only a letter.
func longName(f cli.Flag) string { return flags.Names(f)[0] }

// flagTitle is the flag as docker's messages name it: "-m, --memory".
func flagTitle(f cli.Flag) string {
	long := "--" + longName(f)
	for _, n := range flags.Names(f) {
		if len(n) == 1 {
			if n == longName(f) {
				return "-" + n
			}
			return "-" + n + ", " + long
		}
	}
	return long
}
