package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/confirm"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/courier/client"
	"skiff/storage/courier/message"
	"skiff/storage/event"
	"skiff/storage/image"
	"skiff/storage/lock"
)

// Pruning says which unused images to remove.
type Pruning struct {
	All     bool          // those with a name, too
	Filters flags.Filters // label, label!
	Until   time.Time     // the latest creation; zero is any
}

// PruneCommand removes images that nobody uses.
func PruneCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "prune",
		Usage:     "Remove unused images",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "Remove all unused images, not just dangling ones"},
			flags.TypedList(&cli.StringSliceFlag{Name: "filter", Usage: `Provide filter values (e.g. "until=<timestamp>")`}, "filter"),
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "Do not prompt for confirmation"},
		},
		Action: func(c *cli.Context) error {
			p, err := parsePrune(c, e)
			if err != nil {
				return err
			}
			warning := "WARNING! This will remove all dangling images."
			if p.All {
				warning = "WARNING! This will remove all images without at least one container associated to them."
			}
			if !c.Bool("force") && !confirm.Ask(e, warning) {
				return nil
			}
			return runPrune(c.Context, e, p)
		},
	}
}

func parsePrune(c *cli.Context, e *env.Env) (Pruning, error) {
	p := Pruning{All: c.Bool("all")}
	if err := flags.ExactArgs(c, 0); err != nil {
		return p, err
	}
	var err error
	if p.Filters, err = flags.ParseFilters(c.StringSlice("filter"), "dangling", "label", "label!", "until"); err != nil {
		return p, err
	}
	for _, value := range p.Filters["dangling"] {
		switch value {
		case "true", "1":
		case "false", "0":
			p.All = true
		default:
			return p, failure.Engine(nil, "invalid filter 'dangling=[%s]'", value)
		}
	}
	if p.Until, err = p.Filters.Until(e.Clock()); err != nil {
		return p, failure.Engine(err, "%v", err)
	}
	return p, nil
}

func runPrune(ctx context.Context, e *env.Env, p Pruning) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	lines, freed, err := Prune(ctx, st, p)
	if len(lines) > 0 {
		fmt.Fprintf(e.Out, "Deleted Images:\n%s\n\n", strings.Join(lines, "\n"))
	}
	_, printErr := fmt.Fprintf(e.Out, "Total reclaimed space: %s\n", format.LongSize(freed))
	return errors.Join(err, printErr)
}

// Prune removes the images that no container was made from and that p lets go.
// It returns docker's lines of what was removed, and the bytes of the files in
// the layers that went.
func Prune(ctx context.Context, st *storage.Store, p Pruning) (lines []string, freed int64, err error) {
	// Nobody makes a container of one of them meanwhile.
	held, err := lock.Exclusive(ctx, st.ImagesLock())
	if err != nil {
		return nil, 0, err
	}
	defer held.Release()
	ids, err := unused(st, p)
	if err != nil {
		return nil, 0, err
	}
	layers, err := image.Layers(st)
	if err != nil {
		return nil, 0, err
	}
	removed, err := client.Prune(ctx, st, message.Prune{IDs: ids})
	for _, r := range removed {
		if r.Untagged != "" {
			lines = append(lines, "untagged: "+image.Familiar(r.Untagged))
			continue
		}
		lines = append(lines, "deleted: "+r.Deleted)
		freed += layers[strings.TrimPrefix(r.Deleted, "sha256:")].Size
	}
	event.Append(st.Events(), event.Pruned(event.Image, freed))
	return lines, freed, err
}

// unused are the IDs of the images to remove.
func unused(st *storage.Store, p Pruning) ([]string, error) {
	images, err := image.List(st)
	if err != nil {
		return nil, err
	}
	containers, err := container.List(st)
	if err != nil {
		// Whose image is not known must be taken to be in use.
		return nil, err
	}
	used := make(map[string]bool)
	for _, c := range containers {
		for _, id := range c.Config.Images() {
			used[id] = true
		}
	}
	var ids []string
	for _, img := range images {
		switch {
		case img.Graph != "", used[img.ID], !p.All && len(img.Names) > 0, !p.Until.IsZero() && !img.Created.Before(p.Until):
			continue
		case len(p.Filters["label"])+len(p.Filters["label!"]) > 0:
			if err := img.ReadConfig(st); err != nil {
				return nil, err
			}
			if labels := img.Config.Config.Labels; !p.Filters.Labels(labels) || p.Filters.Spares(labels) {
				continue
			}
		}
		ids = append(ids, img.ID)
	}
	// What a name that stays stands for stays too.
	staying := slices.DeleteFunc(images, func(img *image.Image) bool { return slices.Contains(ids, img.ID) })
	members := image.Members(staying)
	return slices.DeleteFunc(ids, func(id string) bool { return members[id] }), nil
}
