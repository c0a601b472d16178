package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/runtime/lifecycle"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/lock"
	"skiff/storage/volume"
)

type cloneOptions struct {
	Ref, Name    string
	Destroy, Run bool
	Force        bool
}

// CloneCommand makes a container with the configuration of another.
func CloneCommand(e *env.Env) *cli.Command {
	list := append(flags.UpdateFlags(),
		&cli.BoolFlag{Name: "destroy", Usage: "Remove the original container"},
		&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "With --destroy, remove the original even if it runs"},
		&cli.StringFlag{Name: "name", Usage: "Name of the clone (default: the original's with -clone behind)"},
		&cli.BoolFlag{Name: "run", Usage: "Start the clone"},
	)
	return &cli.Command{
		Name:      "clone",
		Usage:     "Create a container with the configuration of another and an empty writable layer",
		ArgsUsage: "[OPTIONS] CONTAINER [NAME]",
		Flags:     list,
		Action: func(c *cli.Context) error {
			if err := flags.RangeArgs(c, 1, 2); err != nil {
				return err
			}
			o := cloneOptions{
				Ref: c.Args().Get(0), Name: c.Args().Get(1), Destroy: c.Bool("destroy"), Run: c.Bool("run"), Force: c.Bool("force"),
			}
			if name := c.String("name"); name != "" {
				if o.Name != "" {
					return errors.New("the name of the clone is given twice: as --name and as an argument")
				}
				o.Name = name
			}
			return runClone(c.Context, e, o, func(h *container.Host) error { return flags.Update(c, h) })
		},
	}
}

func runClone(ctx context.Context, e *env.Env, o cloneOptions, change func(*container.Host) error) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	original, err := find(st, o.Ref)
	if err != nil {
		return err
	}
	if original.Config.Infra != nil {
		return failure.Engine(nil, "cannot clone container %s: it is what pod %s is made of: clone that (skiff pod clone)", o.Ref, original.Config.Infra.Name)
	}
	clone, err := cloneOf(ctx, st, original, o.Name, func(cfg *container.Config) error { return change(&cfg.Host) })
	if err != nil {
		return err
	}
	if o.Destroy {
		err := lifecycle.Remove(ctx, original, lifecycle.RemoveOptions{Force: o.Force})
		if err != nil {
			return errors.Join(inWords(err, o.Ref, original), lifecycle.Remove(ctx, clone, lifecycle.RemoveOptions{Volumes: true}))
		}
	}
	if o.Run {
		if _, err := lifecycle.Start(ctx, clone, lifecycle.StartOptions{}); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(e.Out, clone.Config.ID)
	return err
}

// Clone makes a container like original, changed by change, under another name.
func Clone(ctx context.Context, st *storage.Store, original *container.Container, name string, change func(*container.Config)) (*container.Container, error) {
	return cloneOf(ctx, st, original, name, func(cfg *container.Config) error { change(cfg); return nil })
}

// cloneOf makes the clone, with anonymous volumes of its own.
func cloneOf(ctx context.Context, st *storage.Store, original *container.Container, name string, change func(*container.Config) error) (c *container.Container, err error) {
	// The image must not go while only the original stands on it.
	held, err := lock.Shared(ctx, st.ImagesLock())
	if err != nil {
		return nil, err
	}
	defer held.Release()
	data, err := json.Marshal(original.Config)
	if err != nil {
		return nil, err
	}
	var cfg container.Config
	if err := json.Unmarshal(data, &cfg); err != nil {
		return nil, err
	}
	if err := change(&cfg); err != nil {
		return nil, err
	}
	cfg.ID, cfg.Created = container.NewID(), time.Now().UTC()
	if cfg.Infra != nil {
		cfg.Pod = cfg.ID
	}
	cfg.Host.ContainerIDFile = ""
	if cfg.Config.Hostname == original.Config.ID[:12] {
		cfg.Config.Hostname = cfg.ID[:12]
	}
	var made []string
	var note container.VolumesNote
	defer func() {
		defer func() { err = errors.Join(err, note.Done()) }()
		for _, name := range made {
			if err == nil {
				continue
			}
			if failed := volume.Remove(st, name); !errors.Is(failed, volume.ErrNotFound) {
				err = errors.Join(err, failed)
			}
		}
	}()
	for i := range cfg.Mounts {
		m := &cfg.Mounts[i]
		if !m.Anonymous {
			continue
		}
		name := volume.NewName()
		if err := note.Add(st, cfg.ID, name); err != nil {
			return nil, err
		}
		made = append(made, name)
		v, err := volume.Create(st, volume.Volume{Name: name, Anonymous: true})
		if err != nil {
			return nil, err
		}
		m.Name, m.Source = v.Name, v.Mountpoint
	}
	cfg.Name = strings.TrimPrefix(name, "/")
	for i := 0; ; i++ {
		if name == "" {
			cfg.Name = original.Config.Name + "-clone"
			if i > 0 {
				cfg.Name += fmt.Sprint(i)
			}
		}
		c, err = lifecycle.Create(ctx, st, &cfg, false)
		if name != "" || !errors.Is(err, container.ErrNameTaken) || i == 1000 {
			return c, err
		}
	}
}
