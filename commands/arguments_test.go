package commands

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
)

// testApp has the commands that the shapes of a command line need.
func testApp(e *env.Env) *cli.App {
	app := App(e)
	web := []cli.Flag{
		&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}},
		&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}},
		&cli.BoolFlag{Name: "rm"},
		&cli.StringFlag{Name: "hostname", Aliases: []string{"h"}},
		&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}},
		&cli.StringFlag{Name: "memory", Aliases: []string{"m"}},
	}
	force := []cli.Flag{
		&cli.BoolFlag{Name: "force", Aliases: []string{"f"}},
		&cli.IntFlag{Name: "last", Aliases: []string{"n"}},
	}
	app.Commands = []*cli.Command{
		{Name: "run", Flags: web},
		{Name: "rm", Flags: force},
		{Name: "volume", Subcommands: []*cli.Command{{Name: "create", Flags: force}}},
		{Name: "container", Subcommands: []*cli.Command{{Name: "run", Flags: web}, {Name: "rm", Aliases: []string{"remove"}, Flags: force}}},
	}
	for _, c := range app.Commands {
		settle(c)
	}
	return app
}

func testEnv() (*env.Env, *bytes.Buffer, *bytes.Buffer) {
	var out, errOut bytes.Buffer
	e := env.New("skiff")
	e.Out, e.Err = &out, &errOut
	return e, &out, &errOut
}

func TestParseLine(t *testing.T) {
	cases := []struct {
		name, in, want, err string
		help                bool
	}{
		{name: "combines short flags", in: "run -it alpine", want: "run --interactive=true --tty=true -- alpine"},
		{name: "gives the last short flag a value", in: "run -ite A=1 alpine", want: "run --interactive=true --tty=true --env=A=1 -- alpine"},
		{name: "takes a value stuck to its letter", in: "run -m64m alpine", want: "run --memory=64m -- alpine"},
		{name: "takes a value behind an equals sign", in: "run -m=64m --env=B=2 alpine", want: "run --memory=64m --env=B=2 -- alpine"},
		{name: "stops at the image", in: "run --rm alpine ls -l --rm", want: "run --rm=true -- alpine ls -l --rm"},
		{name: "stops at the image in the management form", in: "container run alpine -it", want: "container run -- alpine -it"},
		{name: "takes flags behind operands", in: "rm web -f db", want: "rm --force=true -- web db"},
		{name: "takes flags behind operands of volume create", in: "volume create v -f", want: "volume create --force=true -- v"},
		{name: "ends flags at two dashes", in: "rm -- -f", want: "rm -- -f"},
		{name: "takes a lone dash as operand", in: "rm -", want: "rm -- -"},
		{name: "knows aliases of commands", in: "container remove x", want: "container remove -- x"},
		{name: "takes -h for the host name of run", in: "run -h web alpine", want: "run --hostname=web -- alpine"},
		{name: "takes help for a command", in: "help container rm", help: true},
		{name: "refuses an unknown help topic", in: "help nope", err: "unknown help topic: nope", help: true},
		{name: "takes -h for help elsewhere", in: "rm -h", help: true},
		{name: "takes --help anywhere", in: "rm web --help", help: true},
		{name: "leaves --help behind the image alone", in: "run alpine --help", want: "run -- alpine --help"},
		{name: "keeps global flags in front", in: "-D rm x", want: "--debug=true rm -- x"},
		{name: "sets a boolean to false", in: "run --rm=false alpine", want: "run --rm=false -- alpine"},
		{name: "refuses an unknown flag", in: "rm --nope", err: "unknown flag: --nope"},
		{name: "refuses a long flag with one dash", in: "rm -force", err: "unknown shorthand flag: 'o' in -force"},
		{name: "refuses a letter spelled long", in: "rm --f", err: "unknown flag: --f"},
		{name: "refuses an unknown letter", in: "run -itx alpine", err: "unknown shorthand flag: 'x' in -itx"},
		{name: "wants a value", in: "run --memory", err: "flag needs an argument: --memory"},
		{name: "wants a value for a letter", in: "run -m", err: "flag needs an argument: 'm' in -m"},
		{name: "wants a boolean", in: "run --rm=x", err: `invalid argument "x" for "--rm" flag: strconv.ParseBool: parsing "x": invalid syntax`},
		{name: "wants a number", in: "rm -n x", err: `invalid argument "x" for "-n, --last" flag: strconv.ParseInt: parsing "x": invalid syntax`},
		{name: "refuses an unknown command", in: "nope", err: "unknown command: nope"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e, _, _ := testEnv()
			l, err := parseLine(testApp(e), append([]string{"skiff"}, strings.Fields(c.in)...))
			if got := errText(err); got != c.err {
				t.Fatalf("error %q, want %q", got, c.err)
			}
			if l.help != c.help {
				t.Fatalf("help = %v, want %v", l.help, c.help)
			}
			if got := strings.Join(l.args[1:], " "); err == nil && !c.help && got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestApp_LibrarySettings(t *testing.T) {
	run := func(t *testing.T, line ...string) (values []string, args []string) {
		t.Helper()
		e, _, _ := testEnv()
		app := testApp(e)
		for _, c := range app.Commands {
			c.Action = func(c *cli.Context) error {
				values, args = c.StringSlice("env"), c.Args().Slice()
				return nil
			}
		}
		l, err := parseLine(app, append([]string{"skiff"}, line...))
		if err != nil {
			t.Fatal(err)
		}
		if err := app.RunContext(context.Background(), l.args); err != nil {
			t.Fatal(err)
		}
		return values, args
	}
	t.Run("a comma does not split a list flag", func(t *testing.T) {
		if values, _ := run(t, "run", "-e", "A=1,2", "-e", "B=3", "alpine"); len(values) != 2 || values[0] != "A=1,2" {
			t.Errorf("got %q", values)
		}
	})
	t.Run("an operand called help is an operand", func(t *testing.T) {
		for _, word := range []string{"h", "help"} {
			if _, args := run(t, "rm", word); len(args) != 1 || args[0] != word {
				t.Errorf("got %q", args)
			}
		}
	})
	t.Run("an operand that looks like a flag of the program is an operand", func(t *testing.T) {
		if _, args := run(t, "run", "alpine", "--version", "-D", "--"); len(args) != 4 {
			t.Errorf("got %q", args)
		}
	})
}

func TestRun_PrintsUsageErrorsAsDocker(t *testing.T) {
	cases := []struct {
		name, in, want string
		code           int
	}{
		{"unknown flag", "version --nope", "unknown flag: --nope\n\nUsage:  skiff version [OPTIONS]\n\nRun 'skiff version --help' for more information\n", 125},
		{"unknown command", "nope", "skiff: unknown command: skiff nope\n\nRun 'skiff --help' for more information\n", 1},
		{"unknown global flag", "--nope", "unknown flag: --nope\n\nUsage:  skiff [OPTIONS] COMMAND [ARG...]\n\nRun 'skiff --help' for more information\n", 125},
		{"too many arguments", "version x", "skiff: 'skiff version' accepts no arguments\n\nUsage:  skiff version [OPTIONS]\n\nRun 'skiff version --help' for more information\n", 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e, _, errOut := testEnv()
			code := Run(context.Background(), e, append([]string{"skiff"}, strings.Fields(c.in)...))
			if code != c.code || errOut.String() != c.want {
				t.Errorf("code %d, want %d; got:\n%s\nwant:\n%s", code, c.code, errOut.String(), c.want)
			}
		})
	}
}
