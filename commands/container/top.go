package container

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/runtime/lifecycle"
)

// TopCommand lists a container's processes. Nothing of the container is run for
// it, nor ps(1) of this machine: /proc tells.
func TopCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "top",
		Usage:     "Display the running processes of a container",
		ArgsUsage: "CONTAINER [ps OPTIONS]",
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 1); err != nil {
				return err
			}
			return runTop(e, c.Args().First(), c.Args().Tail())
		},
	}
}

// Top prints the processes of one container, as top does with these options of ps.
func Top(e *env.Env, id string, options []string) error { return runTop(e, id, options) }

func runTop(e *env.Env, ref string, options []string) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	c, err := find(st, ref)
	if err != nil {
		return err
	}
	columns, err := psOptionColumns(options)
	if err != nil {
		return err
	}
	pids, err := lifecycle.Pids(c)
	if errors.Is(err, lifecycle.ErrNotRunning) {
		return failure.Engine(err, "container %s is not running", c.Config.ID)
	}
	if err != nil {
		return err
	}
	slices.Sort(pids)
	machine := readMachine(e.Clock())
	// docker's: at least 20 columns, three of them empty.
	w := tabwriter.NewWriter(e.Out, 20, 1, 3, ' ', 0)
	titles := make([]string, len(columns))
	for i, col := range columns {
		titles[i] = col.title
	}
	fmt.Fprintln(w, strings.Join(titles, "\t"))
	for _, pid := range pids {
		p, err := readProcess(pid, machine)
		if err != nil {
			continue // it has just ended
		}
		values := make([]string, len(columns))
		for i, col := range columns {
			values[i] = format.Escape(col.value(p))
		}
		fmt.Fprintln(w, strings.Join(values, "\t"))
	}
	return w.Flush()
}

// psOptionColumns reads options of ps(1): which processes they choose does not
// matter, because it is always those of the container; which columns does.
func psOptionColumns(options []string) ([]psColumn, error) {
	if len(options) == 0 {
		return columnsOf("user=UID,pid,ppid,c,stime,tty,time,args=CMD")
	}
	full, user, list := false, false, ""
	for i := 0; i < len(options); i++ {
		word := options[i]
		letters := strings.TrimPrefix(word, "-")
		if word == "--format" && i+1 < len(options) {
			i++
			list = appendList(list, options[i])
			continue
		}
		if v, ok := strings.CutPrefix(word, "--format="); ok {
			list = appendList(list, v)
			continue
		}
	letters:
		for j, letter := range letters {
			switch letter {
			case 'o', 'O':
				value := letters[j+1:]
				if value == "" && i+1 < len(options) {
					i++
					value = options[i]
				}
				list = appendList(list, value)
				break letters
			case 'f', 'F':
				full = true
			case 'u':
				user = true
			case 'e', 'A', 'a', 'x', 'w', 'H', 'h':
			default:
				return nil, unknownPs(word)
			}
		}
	}
	switch {
	case list != "":
		columns, err := columnsOf(list)
		if err == nil && !slices.ContainsFunc(columns, func(c psColumn) bool { return c.name == "pid" }) {
			err = failure.Engine(nil, "Couldn't find PID field in ps output")
		}
		return columns, err
	case user:
		return columnsOf("user,pid,pcpu,pmem,vsz,rss,tty,stat,start,bsdtime,args")
	case full:
		return columnsOf("user=UID,pid,ppid,c,stime,tty,time,args=CMD")
	}
	return columnsOf("pid,tty,time,comm=CMD")
}

func appendList(list, more string) string {
	if list == "" {
		return more
	}
	return list + "," + more
}

func unknownPs(word string) error {
	return failure.Engine(nil, "ps option %q is not supported: -e, -f, aux and -o with %s are", word, strings.Join(psColumnNames(), ","))
}

func columnsOf(list string) ([]psColumn, error) {
	var columns []psColumn
	for _, name := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, title, titled := strings.Cut(name, "=")
		if other, ok := psAliases[name]; ok {
			if !titled {
				titled, title = other[1] != "", other[1]
			}
			name = other[0]
		}
		i := slices.IndexFunc(psColumns(), func(c psColumn) bool { return c.name == name })
		if i < 0 {
			return nil, unknownPs("-o " + name)
		}
		col := psColumns()[i]
		if titled {
			col.title = title
		}
		columns = append(columns, col)
	}
	if len(columns) == 0 {
		return nil, unknownPs("-o")
	}
	return columns, nil
}

func psColumnNames() []string {
	var names []string
	for _, c := range psColumns() {
		names = append(names, c.name)
	}
	return names
}

// names reads a file like /etc/passwd: id to name.
func names(file string) map[int]string {
	out := map[int]string{}
	data, err := os.ReadFile(file)
	if err != nil {
		return out
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Split(line, ":")
		var id int
		if len(f) < 3 {
			continue
		}
		if _, err := fmt.Sscan(f[2], &id); err == nil && out[id] == "" {
			out[id] = f[0]
		}
	}
	return out
}
