package build

import (
	"errors"
	"fmt"
	"strings"

	"skiff/build/dockerfile"
)

// Failure is why a build failed, with the place in the Dockerfile.
type Failure struct {
	Err error
	// Step is how the failed step was announced, Log the end of its output; both
	// are empty if nothing ran.
	Step string
	Log  []string
	// File and Source are the Dockerfile, Start and End the lines at fault.
	File       string
	Source     []byte
	Start, End int
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// ExitError says that the process of a RUN failed.
type ExitError struct {
	Args []string
	Code int
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("process %q did not complete successfully: exit code: %d", strings.Join(e.Args, " "), e.Code)
}

// at blames an error on a command.
func at(c *dockerfile.Command, err error) error {
	var f *Failure
	if err == nil || errors.As(err, &f) {
		return err
	}
	return &Failure{Err: err, Start: c.Start, End: c.End}
}

// explain completes an error with what the user wrote.
func (b *builder) explain(err error) error {
	var f *Failure
	var parse *dockerfile.Error
	if errors.As(err, &parse) && !errors.As(err, &f) {
		f = &Failure{Err: err, Start: parse.Line, End: max(parse.Line, parse.End)}
		err = f
	}
	if errors.As(err, &f) && f.Source == nil {
		f.File, f.Source = b.Name, b.Dockerfile
	}
	return err
}

// Excerpt is the part of the Dockerfile that is at fault, as BuildKit shows it;
// empty when that is not known.
func (f *Failure) Excerpt() string {
	if f.Start <= 0 {
		return ""
	}
	lines := strings.Split(string(f.Source), "\n")
	if f.Start > len(lines) {
		return ""
	}
	// As many lines around it as BuildKit has: four, or fewer for a long command.
	pad := max(0, 4-(f.End-f.Start))
	start, end := f.Start, min(max(f.End, f.Start), len(lines))
	first, last := start, end
	for pad > 0 && (first > 1 || last < len(lines)) {
		if first > 1 {
			first--
			pad--
		}
		if pad > 0 && last < len(lines) {
			last++
			pad--
		}
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s:%d\n--------------------\n", f.File, f.Start)
	for i := first; i <= last; i++ {
		mark := "   "
		if i >= start && i <= end {
			mark = ">>>"
		}
		fmt.Fprintf(&out, "%4d | %s %s\n", i, mark, lines[i-1])
	}
	out.WriteString("--------------------\n")
	return out.String()
}
