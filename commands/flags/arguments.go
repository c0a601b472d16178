// Package flags holds what verbs share about flags: option groups, the parsers
// of their values, and the checks of operands. A parser here takes a string
// and returns a typed value or says in docker's words why not; it touches
// neither files nor the store unless its name says so.
package flags

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"skiff/commands/failure"
)

// ExactArgs returns a *failure.Count unless c has exactly n operands.
func ExactArgs(c *cli.Context, n int) error {
	if c.NArg() == n {
		return nil
	}
	if n == 0 {
		return &failure.Count{Text: "accepts no arguments"}
	}
	return &failure.Count{Text: fmt.Sprintf("requires %d %s", n, arguments(n))}
}

// MinArgs returns a *failure.Count unless c has at least n operands.
func MinArgs(c *cli.Context, n int) error {
	if c.NArg() >= n {
		return nil
	}
	return &failure.Count{Text: fmt.Sprintf("requires at least %d %s", n, arguments(n))}
}

// MaxArgs returns a *failure.Count if c has more than n operands.
func MaxArgs(c *cli.Context, n int) error {
	if c.NArg() <= n {
		return nil
	}
	return &failure.Count{Text: fmt.Sprintf("requires at most %d %s", n, arguments(n))}
}

// RangeArgs returns a *failure.Count unless c has from low to high operands.
func RangeArgs(c *cli.Context, low, high int) error {
	if n := c.NArg(); n >= low && n <= high {
		return nil
	}
	return &failure.Count{Text: fmt.Sprintf("requires at least %d and at most %d %s", low, high, arguments(high))}
}

func arguments(n int) string {
	if n == 1 {
		return "argument"
	}
	return "arguments"
}

// Typed gives a flag another word than "string" for its value in help texts:
// bytes, decimal. The word lies in DefaultText, which our help has no other use
// for; a wrapper would hide from the library that commas do not separate.
func Typed(f *cli.StringFlag, word string) cli.Flag {
	f.DefaultText = word
	return f
}

// TypedList is Typed for a flag that may be repeated: mount, ulimit.
func TypedList(f *cli.StringSliceFlag, word string) cli.Flag {
	f.DefaultText = word
	return f
}
