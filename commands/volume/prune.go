package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/confirm"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/storage"
	"skiff/storage/event"
	"skiff/storage/lock"
	"skiff/storage/volume"
)

// PruneCommand removes volumes that no container has: without --all only those
// that nobody named.
func PruneCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "prune",
		Usage:     "Remove unused local volumes",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "Remove all unused volumes, not just anonymous ones"},
			flags.TypedList(&cli.StringSliceFlag{Name: "filter", Usage: `Provide filter values (e.g. "label=<label>")`}, "filter"),
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "Do not prompt for confirmation"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			f, err := flags.ParseFilters(c.StringSlice("filter"), "label", "label!", "all")
			if err != nil {
				return err
			}
			all := c.Bool("all")
			for _, v := range f["all"] {
				if all {
					return failure.Local("conflicting options: cannot specify both --all and --filter all=1")
				}
				if all, err = strconv.ParseBool(v); err != nil {
					return failure.Engine(err, "invalid filter 'all=%s'", v)
				}
			}
			what := "anonymous local volumes"
			if all {
				what = "all local volumes"
			}
			if !c.Bool("force") && !confirm.Ask(e, "WARNING! This will remove "+what+" not used by at least one container.") {
				return nil
			}
			return runPrune(c.Context, e, f, all)
		},
	}
}

func runPrune(ctx context.Context, e *env.Env, f flags.Filters, all bool) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	names, freed, err := Prune(ctx, st, f, all)
	if len(names) > 0 {
		fmt.Fprintf(e.Out, "Deleted Volumes:\n%s\n\n", strings.Join(names, "\n"))
	}
	_, printErr := fmt.Fprintf(e.Out, "Total reclaimed space: %s\n", format.Size(freed))
	return errors.Join(err, printErr)
}

// Prune removes the volumes that no container has and that f lets go, and
// returns their names and the bytes that they took. Without all those stay that
// somebody named. It goes on after a failure, which it returns.
func Prune(ctx context.Context, st *storage.Store, f flags.Filters, all bool) (names []string, freed int64, err error) {
	held, err := lock.Exclusive(ctx, st.ImagesLock())
	if err != nil {
		return nil, 0, err
	}
	defer held.Release()
	users, err := usersOf(st)
	if err != nil {
		return nil, 0, err
	}
	list, failed := volume.List(st)
	for _, v := range list {
		if ctx.Err() != nil {
			return names, freed, ctx.Err()
		}
		if len(users[v.Name]) > 0 || !all && !v.Anonymous || !f.Labels(v.Labels) || f.Spares(v.Labels) {
			continue
		}
		size := diskUsage(v.Mountpoint)
		if err := volume.Remove(st, v.Name); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		names, freed = append(names, v.Name), freed+size
	}
	event.Append(st.Events(), event.Pruned(event.Volume, freed))
	return names, freed, failed
}

// diskUsage is what the regular files below dir hold. What cannot be read
// counts nothing.
func diskUsage(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}

// ExistsCommand tells by its exit code whether there is a volume.
func ExistsCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "exists",
		Usage:     "Tell by the exit code whether a volume exists: 0 or 1",
		ArgsUsage: "VOLUME",
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 1); err != nil {
				return err
			}
			st, err := e.Store()
			if err != nil {
				return err
			}
			_, err = volume.Inspect(st, c.Args().First())
			if errors.Is(err, volume.ErrNotFound) {
				return failure.Status(1)
			}
			return err
		},
	}
}
