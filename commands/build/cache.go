package build

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/build"
	"skiff/commands/confirm"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/commands/system"
)

// BuilderCommands are the members of the management group `builder`.
func BuilderCommands(e *env.Env) []*cli.Command {
	return []*cli.Command{Command(e), UsageCommand(e), PruneCommand(e)}
}

// BuildxCommands are the members of the management group `buildx`.
func BuildxCommands(e *env.Env) []*cli.Command {
	return []*cli.Command{Command(e), UsageCommand(e), inspectCommand(e), listCommand(e), PruneCommand(e), versionCommand(e)}
}

// UsageCommand shows what the build cache holds.
func UsageCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "du",
		Usage:     "Disk usage of the build cache",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "verbose", Usage: "Provide a more verbose output"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			return runUsage(e, c.Bool("verbose"))
		},
	}
}

func runUsage(e *env.Env, verbose bool) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	all, err := build.Usage(st)
	if err != nil {
		return err
	}
	var shared, private int64
	w := tabwriter.NewWriter(e.Out, 1, 8, 1, '\t', 0)
	if !verbose {
		fmt.Fprintln(w, "ID\tRECLAIMABLE\tSIZE\tLAST ACCESSED")
	}
	for _, entry := range all {
		size := format.Size(entry.Size)
		if entry.Shared {
			shared += entry.Size
			size += "*"
		} else {
			private += entry.Size
		}
		used := "-"
		if !entry.Used.IsZero() {
			used = format.Ago(e.Clock(), entry.Used)
		}
		if !verbose {
			fmt.Fprintf(w, "%s\t%v\t%s\t%s\n", entry.ID, true, size, used)
			continue
		}
		fmt.Fprintf(w, "ID:\t%s\nCreated at:\t%s\nReclaimable:\ttrue\nShared:\t%v\nSize:\t%s\nDescription:\t%s\nLast used:\t%s\nType:\t%s\n\n",
			entry.ID, entry.Created.Format(time.RFC3339), entry.Shared, format.Size(entry.Size), format.EscapeText(oneLine(entry.Text)), used, entry.Kind)
	}
	fmt.Fprintf(w, "Shared:\t%s\nPrivate:\t%s\nReclaimable:\t%s\nTotal:\t%s\n",
		format.Size(shared), format.Size(private), format.Size(private), format.Size(shared+private))
	return w.Flush()
}

func oneLine(text string) string {
	first, _, more := strings.Cut(text, "\n")
	if more {
		first += " ..."
	}
	return first
}

// PruneCommand deletes from the build cache.
func PruneCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "prune",
		Usage:     "Remove build cache",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "Remove all unused build cache, not just dangling ones"},
			&cli.StringSliceFlag{Name: "filter", Usage: `Provide filter values (e.g. "until=24h")`},
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "Do not prompt for confirmation"},
			&cli.StringFlag{Name: "keep-storage", Aliases: []string{"max-used-space"}, Usage: "Amount of disk space to keep for cache"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			p := build.Pruning{All: c.Bool("all")}
			filters, err := flags.ParseFilters(c.StringSlice("filter"), "until")
			if err != nil {
				return err
			}
			if p.Until, err = filters.Until(e.Clock()); err != nil {
				return failure.Engine(err, "%v", err)
			}
			if text := c.String("keep-storage"); text != "" {
				if p.Keep, err = build.ParseBytes(text); err != nil {
					return failure.Local("invalid argument %q for \"--keep-storage\" flag: %v", text, err)
				}
			}
			warning := "WARNING! This will remove all dangling build cache."
			if p.All {
				warning = "WARNING! This will remove all build cache."
			}
			if !c.Bool("force") && !confirm.Ask(e, warning) {
				return nil
			}
			return runPrune(c, e, p)
		},
	}
}

func runPrune(c *cli.Context, e *env.Env, p build.Pruning) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	ids, freed, err := system.PruneCache(e, st, p)
	if len(ids) > 0 {
		fmt.Fprintf(e.Out, "Deleted build cache objects:\n%s\n\n", strings.Join(ids, "\n"))
	}
	fmt.Fprintf(e.Out, "Total reclaimed space: %s\n", format.LongSize(freed))
	return err
}
