package commands

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"skiff/commands/completion"
	"skiff/commands/golden"
)

func TestCompletions_AreFresh(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		e, _, _ := testEnv()
		var b bytes.Buffer
		if err := completion.Write(&b, App(e), shell); err != nil {
			t.Fatal(err)
		}
		golden.CheckFile(t, filepath.Join("..", "completions", "skiff."+shell), b.String())
	}
}

// A page of docs/man is prose by hand around two generated parts.
const (
	beginOptions = "<!-- options: generated from the command tree, see commands/manual_test.go -->"
	endOptions   = "<!-- end of options -->"
)

func TestManual_IsFresh(t *testing.T) {
	e, _, _ := testEnv()
	app := App(e)
	pages, short := map[string]bool{}, map[string]bool{}
	for _, c := range app.Commands {
		short[c.Usage] = true
	}
	for _, c := range app.Commands {
		for _, sub := range c.Subcommands {
			for _, deeper := range sub.Subcommands {
				checkPage(t, pages, []*cli.Command{c, sub, deeper})
			}
			if len(sub.Subcommands) > 0 {
				continue
			}
			// What also exists in short form has its page there.
			if !short[sub.Usage] && !sub.Hidden {
				checkPage(t, pages, []*cli.Command{c, sub})
			}
		}
		if len(c.Subcommands) == 0 && !c.Hidden {
			checkPage(t, pages, []*cli.Command{c})
		}
	}
	files, err := filepath.Glob("../docs/man/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !pages[filepath.Base(f)] {
			t.Errorf("%s: there is no such command", f)
		}
	}
}

func checkPage(t *testing.T, pages map[string]bool, path []*cli.Command) {
	t.Helper()
	e, _, _ := testEnv()
	c := path[len(path)-1]
	name := strings.ReplaceAll(strings.TrimPrefix(commandName(e, path), "skiff "), " ", "-")
	pages[name+".md"] = true
	file := filepath.Join("..", "docs", "man", name+".md")
	data, err := os.ReadFile(file)
	text := string(data)
	if errors.Is(err, os.ErrNotExist) {
		text = fmt.Sprintf("# %s\n\n%s.\n\n%s\n%s\n", commandName(e, path), c.Usage, beginOptions, endOptions)
	} else if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(text, beginOptions)
	_, after, ok2 := strings.Cut(rest, endOptions)
	if !ok || !ok2 {
		t.Fatalf("%s: the markers of the option table are missing", file)
	}
	golden.CheckFile(t, file, before+beginOptions+"\n"+optionTable(usageLine(e, path), c)+endOptions+after)
}

func optionTable(usage string, c *cli.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "```\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(usage, "Usage:  "), "\n\t", "\n"))
	list := sortedFlags(c.Flags)
	if len(list) > 0 {
		b.WriteString("\n| Option | Meaning |\n| --- | --- |\n")
	}
	for _, f := range list {
		meaning := strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(flagUsage(f))
		fmt.Fprintf(&b, "| `%s` | %s |\n", strings.TrimSpace(flagSyntax(f)), meaning)
	}
	return b.String()
}

func TestFlags_HaveUsageAndNoTwoNames(t *testing.T) {
	e, _, _ := testEnv()
	var visit func(prefix string, list []*cli.Command)
	visit = func(prefix string, list []*cli.Command) {
		for _, c := range list {
			seen := map[string]bool{}
			if c.Usage == "" {
				t.Errorf("%s %s has no usage text", prefix, c.Name)
			}
			for _, f := range c.Flags {
				if d, ok := f.(cli.DocGenerationFlag); !ok || d.GetUsage() == "" {
					t.Errorf("%s %s --%s has no usage text", prefix, c.Name, f.Names()[0])
				}
				for _, n := range f.Names() {
					if seen[n] {
						t.Errorf("%s %s has two flags named %s", prefix, c.Name, n)
					}
					seen[n] = true
				}
			}
			visit(prefix+" "+c.Name, c.Subcommands)
		}
	}
	visit("skiff", App(e).Commands)
}

// Every command prints a help text without touching the world.
func TestHelp_IsComplete(t *testing.T) {
	e, _, _ := testEnv()
	app := App(e)
	var names []string
	for _, c := range app.Commands {
		names = append(names, c.Name)
		for _, s := range c.Subcommands {
			names = append(names, c.Name+" "+s.Name)
		}
	}
	sort.Strings(names)
	for _, n := range names {
		e, out, _ := testEnv()
		if code := Run(t.Context(), e, append([]string{"skiff"}, append(strings.Fields(n), "--help")...)); code != 0 {
			t.Errorf("%s --help: exit code %d", n, code)
		}
		if !strings.HasPrefix(out.String(), "Usage:  skiff "+n) {
			t.Errorf("%s --help:\n%s", n, out)
		}
	}
}
