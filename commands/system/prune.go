package system

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/build"
	"skiff/commands/confirm"
	"skiff/commands/container"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/commands/image"
	"skiff/commands/network"
	"skiff/commands/volume"
	"skiff/storage"
)

// pruneOptions is what the user asked for.
type pruneOptions struct {
	All     bool
	Volumes bool
	Filters flags.Filters
	Until   time.Time
}

// PruneCommand removes all that nobody uses.
func PruneCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "prune",
		Usage:     "Remove unused data",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "Remove all unused images not just dangling ones"},
			flags.TypedList(&cli.StringSliceFlag{Name: "filter", Usage: `Provide filter values (e.g. "label=<key>=<value>")`}, "filter"),
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "Do not prompt for confirmation"},
			&cli.BoolFlag{Name: "volumes", Usage: "Prune anonymous volumes"},
		},
		Action: func(c *cli.Context) error {
			o, err := parsePrune(c, e)
			if err != nil {
				return err
			}
			if !c.Bool("force") && !confirm.Ask(e, pruneWarning(o, c.StringSlice("filter"))) {
				return nil
			}
			return runPrune(c.Context, e, o)
		},
	}
}

func parsePrune(c *cli.Context, e *env.Env) (pruneOptions, error) {
	o := pruneOptions{All: c.Bool("all"), Volumes: c.Bool("volumes")}
	if err := flags.ExactArgs(c, 0); err != nil {
		return o, err
	}
	var err error
	if o.Filters, err = flags.ParseFilters(c.StringSlice("filter"), "label", "label!", "until"); err != nil {
		return o, err
	}
	if o.Volumes && len(o.Filters["until"]) > 0 {
		return o, failure.Local(`The "until" filter is not supported with "--volumes"`)
	}
	if o.Until, err = o.Filters.Until(e.Clock()); err != nil {
		return o, failure.Engine(err, "%v", err)
	}
	return o, nil
}

func pruneWarning(o pruneOptions, filters []string) string {
	lines := []string{"all stopped containers", "all networks not used by at least one container"}
	if o.Volumes {
		lines = append(lines, "all anonymous volumes not used by at least one container")
	}
	if o.All {
		lines = append(lines, "all images without at least one container associated to them", "all build cache")
	} else {
		lines = append(lines, "all dangling images", "unused build cache")
	}
	text := "WARNING! This will remove:\n  - " + strings.Join(lines, "\n  - ") + "\n"
	if len(filters) > 0 {
		sorted := slices.Sorted(slices.Values(filters))
		text += "\n  Items to be pruned will be filtered with:\n  - " + strings.Join(sorted, "\n  - ") + "\n"
	}
	return text
}

// runPrune goes on after a failure: the rest may be what frees the disk.
func runPrune(ctx context.Context, e *env.Env, o pruneOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	var total int64
	var failed error
	report := func(what string, lines []string, freed int64, err error) {
		total += freed
		failed = errors.Join(failed, err)
		if len(lines) > 0 {
			fmt.Fprintf(e.Out, "Deleted %s:\n%s\n\n", what, strings.Join(lines, "\n"))
		}
	}
	ids, freed, err := container.Prune(ctx, st, o.Filters, o.Until)
	report("Containers", ids, freed, err)
	names, err := network.Prune(ctx, e, st, o.Filters)
	report("Networks", names, 0, err)
	if o.Volumes {
		names, freed, err := volume.Prune(ctx, st, o.Filters, false)
		report("Volumes", names, freed, err)
	}
	lines, freed, err := image.Prune(ctx, st, image.Pruning{All: o.All, Filters: o.Filters, Until: o.Until})
	report("Images", lines, freed, err)
	// Labels say nothing about the build cache.
	ids, freed, err = PruneCache(e, st, build.Pruning{All: o.All, Until: o.Until})
	report("build cache objects", ids, freed, err)
	_, err = fmt.Fprintf(e.Out, "Total reclaimed space: %s\n", format.LongSize(total))
	return errors.Join(failed, err)
}

// PruneCache is build.Prune with a word to the user when a build is in the way, which is
// no failure: docker leaves what is in use, too.
func PruneCache(e *env.Env, st *storage.Store, p build.Pruning) ([]string, int64, error) {
	ids, freed, err := build.Prune(st, p)
	if errors.Is(err, build.ErrInUse) {
		fmt.Fprintf(e.Err, "WARNING: %v\n", err)
		err = nil
	}
	return ids, freed, err
}
