package commands

import (
	"slices"
	"testing"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/flags"
)

// TestNames_AreTheLibrarys holds names to what it stands for, for every flag.
func TestNames_AreTheLibrarys(t *testing.T) {
	n := 0
	var walk func(all []cli.Flag, list []*cli.Command)
	walk = func(all []cli.Flag, list []*cli.Command) {
		for _, f := range all {
			n++
			if got := flags.Names(f); !slices.Equal(got, f.Names()) {
				t.Errorf("got %q, want %q", got, f.Names())
			}
		}
		for _, c := range list {
			walk(c.Flags, c.Subcommands)
		}
	}
	app := App(env.New("skiff"))
	walk(app.Flags, app.Commands)
	if n < 100 {
		t.Errorf("only %d flags were looked at", n)
	}
}

// TestQuicken_ChangesNoValue reads every flag of every command with and without
// it, on a line that names none.
func TestQuicken_ChangesNoValue(t *testing.T) {
	read := func(quick bool, path ...string) map[string]any {
		app := App(env.New("skiff"))
		l, err := parseLine(app, append([]string{"skiff"}, path...))
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]any{}
		c := l.path[len(l.path)-1]
		all := c.Flags
		if quick {
			quicken(&l)
		}
		c.Action = func(ctx *cli.Context) error {
			for _, f := range all {
				name := longName(f)
				switch f.(type) {
				case *cli.BoolFlag:
					values[name] = ctx.Bool(name)
				case *cli.StringSliceFlag:
					values[name] = len(ctx.StringSlice(name))
				case *cli.IntFlag:
					values[name] = ctx.Int(name)
				case *cli.Int64Flag:
					values[name] = ctx.Int64(name)
				case *cli.UintFlag:
					values[name] = ctx.Uint(name)
				case *cli.DurationFlag:
					values[name] = ctx.Duration(name)
				case *cli.StringFlag:
					values[name] = ctx.String(name)
				default:
					values[name] = ctx.Value(name)
				}
				values["is set: "+name] = ctx.IsSet(name)
			}
			return nil
		}
		if err := app.Run(l.args); err != nil {
			t.Fatal(err)
		}
		return values
	}
	var walk func(list []*cli.Command, path ...string)
	walk = func(list []*cli.Command, path ...string) {
		for _, c := range list {
			words := append(slices.Clone(path), c.Name)
			if len(c.Subcommands) > 0 {
				walk(c.Subcommands, words...)
				continue
			}
			slow, quick := read(false, words...), read(true, words...)
			for name, want := range slow {
				if quick[name] != want {
					t.Errorf("%q, %s: got %v, want %v", words, name, quick[name], want)
				}
			}
		}
	}
	walk(App(env.New("skiff")).Commands)
}
