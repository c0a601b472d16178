package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	ccontainer "skiff/commands/container"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/systemd/quadlet"
	"skiff/commands/systemd/unit"
	"skiff/rootless"
	"skiff/runtime/lifecycle"
	"skiff/storage/atomicfile"
	"skiff/storage/container"
	"skiff/storage/volume"
)

// ServiceCommands are the members of the management group `service`.
func ServiceCommands(e *env.Env) []*cli.Command { return []*cli.Command{serviceCommand(e)} }

type serviceOptions struct {
	Ref            string
	Replace, Start bool
}

func serviceCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "Make a container a service of systemd's, by a Quadlet file", ArgsUsage: "[OPTIONS] CONTAINER",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "replace", Aliases: []string{"r"}, Usage: "Overwrite a Quadlet file of the same name"},
			&cli.BoolFlag{Name: "start", Value: true, Usage: "Have systemd read its units again and start the service, in place of the container"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 1); err != nil {
				return err
			}
			return runService(c.Context, e, serviceOptions{Ref: c.Args().First(), Replace: c.Bool("replace"), Start: c.Bool("start")})
		},
	}
}

// runService writes the file, and only then touches the container.
func runService(ctx context.Context, e *env.Env, o serviceOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	c, err := container.Find(st, o.Ref)
	switch {
	case errors.Is(err, container.ErrNotFound):
		return failure.Engine(err, "No such container: %s", o.Ref)
	case err != nil:
		return err
	case c.Config.Infra != nil:
		return failure.Engine(nil, "container %s is what pod %s is made of: write a .pod file, or use `%s generate systemd --new`", o.Ref, c.Config.Infra.Name, e.Program)
	case c.Config.Config.Labels[ccontainer.UnitLabel] != "":
		return failure.Engine(nil, "container %s is run by %s already", o.Ref, c.Config.Config.Labels[ccontainer.UnitLabel])
	}
	name := c.Config.Name
	line := ccontainer.LineOf(st, c.Config)
	file, notes := compose(c.Config, line)
	for _, e := range storeEnvironment(e) {
		file.Service = append(file.Service, "Environment="+unit.Quote(unit.Directory(e)))
	}
	dir, err := ownDir(e)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name+".container")
	if _, err := os.Lstat(path); err == nil && !o.Replace {
		return failure.Local("%s exists; use --replace to overwrite it", path)
	}
	if err := examine(e, name+".container", []byte(file.String())); err != nil {
		return err
	}
	if o.Start && written(c) {
		notes = append(notes, "what the container has written outside of its volumes goes with it: the service begins with the image")
	}
	for _, note := range notes {
		fmt.Fprintln(e.Err, "WARNING: "+note)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, m := range c.Config.Mounts {
		if m.Anonymous && m.Name != "" {
			if err := volume.Keep(st, m.Name); err != nil {
				return err
			}
		}
	}
	if err := atomicfile.Write(path, []byte(file.String()), 0o644, atomicfile.Durable); err != nil {
		return err
	}
	fmt.Fprintln(e.Out, path)
	if notice := lingering(); notice != "" {
		fmt.Fprintln(e.Err, "WARNING: "+notice)
	}
	if !o.Start {
		return nil
	}
	return takeOver(ctx, e, c, name+".service")
}

// written reports whether the container has changed its root.
func written(c *container.Container) bool {
	list, err := os.ReadDir(filepath.Join(c.Dir(), container.UpperDir))
	return err != nil && c.Config.OwnsRoot() || len(list) > 0
}

// takeOver has systemd run the service in the container's place.
func takeOver(ctx context.Context, e *env.Env, c *container.Container, service string) error {
	if err := systemctl("daemon-reload"); err != nil {
		return failure.Local("the file is written, but systemd does not read it: %v", err)
	}
	// The service's container has the name, and replaces this one.
	if err := lifecycle.Stop(ctx, c, 0, nil); err != nil {
		return err
	}
	if err := systemctl("start", service); err != nil {
		return failure.Local("%v; its journal: journalctl%s -u %s", err, userFlag(), service)
	}
	fmt.Fprintln(e.Out, service)
	return nil
}

func userFlag() string {
	if rootless.Rootless() {
		return " --user"
	}
	return ""
}

// lingering says that the user's services end with the session, if they do.
func lingering() string {
	if !rootless.Rootless() || lifecycle.Lingers() {
		return ""
	}
	return "the service ends when you log out and starts when you log in; `loginctl enable-linger` once, and it starts with the machine"
}

// compose is the file for a container, and what the user must know of it.
func compose(cfg *container.Config, line ccontainer.Line) (file *quadlet.Container, notes []string) {
	file = &quadlet.Container{
		Comment: "Written by skiff service create", Description: "Container " + cfg.Name, Name: cfg.Name,
		Image: line.Image, Args: line.Args, WantedBy: "default.target",
	}
	for _, lost := range line.Lost {
		notes = append(notes, "not in the file: "+lost)
	}
	if cfg.Rootfs != "" {
		file.Rootfs = true
	}
	kept := map[string]bool{}
	for _, m := range cfg.Mounts {
		if m.Anonymous {
			// It would go with the service's first container.
			kept[m.Destination] = true
			file.Flags = append(file.Flags, quadlet.Flag{Name: "volume", Value: m.Name + ":" + m.Destination})
			notes = append(notes, fmt.Sprintf("the anonymous volume at %s goes on as the volume %s", m.Destination, m.Name))
		}
	}
	list, more := unitFlags(line)
	notes = append(notes, more...)
	for _, f := range list {
		switch {
		case f.Name == "rootfs" || f.Name == "volume" && kept[f.Value]:
			continue
		case f.Name == "pod":
			notes = append(notes, fmt.Sprintf("the pod %s is no service: it is started with this one, and stays when this one ends", f.Value))
		}
		file.Flags = append(file.Flags, quadlet.Flag(f))
	}
	if how := serviceRestart(cfg.Host.RestartPolicy); how != "" {
		file.Service = append(file.Service, "Restart="+how)
		if n := cfg.Host.RestartPolicy.MaximumRetryCount; n > 0 {
			file.Unit = append(file.Unit, "StartLimitBurst="+strconv.Itoa(n))
		}
	}
	if s := cfg.Config.StopTimeout; s != nil && *s < 0 {
		file.Service = append(file.Service, "TimeoutStopSec=infinity")
	}
	slices.Sort(file.Unit)
	return file, notes
}

// examine has the file translated before it is installed: what cannot be a unit is
// an error now.
func examine(e *env.Env, name string, data []byte) error {
	try, err := os.MkdirTemp("", "skiff-quadlet-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(try)
	if err := os.WriteFile(filepath.Join(try, name), data, 0o600); err != nil {
		return err
	}
	o := options(e, rootless.Rootless())
	o.Dirs = append([]string{try}, o.Dirs...)
	units, _ := quadlet.Generate(o)
	for _, u := range units {
		if filepath.Dir(u.Path) == try && u.Err != nil {
			var at *unit.Error
			if errors.As(u.Err, &at) {
				return failure.Local("%s", strings.ReplaceAll(u.Err.Error(), try+"/", ""))
			}
			return u.Err
		}
	}
	return nil
}
