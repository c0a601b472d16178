package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
)

var layout = format.List{
	Headings: [][2]string{
		{"ID", "ID"}, {"Pid", "PID"}, {"Status", "STATUS"}, {"Bundle", "BUNDLE"}, {"Created", "CREATED"}, {"Owner", "OWNER"},
	},
	Columns: []string{"ID", "Pid", "Status", "Bundle", "Created", "Owner"},
	Quiet:   "ID",
}

func listCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "list",
		Usage:     "List the containers of the state directory",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Value: "table", Usage: `Format of the list ("table", "json")`},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "Only print the ids"},
		},
		Action: action(e, 0, func(c *cli.Context, g *globals) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			if f := c.String("format"); f != "table" && f != "json" {
				return failure.Local("invalid format option: %q", f)
			}
			return runList(e, g, c.String("format"), c.Bool("quiet"))
		}),
	}
}

func runList(e *env.Env, g *globals, layoutName string, quiet bool) error {
	list, broken := g.Root.List()
	states := []state{}
	var rows []format.Row
	for _, c := range list {
		s, err := c.State()
		if err != nil {
			broken = errors.Join(broken, err)
			continue
		}
		one := withOwner(s)
		states = append(states, one)
		rows = append(rows, format.Row{
			"ID": s.ID, "Pid": strconv.Itoa(s.Pid), "Status": string(s.Status), "Bundle": s.Bundle,
			"Created": s.Created.Format(time.RFC3339Nano), "Owner": one.Owner,
		})
	}
	if layoutName == "json" && !quiet {
		data, err := json.Marshal(states)
		if err == nil {
			_, err = fmt.Fprintln(e.Out, string(data))
		}
		return errors.Join(err, broken)
	}
	return errors.Join(layout.Print(e.Out, "table", quiet, rows), broken)
}
