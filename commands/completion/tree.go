// Package completion writes the scripts that complete command lines in bash,
// zsh and fish. They are made from the command tree, so that they cannot know
// another flag than the program does.
package completion

import (
	"sort"
	"strings"

	"github.com/urfave/cli/v2"
)

// node is one command as a script needs it.
type node struct {
	Path  string // "container run"; empty for the program
	Name  string
	Usage string
	Flags []flag
	Subs  []*node
	Kind  string // what operands are: container, image, volume, or empty for files
	Once  bool   // only the first operand is of that kind
}

type flag struct {
	Long, Short string // without dashes; Short may be empty
	Usage       string
	Value       bool // takes one
}

// tree turns the program into nodes, the program itself first and every group
// before its members. Commands that are hidden stay hidden.
func tree(app *cli.App) []*node {
	root := &node{Usage: app.Usage, Flags: flagsOf(app.Flags)}
	all := []*node{root}
	root.Subs = addAll(&all, "", app.Commands)
	return all
}

func addAll(all *[]*node, parent string, commands []*cli.Command) []*node {
	var subs []*node
	for _, c := range commands {
		if c.Hidden {
			continue
		}
		n := &node{
			Path: strings.TrimSpace(parent + " " + c.Name), Name: c.Name, Usage: c.Usage, Flags: flagsOf(c.Flags),
		}
		n.Kind, n.Once = operands(c.ArgsUsage)
		subs = append(subs, n)
		*all = append(*all, n)
		n.Subs = addAll(all, n.Path, c.Subcommands)
	}
	return subs
}

// operands reads from a usage line what the operands are.
func operands(usage string) (kind string, once bool) {
	usage, _, _ = strings.Cut(usage, "\n")
	for _, word := range strings.Fields(usage) {
		for name, kind := range map[string]string{
			"CONTAINER": "container", "CONTAINER:SRC_PATH": "container", "IMAGE": "image", "SOURCE_IMAGE[:TAG]": "image",
			"NAME[:TAG|@DIGEST]": "image", "VOLUME": "volume", "NETWORK": "network", "NAME|ID": "container",
		} {
			if word == name {
				return kind, !strings.Contains(usage, "...]") || strings.Contains(usage, "COMMAND")
			}
		}
	}
	return "", false
}

func flagsOf(list []cli.Flag) []flag {
	flags := []flag{{Long: "help", Usage: "Print usage"}}
	for _, f := range list {
		d, ok := f.(cli.DocGenerationFlag)
		if v, isVisible := f.(cli.VisibleFlag); !ok || isVisible && !v.IsVisible() {
			continue
		}
		one := flag{Long: f.Names()[0], Usage: d.GetUsage(), Value: d.TakesValue()}
		for _, n := range f.Names()[1:] {
			if len(n) == 1 {
				one.Short = n
			}
		}
		flags = append(flags, one)
	}
	sort.Slice(flags, func(i, j int) bool { return flags[i].Long < flags[j].Long })
	return flags
}

// summary is the first sentence of a usage text, safe within single quotes.
func summary(s string) string {
	s, _, _ = strings.Cut(s, ": '")
	return strings.NewReplacer("'", "", "`", "", "[", "(", "]", ")", ":", "").Replace(s)
}
