package container

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/confirm"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/runtime/lifecycle"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/event"
	"skiff/storage/usage"
)

// PruneCommand removes all containers that do not run.
func PruneCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "prune",
		Usage:     "Remove all stopped containers",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			flags.TypedList(&cli.StringSliceFlag{Name: "filter", Usage: `Provide filter values (e.g. "until=<timestamp>")`}, "filter"),
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "Do not prompt for confirmation"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			f, err := flags.ParseFilters(c.StringSlice("filter"), "label", "label!", "until")
			if err != nil {
				return err
			}
			until, err := f.Until(e.Clock())
			if err != nil {
				return failure.Engine(err, "%v", err)
			}
			if !c.Bool("force") && !confirm.Ask(e, "WARNING! This will remove all stopped containers.") {
				return nil
			}
			return runPrune(c.Context, e, f, until)
		},
	}
}

func runPrune(ctx context.Context, e *env.Env, f flags.Filters, until time.Time) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	ids, freed, err := Prune(ctx, st, f, until)
	if len(ids) > 0 {
		fmt.Fprintf(e.Out, "Deleted Containers:\n%s\n\n", strings.Join(ids, "\n"))
	}
	_, printErr := fmt.Fprintf(e.Out, "Total reclaimed space: %s\n", format.Size(freed))
	return errors.Join(err, printErr)
}

// Prune removes the containers that do not run and that f lets go, and returns
// their ids and the bytes that their writable layers took. until is the latest
// creation, zero for any. It goes on after a failure, which it returns.
func Prune(ctx context.Context, st *storage.Store, f flags.Filters, until time.Time) (ids []string, freed int64, err error) {
	list, failed := container.List(st)
	for _, c := range list {
		if err := ctx.Err(); err != nil {
			return ids, freed, err
		}
		if !until.IsZero() && c.Config.Created.After(until) ||
			!f.Labels(c.Config.Config.Labels) || f.Spares(c.Config.Config.Labels) {
			continue
		}
		s, err := c.Status()
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		// A run that is between making and starting its container is no stopped one.
		if s.Running() || s.State == "restarting" || c.Starting() {
			continue
		}
		size := usage.Below(filepath.Join(c.Dir(), container.UpperDir))
		err = lifecycle.Remove(ctx, c, lifecycle.RemoveOptions{})
		switch {
		case err == nil:
			ids, freed = append(ids, c.Config.ID), freed+size
		case errors.Is(err, container.ErrNotFound), errors.Is(err, lifecycle.ErrRunning),
			errors.Is(err, lifecycle.ErrRestarting):
			// Removed or started meanwhile.
		default:
			failed = errors.Join(failed, err)
		}
	}
	event.Append(st.Events(), event.Pruned(event.Container, freed))
	return ids, freed, failed
}
