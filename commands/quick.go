package commands

import (
	"slices"

	"github.com/urfave/cli/v2"

	"skiff/commands/flags"
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

func (l *line) needed(all []cli.Flag) []cli.Flag {
	var out []cli.Flag
	// The library would answer for a flag that it does not know with the global
	// one of that name.
	globals := globalFlags()
	for _, f := range all {
		if !flags.Idle(f) || slices.Contains(l.given, f) || findFlag(globals, longName(f)) != nil {
			out = append(out, f)
		}
	}
	return out
}
