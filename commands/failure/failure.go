// Package failure holds the errors whose wording or exit code docker promises
// to its users. Commands make them where they know what was typed; only
// commands/exit.go prints them. A plain error is docker's "Error response from
// daemon" with exit code 1, so most commands need nothing from here.
package failure

import (
	"errors"
	"fmt"
	"strings"

	"skiff/storage/atomicfile"
)

// Status ends the program with this exit code and prints nothing: the exit
// code of a container's process.
type Status int

func (s Status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// Error gives docker's words to a cause.
type Error struct {
	Text  string // docker's words, without any prefix
	Code  int    // exit code; 0 stands for 1
	Local bool   // docker's client says it, not its daemon: no daemon prefix
	Cause error  // may be nil; its Hint is printed
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Cause }

// Engine says in docker's words what its daemon would have answered.
func Engine(cause error, format string, args ...any) error {
	return &Error{Text: fmt.Sprintf(format, args...), Cause: cause}
}

// Local says in docker's words what its client finds out by itself.
func Local(format string, args ...any) error {
	return &Error{Text: fmt.Sprintf(format, args...), Local: true}
}

// Setup is a failure of `run` before the container's process was executed:
// exit code 125, and docker names the command in front and points to its help.
type Setup struct {
	Command string // run or create
	Code    int    // 125, 126 or 127; 0 stands for 125
	Local   bool   // about the options alone, found before the engine was asked
	Err     error
}

func (e *Setup) Error() string { return e.Err.Error() }
func (e *Setup) Unwrap() error { return e.Err }

// Several are failures of independent arguments; each is printed on a line of
// its own.
type Several []error

func (s Several) Error() string {
	lines := make([]string, len(s))
	for i, err := range s {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.Is and errors.As look into every one of them.
func (s Several) Unwrap() []error { return s }

// Err returns s as an error: nil when it is empty, the only one if it is alone.
func (s Several) Err() error {
	switch len(s) {
	case 0:
		return nil
	case 1:
		return s[0]
	}
	return s
}

// Beside is what a list lacks that was shown otherwise: entries that are damaged. It
// is a warning and no failure, as docker's daemon leaves out of its lists what it
// cannot read and says so in its log; a command that means one of them fails.
type Beside struct{ Damaged []error }

func (b *Beside) Error() string { return errors.Join(b.Damaged...).Error() }

// Listed returns the error of a command that has shown a list: of showing it, and of
// what could not be read for it.
func Listed(shown, broken error) error {
	if broken == nil || shown != nil {
		return errors.Join(shown, broken)
	}
	leaves := leavesOf(broken)
	for _, one := range leaves {
		var damaged *atomicfile.DamagedError
		if !errors.As(one, &damaged) {
			return broken
		}
	}
	return &Beside{leaves}
}

// leavesOf takes apart what errors.Join has put together.
func leavesOf(err error) (leaves []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	for _, one := range joined.Unwrap() {
		leaves = append(leaves, leavesOf(one)...)
	}
	return leaves
}

// Value says that the value of a flag cannot be used: docker's usage message
// and exit code 125.
type Value struct {
	Flag  string // long name, without dashes
	Value string
	Err   error
}

func (e *Value) Error() string {
	return fmt.Sprintf("invalid argument %q for --%s: %v", e.Value, e.Flag, e.Err)
}
func (e *Value) Unwrap() error { return e.Err }

// Count says that a command got a wrong number of arguments.
type Count struct {
	Text string // "requires at least 1 argument"
}

func (e *Count) Error() string { return e.Text }
