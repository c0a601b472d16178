package container

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/runtime/lifecycle"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/courier/configuration"
)

type statsOptions struct {
	Refs     []string // empty: those that run
	All      bool
	NoStream bool
	NoTrunc  bool
	Format   string
}

// StatsCommand shows what containers use.
func StatsCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "stats",
		Usage:     "Display a live stream of container(s) resource usage statistics",
		ArgsUsage: "[OPTIONS] [CONTAINER...]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "Show all containers (default shows just running)"},
			&cli.StringFlag{Name: "format", Usage: flags.FormatUsage},
			&cli.BoolFlag{Name: "no-stream", Usage: "Disable streaming stats and only pull the first result"},
			&cli.BoolFlag{Name: "no-trunc", Usage: "Do not truncate output"},
		},
		Action: func(c *cli.Context) error { return Stats(c, e, c.Args().Slice(), c.Bool("all")) },
	}
}

// Stats shows what containers use, as the flags of stats in c say.
func Stats(c *cli.Context, e *env.Env, refs []string, all bool) error {
	return runStats(c.Context, e, statsOptions{
		Refs: refs, All: all, NoStream: c.Bool("no-stream"), NoTrunc: c.Bool("no-trunc"),
		Format: flags.Layout(e, c.String("format"), false, func(c *configuration.Client) string { return c.StatsFormat }),
	})
}

var statsLayout = format.List{
	Headings: [][2]string{
		{"Container", "CONTAINER"},
		{"Name", "NAME"},
		{"ID", "CONTAINER ID"},
		{"CPUPerc", "CPU %"},
		{"MemUsage", "MEM USAGE / LIMIT"},
		{"MemPerc", "MEM %"},
		{"NetIO", "NET I/O"},
		{"BlockIO", "BLOCK I/O"},
		{"PIDs", "PIDS"},
	},
	Columns: []string{"ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"},
}

// statsStep is how often a live display is renewed, and over what the use of
// the processor is measured.
const statsStep = time.Second

func runStats(ctx context.Context, e *env.Env, o statsOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	before := map[string]sample{}
	list, err := statsOf(st, o)
	if err != nil {
		return err
	}
	for _, c := range list {
		before[c.Config.ID] = takeSample(c)
	}
	for first := true; ; first = false {
		if !first || len(list) > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(statsStep):
			}
		}
		if list, err = statsOf(st, o); err != nil {
			return err
		}
		now := map[string]sample{}
		var rows []format.Row
		for i, c := range list {
			s := takeSample(c)
			now[c.Config.ID] = s
			ref := c.Config.ID
			switch {
			case i < len(o.Refs):
				ref = o.Refs[i]
			case !o.NoTrunc:
				ref = format.ShortID(ref)
			}
			rows = append(rows, statsRow(c, ref, before[c.Config.ID], s, o.NoTrunc))
		}
		before = now
		if err := showStats(e.Out, o, rows); err != nil || o.NoStream {
			return err
		}
		if len(list) == 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(statsStep):
			}
		}
	}
}

// showStats prints one round. A live display begins at the top of the screen.
func showStats(w io.Writer, o statsOptions, rows []format.Row) error {
	var b strings.Builder
	if err := statsLayout.Print(&b, o.Format, false, rows); err != nil {
		return err
	}
	text := b.String()
	if !o.NoStream && env.Terminal(w) {
		// Each line is cleared to its end, then what is below: no flicker.
		text = "\x1b[H" + strings.ReplaceAll(text, "\n", "\x1b[K\n") + "\x1b[J"
	}
	_, err := io.WriteString(w, text)
	return err
}

// statsOf returns the containers to show.
func statsOf(st *storage.Store, o statsOptions) ([]*container.Container, error) {
	if len(o.Refs) > 0 {
		var list []*container.Container
		for _, ref := range o.Refs {
			c, err := find(st, ref)
			if err != nil {
				return nil, err
			}
			list = append(list, c)
		}
		return list, nil
	}
	all, err := candidates(st, o.All)
	if all == nil && err != nil {
		return nil, err
	}
	var list []*container.Container
	for _, c := range all {
		s, err := c.Status()
		if err == nil && (o.All || s.Running()) {
			list = append(list, c)
		}
	}
	return list, nil
}

// sample is what a container has used up to one moment.
type sample struct {
	at time.Time
	lifecycle.Usage
	running bool
}

func takeSample(c *container.Container) sample {
	u, err := lifecycle.Measure(c)
	return sample{at: time.Now(), Usage: u, running: err == nil}
}

func statsRow(c *container.Container, ref string, before, now sample, noTrunc bool) format.Row {
	id := c.Config.ID
	if !noTrunc {
		id = format.ShortID(id)
	}
	row := format.Row{"Container": ref, "Name": c.Config.Name, "ID": id}
	if !now.running {
		// The engine has figures for every container; those of one that does not
		// run are nothing, not unknown.
		row["CPUPerc"], row["MemUsage"], row["MemPerc"], row["NetIO"], row["BlockIO"], row["PIDs"] = "0.00%", "0B / 0B", "0.00%", "0B / 0B", "0B / 0B", "0"
		return row
	}
	cpu := 0.0
	if before.running && now.CPU > before.CPU {
		cpu = 100 * (now.CPU - before.CPU).Seconds() / now.at.Sub(before.at).Seconds()
	}
	row["CPUPerc"] = fmt.Sprintf("%.2f%%", cpu)
	row["MemUsage"] = format.BinarySize(now.Memory) + " / " + format.BinarySize(now.MemoryLimit)
	row["MemPerc"] = fmt.Sprintf("%.2f%%", 100*float64(now.Memory)/float64(max(now.MemoryLimit, 1)))
	row["NetIO"] = format.Size(now.Received) + " / " + format.Size(now.Sent)
	row["BlockIO"] = format.Size(now.Read) + " / " + format.Size(now.Written)
	row["PIDs"] = fmt.Sprint(now.Tasks)
	return row
}
