package container

import (
	"context"
	"errors"
	"os"
	"sort"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/courier/configuration"
)

type psOptions struct {
	All     bool
	Last    int // show so many, -1 all
	Filters flags.Filters
	Format  string
	Pod     bool // also of which pod
	NoTrunc bool
	Quiet   bool
	Size    bool
}

// PsCommand lists containers. The management form is called ls.
func PsCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "ps",
		Usage:     "List containers",
		ArgsUsage: "[OPTIONS]",
		Category:  "Common",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "Show all containers (default shows just running)"},
			flags.TypedList(&cli.StringSliceFlag{Name: "filter", Aliases: []string{"f"}, Usage: "Filter output based on conditions provided"}, "filter"),
			&cli.StringFlag{Name: "format", Usage: flags.FormatUsage},
			&cli.BoolFlag{Name: "pod", Usage: "Also show of which pod a container is"},
			&cli.IntFlag{Name: "last", Aliases: []string{"n"}, Value: -1, Usage: "Show n last created containers (includes all states)"},
			&cli.BoolFlag{Name: "latest", Aliases: []string{"l"}, Usage: "Show the latest created container (includes all states)"},
			&cli.BoolFlag{Name: "no-trunc", Usage: "Don't truncate output"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "Only display container IDs"},
			&cli.BoolFlag{Name: "size", Aliases: []string{"s"}, Usage: "Display total file sizes"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			o, err := parsePs(c, e)
			if err != nil {
				return err
			}
			return runPs(c.Context, e, o)
		},
	}
}

func parsePs(c *cli.Context, e *env.Env) (psOptions, error) {
	o := psOptions{
		All: c.Bool("all"), Last: c.Int("last"), Pod: c.Bool("pod"),
		Format:  flags.Layout(e, c.String("format"), c.Bool("quiet"), func(c *configuration.Client) string { return c.PsFormat }),
		NoTrunc: c.Bool("no-trunc"), Quiet: c.Bool("quiet"), Size: c.Bool("size"),
	}
	if c.Bool("latest") {
		o.Last = 1
	}
	var err error
	o.Filters, err = flags.ParseFilters(c.StringSlice("filter"), filterKeys...)
	if err != nil {
		return o, err
	}
	if len(o.Filters["status"]) > 0 || o.Last > 0 {
		o.All = true
	}
	o.Size = o.Size || !o.Quiet && o.Format != "" && format.Mentions(o.Format, "Size") && o.Format != "json" && o.Format != "raw"
	return o, nil
}

func runPs(_ context.Context, e *env.Env, o psOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	list, broken := candidates(st, o.All)
	match, err := newMatcher(st, o.Filters)
	if err != nil {
		return err
	}
	images := imageNames{st: st}
	statuses, failed := container.Statuses(st, list)
	var rows []format.Row
	for i, c := range list {
		if o.Last > 0 && len(rows) == o.Last {
			break
		}
		s := statuses[i]
		if failed[i] != nil {
			broken = errors.Join(broken, failed[i])
			continue
		}
		if !o.All && !s.Running() && s.State != "restarting" {
			continue
		}
		if !match.shows(c, s) {
			continue
		}
		rows = append(rows, psRow(e, &images, o, c, s))
	}
	layout := psLayout
	if o.Pod {
		layout.Columns = append(layout.Columns[:len(layout.Columns):len(layout.Columns)], "Pod", "PodName")
	}
	if o.Size {
		layout.Raw = append(layout.Raw[:len(layout.Raw):len(layout.Raw)], [2]string{"Size", "size"})
		layout.Columns = append(layout.Columns[:len(layout.Columns):len(layout.Columns)], "Size")
	}
	return failure.Listed(layout.Print(e.Out, o.Format, o.Quiet, rows), broken)
}

// candidates returns containers, newest first: all, or those that are marked as
// running, so that the stopped ones cost nothing.
func candidates(st *storage.Store, all bool) ([]*container.Container, error) {
	if all {
		return container.List(st)
	}
	marked, err := os.ReadDir(st.Running())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var list []*container.Container
	var broken error
	for _, m := range marked {
		c, err := container.Load(st, m.Name())
		switch {
		case err == nil && !c.Vanished():
			list = append(list, c)
		case err != nil && !errors.Is(err, container.ErrNotFound):
			broken = errors.Join(broken, err)
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Config.Created.After(list[j].Config.Created) })
	return list, broken
}
