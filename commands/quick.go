package commands

import (
	"slices"

	"github.com/urfave/cli/v2"
)

// quicken gives the commands on l's path only the flags that this line needs,
// until the returned function is called: those that it names, and those that are
// something when they are not named. The library registers every flag, asks each
// of them for its names once for every other, and works these out with a regular
// expression each time: 3 ms of `run`, which has a hundred flags.
func quicken(l *line) (restore func()) {
	before := make([][]cli.Flag, len(l.path))
	for i, c := range l.path {
		before[i], c.Flags = c.Flags, l.needed(c.Flags)
	}
	return func() {
		for i, c := range l.path {
			c.Flags = before[i]
		}
	}
}

func (l *line) needed(flags []cli.Flag) []cli.Flag {
	var out []cli.Flag
	// The library would answer for a flag that it does not know with the global
	// one of that name.
	globals := globalFlags()
	for _, f := range flags {
		if !idle(f) || slices.Contains(l.given, f) || findFlag(globals, longName(f)) != nil {
			out = append(out, f)
		}
	}
	return out
}

// idle reports whether a flag that the line does not name is the zero value of
// its type, which is what the library says of a flag that it does not know.
// Anything unusual about a flag makes it not idle.
func idle(f cli.Flag) bool {
	switch f := f.(type) {
	case *cli.BoolFlag:
		return !f.Value && !f.Required && f.EnvVars == nil && f.Destination == nil && f.Action == nil
	case *cli.StringFlag:
		return f.Value == "" && !f.Required && f.EnvVars == nil && f.Destination == nil && f.Action == nil
	case *cli.StringSliceFlag:
		return f.Value == nil && !f.Required && f.EnvVars == nil && f.Destination == nil && f.Action == nil
	case *cli.IntFlag:
		return f.Value == 0 && !f.Required && f.EnvVars == nil && f.Destination == nil && f.Action == nil
	}
	return false
}

// names are f.Names(), for the usual flags without the library's detour: ours
// have no commas and blanks in their names.
func names(f cli.Flag) []string {
	var name string
	var aliases []string
	switch f := f.(type) {
	case *cli.BoolFlag:
		name, aliases = f.Name, f.Aliases
	case *cli.StringFlag:
		name, aliases = f.Name, f.Aliases
	case *cli.StringSliceFlag:
		name, aliases = f.Name, f.Aliases
	case *cli.IntFlag:
		name, aliases = f.Name, f.Aliases
	default:
		return f.Names()
	}
	if len(aliases) == 0 {
		return []string{name}
	}
	return append([]string{name}, aliases...)
}
