package systemd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/commands/systemd/quadlet"
	"skiff/rootless"
	"skiff/storage/atomicfile"
)

// QuadletCommands are the members of the management group `quadlet`.
func QuadletCommands(e *env.Env) []*cli.Command {
	return []*cli.Command{installCommand(e), listCommand(e), printCommand(e), removeCommand(e)}
}

func listCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name: "list", Aliases: []string{"ls"},
		Usage:     "List Quadlet files",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Usage: "Format output with a Go template, json or table"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "Only display names"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			units, problems := quadlet.Generate(options(e, rootless.Rootless()))
			for _, p := range problems {
				fmt.Fprintf(e.Err, "WARNING: %v\n", p)
			}
			rows := make([]format.Row, len(units))
			for i, u := range units {
				rows[i] = format.Row{"Name": filepath.Base(u.Path), "UnitName": u.Name, "Path": u.Path, "Status": "ok"}
				if u.Err != nil {
					rows[i]["Status"] = "error"
				}
			}
			return layout.Print(e.Out, c.String("format"), c.Bool("quiet"), rows)
		},
	}
}

var layout = format.List{
	Headings: [][2]string{{"Name", "NAME"}, {"UnitName", "UNIT NAME"}, {"Status", "STATUS"}, {"Path", "PATH"}},
	Columns:  []string{"Name", "UnitName", "Status", "Path"},
	Quiet:    "Name",
}

func printCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "print",
		Usage:     "Print Quadlet files, or the units that they become",
		ArgsUsage: "[OPTIONS] [FILE...]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "dry-run", Usage: "Print the units, and what is wrong with the files; fail if something is"},
		},
		Action: func(c *cli.Context) error { return runPrint(e, c.Args().Slice(), c.Bool("dry-run")) },
	}
}

func runPrint(e *env.Env, names []string, dry bool) error {
	units, problems := quadlet.Generate(options(e, rootless.Rootless()))
	if len(names) > 0 {
		problems = nil
		var chosen []*quadlet.Unit
		for _, name := range names {
			u, err := findUnit(units, name)
			if err != nil {
				return err
			}
			chosen = append(chosen, u)
		}
		units = chosen
	} else if !dry {
		return &failure.Count{Text: "requires at least 1 argument"}
	}
	if !dry {
		for _, u := range units {
			data, err := os.ReadFile(u.Path)
			if err != nil {
				return err
			}
			if _, err := e.Out.Write(data); err != nil {
				return err
			}
		}
		return nil
	}
	failed := report(e.Err, units, problems)
	printUnits(e.Out, units)
	if failed {
		return failure.Local("%v", errMistakes)
	}
	return nil
}

// findUnit finds a file by its name, or by its unit's.
func findUnit(units []*quadlet.Unit, name string) (*quadlet.Unit, error) {
	for _, u := range units {
		if filepath.Base(u.Path) == name || u.Name == name {
			return u, nil
		}
	}
	return nil, failure.Local("no such Quadlet file: %s", name)
}

// ownDir is where install puts files and rm takes them from.
func ownDir(e *env.Env) (string, error) {
	if !rootless.Rootless() {
		return "/etc/containers/systemd", nil
	}
	if dir := quadlet.UserDir(e.Getenv); dir != "" {
		return dir, nil
	}
	return "", failure.Local("neither HOME nor XDG_CONFIG_HOME is set")
}

func installCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "install",
		Usage:     "Install Quadlet files",
		ArgsUsage: "[OPTIONS] FILE...",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "replace", Aliases: []string{"r"}, Usage: "Overwrite files of the same names"},
			&cli.BoolFlag{Name: "reload-systemd", Value: true, Usage: "Have systemd read its units again"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 1); err != nil {
				return err
			}
			return runInstall(e, c.Args().Slice(), c.Bool("replace"), c.Bool("reload-systemd"))
		},
	}
}

// runInstall examines all files before it installs one.
func runInstall(e *env.Env, files []string, replace, reload bool) error {
	dir, err := ownDir(e)
	if err != nil {
		return err
	}
	contents := map[string][]byte{}
	try, err := os.MkdirTemp("", "skiff-quadlet-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(try)
	for _, file := range files {
		name := filepath.Base(file)
		if !quadlet.Is(name) {
			return failure.Local("%s: a Quadlet file ends in .container, .pod, .kube, .volume, .network, .image or .build", file)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil && !replace {
			return failure.Local("%s exists in %s; use --replace to overwrite it", name, dir)
		}
		contents[name] = data
		if err := os.WriteFile(filepath.Join(try, name), data, 0o600); err != nil {
			return err
		}
	}
	// Those that are installed may be what the new ones need.
	o := options(e, rootless.Rootless())
	o.Dirs = append([]string{try}, o.Dirs...)
	units, _ := quadlet.Generate(o)
	for _, u := range units {
		name := filepath.Base(u.Path)
		if contents[name] == nil || filepath.Dir(u.Path) != try {
			continue
		}
		for _, w := range u.Warnings {
			fmt.Fprintf(e.Err, "WARNING: %s\n", strings.ReplaceAll(w.Error(), try+"/", ""))
		}
		if u.Err != nil {
			return failure.Local("%s", strings.ReplaceAll(u.Err.Error(), try+"/", ""))
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, file := range files {
		path := filepath.Join(dir, filepath.Base(file))
		if err := atomicfile.Write(path, contents[filepath.Base(file)], 0o644, atomicfile.Durable); err != nil {
			return err
		}
		fmt.Fprintln(e.Out, path)
	}
	return reloadSystemd(e, reload)
}

func removeCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Usage:     "Remove installed Quadlet files",
		ArgsUsage: "[OPTIONS] FILE...",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "Stop the units that run, too"},
			&cli.BoolFlag{Name: "ignore", Aliases: []string{"i"}, Usage: "Say nothing of files that are not there"},
			&cli.BoolFlag{Name: "reload-systemd", Value: true, Usage: "Have systemd read its units again"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 1); err != nil {
				return err
			}
			return runRemove(e, c.Args().Slice(), c.Bool("force"), c.Bool("ignore"), c.Bool("reload-systemd"))
		},
	}
}

func runRemove(e *env.Env, names []string, force, ignore, reload bool) error {
	dir, err := ownDir(e)
	if err != nil {
		return err
	}
	units, _ := quadlet.Generate(options(e, rootless.Rootless()))
	var failed failure.Several
	removed := false
	for _, name := range names {
		path := filepath.Join(dir, name)
		if name != filepath.Base(name) || !quadlet.Is(name) {
			failed = append(failed, failure.Local("no such Quadlet file: %s", name))
			continue
		}
		if u, err := findUnit(units, name); err == nil && u.Name != "" && systemctl("is-active", "--quiet", u.Name) == nil {
			if !force {
				failed = append(failed, failure.Local("%s runs; stop it first, or use --force", u.Name))
				continue
			}
			if err := systemctl("stop", u.Name); err != nil {
				failed = append(failed, err)
				continue
			}
		}
		switch err := os.Remove(path); {
		case errors.Is(err, fs.ErrNotExist):
			if !ignore {
				failed = append(failed, failure.Local("no such Quadlet file: %s", name))
			}
		case err != nil:
			failed = append(failed, err)
		default:
			removed = true
			fmt.Fprintln(e.Out, name)
		}
	}
	if removed {
		if err := reloadSystemd(e, reload); err != nil {
			failed = append(failed, err)
		}
	}
	return failed.Err()
}

// reloadSystemd lets systemd call its generators. Where there is none, the files
// wait for one.
func reloadSystemd(e *env.Env, wanted bool) error {
	if !wanted {
		return nil
	}
	if err := systemctl("daemon-reload"); err != nil {
		fmt.Fprintf(e.Err, "WARNING: systemd was not told: %v\n", err)
	}
	return nil
}

// systemctl calls the systemctl of the machine, for the user's systemd unless
// we are root.
func systemctl(args ...string) error {
	if rootless.Rootless() {
		args = append([]string{"--user"}, args...)
	}
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
