package image

import (
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/storage/image"
)

const (
	// missing is docker's word for the ID of a step that is no image.
	missing = "<missing>"
	// createdByWidth is how much of a step's command is shown.
	createdByWidth = 45
)

// historyOptions is what the user asked for.
type historyOptions struct {
	Ref      string
	Human    bool
	NoTrunc  bool
	Quiet    bool
	Format   string
	Platform string
}

// HistoryCommand shows the steps that an image was made in.
func HistoryCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "history",
		Usage:     "Show the history of an image",
		ArgsUsage: "[OPTIONS] IMAGE",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Usage: flags.FormatUsage},
			&cli.BoolFlag{Name: "human", Aliases: []string{"H"}, Value: true, Usage: "Print sizes and dates in human readable format"},
			&cli.BoolFlag{Name: "no-trunc", Usage: "Don't truncate output"},
			variantFlag("Show history for the given platform."),
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "Only show image IDs"},
		},
		Action: func(c *cli.Context) error {
			o, err := parseHistory(c)
			if err != nil {
				return err
			}
			return runHistory(e, o)
		},
	}
}

func parseHistory(c *cli.Context) (historyOptions, error) {
	if err := flags.ExactArgs(c, 1); err != nil {
		return historyOptions{}, err
	}
	return historyOptions{
		Ref: c.Args().First(), Human: c.Bool("human"), NoTrunc: c.Bool("no-trunc"), Quiet: c.Bool("quiet"),
		Format: c.String("format"), Platform: c.String("platform"),
	}, nil
}

func runHistory(e *env.Env, o historyOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	img, err := image.Resolve(st, o.Ref)
	if err != nil {
		return err
	}
	if img, err = variant(st, img, o.Ref, o.Platform); err != nil {
		return err
	}
	layers, err := image.Layers(st)
	if err != nil {
		return err
	}
	return historyList(o).Print(e.Out, o.Format, o.Quiet, historyRows(img, layers, o, e.Clock()))
}

func historyList(o historyOptions) format.List {
	created := "CreatedSince"
	if !o.Human {
		created = "CreatedAt"
	}
	return format.List{
		Headings: [][2]string{
			{"ID", "IMAGE"},
			{"CreatedSince", "CREATED"},
			{"CreatedAt", "CREATED AT"},
			{"CreatedBy", "CREATED BY"},
			{"Size", "SIZE"},
			{"Comment", "COMMENT"},
		},
		Columns: []string{"ID", created, "CreatedBy", "Size", "Comment"},
		Quiet:   "ID",
	}
}

// historyRows are the steps, the last one first. An image that tells nothing of
// its history has a step a layer, of which only the size is known.
func historyRows(img *image.Image, layers map[string]image.Layer, o historyOptions, now time.Time) []format.Row {
	steps := img.Config.History
	if len(steps) == 0 {
		steps = make([]image.History, len(img.Layers))
	}
	var rows []format.Row
	next := 0 // of the image's layers, topmost first
	for i := len(steps) - 1; i >= 0; i-- {
		var size int64
		if !steps[i].EmptyLayer && next < len(img.Layers) {
			size = layers[img.Layers[next]].Size
			next++
		}
		id := missing
		if len(rows) == 0 {
			id = "sha256:" + img.ID
			if !o.NoTrunc {
				id = format.ShortID(id)
			}
		}
		rows = append(rows, historyRow(&steps[i], id, size, o, now))
	}
	return rows
}

func historyRow(step *image.History, id string, size int64, o historyOptions, now time.Time) format.Row {
	by := strings.ReplaceAll(step.CreatedBy, "\t", " ")
	if !o.NoTrunc {
		by = format.Ellipsis(by, createdByWidth)
	}
	row := format.Row{
		"ID": id, "CreatedBy": by, "Comment": step.Comment, "CreatedSince": "N/A", "CreatedAt": "", "Size": strconv.FormatInt(size, 10),
	}
	if step.Created != nil && step.Created.Unix() > 0 {
		row["CreatedSince"] = createdSince(now, *step.Created)
		row["CreatedAt"] = step.Created.Local().Format(time.RFC3339)
	}
	if o.Human {
		row["Size"] = format.Size(size)
	}
	return row
}
