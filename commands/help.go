package commands

import (
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
)

// helpWidth is where docker's usage texts are wrapped, terminal or not.
const helpWidth = 80

// commandName is how the command at the end of path is called.
func commandName(e *env.Env, path []*cli.Command) string {
	words := []string{e.Program}
	for _, c := range path {
		words = append(words, c.Name)
	}
	return strings.Join(words, " ")
}

// usageLine is the first line of a command's help. ArgsUsage may have several
// lines, one a form.
func usageLine(e *env.Env, path []*cli.Command) string {
	name := commandName(e, path)
	if len(path) == 0 {
		return "Usage:  " + name + " [OPTIONS] COMMAND [ARG...]"
	}
	c := path[len(path)-1]
	if len(c.Subcommands) > 0 {
		return "Usage:  " + name + " COMMAND"
	}
	forms := strings.Split(c.ArgsUsage, "\n")
	for i, form := range forms {
		forms[i] = strings.TrimSpace(name + " " + form)
	}
	return "Usage:  " + strings.Join(forms, "\n\t")
}

// printHelp writes the usage text of the command at the end of path, or of the
// program, in docker's shape.
func printHelp(w io.Writer, e *env.Env, app *cli.App, path []*cli.Command) error {
	var b strings.Builder
	if len(path) == 0 {
		rootHelp(&b, e, app)
	} else {
		commandHelp(&b, e, app, path)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func rootHelp(b *strings.Builder, e *env.Env, app *cli.App) {
	fmt.Fprintf(b, "Usage:  %s [OPTIONS] COMMAND\n\n%s\n", e.Program, app.Usage)
	var common, groups, others []*cli.Command
	for _, c := range app.Commands {
		switch {
		case c.Hidden:
		case c.Category == "Common":
			common = append(common, c)
		case len(c.Subcommands) > 0:
			groups = append(groups, c)
		default:
			others = append(others, c)
		}
	}
	byName := func(list []*cli.Command) []*cli.Command {
		sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
		return list
	}
	writeCommands(b, "Common Commands", common)
	writeCommands(b, "Management Commands", byName(groups))
	writeCommands(b, "Commands", byName(others))
	fmt.Fprintf(b, "\nGlobal Options:\n%s", flagTable(app.Flags))
	fmt.Fprintf(b, "\nRun '%s COMMAND --help' for more information on a command.\n", e.Program)
}

func commandHelp(b *strings.Builder, e *env.Env, app *cli.App, path []*cli.Command) {
	c := path[len(path)-1]
	fmt.Fprintf(b, "%s\n\n%s\n", usageLine(e, path), c.Usage)
	if c.Description != "" {
		fmt.Fprintf(b, "\n%s\n", c.Description)
	}
	if names := aliases(e, app, c); len(names) > 1 {
		fmt.Fprintf(b, "\nAliases:\n  %s\n", strings.Join(names, ", "))
	}
	if table := flagTable(c.Flags); table != "" {
		fmt.Fprintf(b, "\nOptions:\n%s", table)
	}
	if len(c.Subcommands) > 0 {
		writeCommands(b, "Commands", c.Subcommands)
		fmt.Fprintf(b, "\nRun '%s COMMAND --help' for more information on a command.\n", commandName(e, path))
	}
}

// aliases lists all the ways to call what c does: commands with the same
// purpose text are the same verb, built by the same constructor.
func aliases(e *env.Env, app *cli.App, c *cli.Command) []string {
	var long, short []string
	for _, top := range app.Commands {
		for _, sub := range top.Subcommands {
			if sub.Usage == c.Usage {
				for _, n := range sub.Names() {
					long = append(long, e.Program+" "+top.Name+" "+n)
				}
			}
		}
		if top.Usage == c.Usage {
			for _, n := range top.Names() {
				short = append(short, e.Program+" "+n)
			}
		}
	}
	return append(long, short...)
}

func writeCommands(b *strings.Builder, title string, list []*cli.Command) {
	if len(list) == 0 {
		return
	}
	width := 0
	for _, c := range list {
		width = max(width, len(c.Name))
	}
	fmt.Fprintf(b, "\n%s:\n", title)
	for _, c := range list {
		if !c.Hidden {
			fmt.Fprintf(b, "  %-*s   %s\n", width, c.Name, c.Usage)
		}
	}
}

// flagTable is the option table of a help text, wrapped at helpWidth.
func flagTable(list []cli.Flag) string {
	type row struct{ name, usage string }
	var rows []row
	width := 0
	for _, f := range sortedFlags(list) {
		r := row{name: flagSyntax(f), usage: flagUsage(f)}
		rows = append(rows, r)
		width = max(width, len(r.name))
	}
	var b strings.Builder
	for _, r := range rows {
		indent := strings.Repeat(" ", width+3)
		usage := wrap(r.usage, helpWidth-width-3)
		fmt.Fprintf(&b, "%-*s   %s\n", width, r.name, strings.Join(usage, "\n"+indent))
	}
	return b.String()
}

// sortedFlags returns the flags that are not hidden by name.
func sortedFlags(list []cli.Flag) []cli.Flag {
	var shown []cli.Flag
	for _, f := range list {
		if v, ok := f.(cli.VisibleFlag); !ok || v.IsVisible() {
			shown = append(shown, f)
		}
	}
	sort.Slice(shown, func(i, j int) bool { return longName(shown[i]) < longName(shown[j]) })
	return shown
}

// flagSyntax is "  -m, --memory bytes".
func flagSyntax(f cli.Flag) string {
	text := "      "
	for _, n := range f.Names() {
		if len(n) == 1 {
			text = "  -" + n + ", "
		}
	}
	text += "--" + longName(f)
	if word := valueWord(f); word != "" {
		text += " " + word
	}
	return text
}

// valueWord is docker's word for what a flag takes, empty for a boolean.
func valueWord(f cli.Flag) string {
	switch f := f.(type) {
	case *cli.BoolFlag:
		return ""
	case *cli.StringFlag:
		if f.DefaultText != "" {
			return f.DefaultText
		}
	case *cli.StringSliceFlag:
		if f.DefaultText != "" {
			return f.DefaultText
		}
		return "list"
	case *cli.IntFlag, *cli.Int64Flag:
		return "int"
	case *cli.UintFlag, *cli.Uint64Flag:
		return "uint"
	case *cli.DurationFlag:
		return "duration"
	}
	return "string"
}

func flagUsage(f cli.Flag) string {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return ""
	}
	usage := d.GetUsage()
	switch f := f.(type) {
	case *cli.StringFlag:
		if f.Value != "" {
			usage += fmt.Sprintf(" (default %q)", f.Value)
		}
	case *cli.IntFlag:
		if f.Value != 0 {
			usage += fmt.Sprintf(" (default %d)", f.Value)
		}
	case *cli.BoolFlag:
		if f.Value {
			usage += " (default true)"
		}
	}
	return usage
}

// wrap breaks text into lines of at most width columns where words allow.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
