// Package volume is the commands about volumes.
package volume

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/document"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/lock"
	"skiff/storage/volume"
)

// Commands are the members of the management group `volume`.
func Commands(e *env.Env) []*cli.Command {
	return []*cli.Command{
		CreateCommand(e), ExistsCommand(e), ExportCommand(e), ImportCommand(e), InspectCommand(e), ListCommand(e),
		PruneCommand(e), RemoveCommand(e),
	}
}

// CreateCommand makes a volume; one that exists is a success.
func CreateCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "Create a volume",
		ArgsUsage: "[OPTIONS] [VOLUME]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "driver", Aliases: []string{"d"}, Value: "local", Usage: "Specify volume driver name"},
			&cli.StringSliceFlag{Name: "label", Usage: "Set metadata for a volume"},
			flags.TypedList(&cli.StringSliceFlag{Name: "opt", Aliases: []string{"o"}, Usage: "Set driver specific options"}, "map"),
			&cli.StringFlag{Name: "name", Hidden: true, Usage: "Specify volume name"},
		},
		Action: func(c *cli.Context) error {
			v, err := parseCreate(c)
			if err != nil {
				return err
			}
			return runCreate(e, v)
		},
	}
}

func parseCreate(c *cli.Context) (v volume.Volume, err error) {
	if err := flags.MaxArgs(c, 1); err != nil {
		return v, err
	}
	v.Name = c.Args().First()
	if old := c.String("name"); old != "" {
		if v.Name != "" {
			return v, failure.Local("conflicting options: cannot specify a volume-name through both --name and as a positional arg")
		}
		v.Name = old
	}
	if v.Name == "" {
		v.Name, v.Anonymous = volume.NewName(), true
	}
	if d := c.String("driver"); d != "local" {
		return v, failure.Engine(nil, `create %s: error looking up volume plugin %s: plugin "%s" not found`, v.Name, d, d)
	}
	for _, o := range c.StringSlice("opt") {
		key, value, _ := strings.Cut(o, "=")
		if v.Options == nil {
			v.Options = map[string]string{}
		}
		v.Options[key] = value
	}
	v.Labels, err = flags.Labels(nil, c.StringSlice("label"))
	return v, err
}

func runCreate(e *env.Env, v volume.Volume) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	made, err := volume.Create(st, v)
	if err != nil {
		return failure.Engine(err, "create %s: %v", v.Name, err)
	}
	_, err = fmt.Fprintln(e.Out, made.Name)
	return err
}

// InspectCommand describes volumes in docker's documents.
func InspectCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "Display detailed information on one or more volumes",
		ArgsUsage: "[OPTIONS] VOLUME [VOLUME...]",
		Flags:     []cli.Flag{&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: flags.InspectFormatUsage}},
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 1); err != nil {
				return err
			}
			st, err := e.Store()
			if err != nil {
				return err
			}
			return document.Print(e, c.String("format"), c.Args().Slice(), func(ref string) (any, error) {
				return Document(st, ref)
			})
		},
	}
}

// Document returns docker's document of a volume. Its errors are in docker's
// words; errors.Is finds volume.ErrNotFound.
func Document(st *storage.Store, name string) (*document.Volume, error) {
	v, err := volume.Inspect(st, name)
	if errors.Is(err, volume.ErrNotFound) {
		return nil, failure.Engine(err, "get %s: no such volume", name)
	}
	if err != nil {
		return nil, err
	}
	d := document.OfVolume(v)
	return &d, nil
}

// RemoveCommand removes volumes that no container has.
func RemoveCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Aliases:   []string{"remove"},
		Usage:     "Remove one or more volumes",
		ArgsUsage: "[OPTIONS] VOLUME [VOLUME...]",
		Flags:     []cli.Flag{&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "Force the removal of one or more volumes"}},
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 1); err != nil {
				return err
			}
			return runRemove(c.Context, e, c.Args().Slice(), c.Bool("force"))
		},
	}
}

func runRemove(ctx context.Context, e *env.Env, names []string, force bool) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	// No container may be made with a volume that is just found to be unused.
	held, err := lock.Exclusive(ctx, st.ImagesLock())
	if err != nil {
		return err
	}
	defer held.Release()
	users, err := usersOf(st)
	if err != nil {
		return err
	}
	var failed failure.Several
	for _, name := range names {
		err := remove(st, name, users[name])
		if force && errors.Is(err, volume.ErrNotFound) {
			err = nil
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if _, err := fmt.Fprintln(e.Out, name); err != nil {
			return err
		}
	}
	return failed.Err()
}

func remove(st *storage.Store, name string, users []string) error {
	if len(users) > 0 {
		return failure.Engine(nil, "remove %s: volume is in use - [%s]", name, strings.Join(users, ", "))
	}
	err := volume.Remove(st, name)
	if errors.Is(err, volume.ErrNotFound) {
		return failure.Engine(err, "get %s: no such volume", name)
	}
	return err
}

// usersOf lists the ids of the containers that have each volume.
func usersOf(st *storage.Store) (map[string][]string, error) {
	// A container that cannot be read might have any volume: remove none.
	list, err := container.List(st)
	if err != nil {
		return nil, err
	}
	users := map[string][]string{}
	for _, c := range list {
		for _, m := range c.Config.Mounts {
			if m.Name != "" {
				users[m.Name] = append(users[m.Name], c.Config.ID)
			}
		}
	}
	return users, nil
}
