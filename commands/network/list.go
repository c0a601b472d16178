package network

import (
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	runtime "skiff/runtime/network"
	"skiff/storage"
	"skiff/storage/courier/configuration"
	"skiff/storage/network"
)

var layout = format.List{
	Headings: [][2]string{
		{"ID", "NETWORK ID"},
		{"Name", "NAME"},
		{"Driver", "DRIVER"},
		{"Scope", "SCOPE"},
		{"IPv4", "IPV4"},
		{"IPv6", "IPV6"},
		{"Internal", "INTERNAL"},
		{"Labels", "LABELS"},
		{"CreatedAt", "CREATED AT"},
	},
	Columns: []string{"ID", "Name", "Driver", "Scope"},
	Quiet:   "ID",
}

// ListCommand lists networks.
func ListCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "ls",
		Aliases:   []string{"list"},
		Usage:     "List networks",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			flags.TypedList(&cli.StringSliceFlag{Name: "filter", Aliases: []string{"f"}, Usage: `Provide filter values (e.g. "driver=bridge")`}, "filter"),
			&cli.StringFlag{Name: "format", Usage: flags.FormatUsage},
			&cli.BoolFlag{Name: "no-trunc", Usage: "Do not truncate the output"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "Only display network IDs"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			f, err := flags.ParseFilters(c.StringSlice("filter"), "dangling", "driver", "id", "label", "name", "scope", "type")
			if err != nil {
				return err
			}
			return runList(e, f, flags.Layout(e, c.String("format"), c.Bool("quiet"), func(c *configuration.Client) string { return c.NetworksFormat }), c.Bool("quiet"), c.Bool("no-trunc"))
		},
	}
}

func runList(e *env.Env, f flags.Filters, template string, quiet, noTrunc bool) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	shows, err := newFilter(st, f)
	if err != nil {
		return err
	}
	all, broken := network.List(st)
	var rows []format.Row
	for _, n := range all {
		if shows(n) {
			rows = append(rows, row(n, noTrunc))
		}
	}
	return failure.Listed(layout.Print(e.Out, template, quiet, rows), broken)
}

func newFilter(st *storage.Store, f flags.Filters) (func(*network.Network) bool, error) {
	var users map[string][]runtime.User
	for _, d := range f["dangling"] {
		if _, err := strconv.ParseBool(d); err != nil {
			return nil, failure.Engine(err, "invalid filter 'dangling=%s'", d)
		}
		var err error
		if users, err = runtime.Users(st); err != nil {
			return nil, err
		}
	}
	for _, t := range f["type"] {
		if t != "custom" && t != "builtin" {
			return nil, failure.Engine(nil, "invalid filter: 'type'='%s'", t)
		}
	}
	return func(n *network.Network) bool {
		return f.Labels(n.Labels) &&
			f.Any("driver", func(d string) bool { return d == n.Driver }) &&
			f.Any("id", func(id string) bool { return strings.HasPrefix(n.ID, id) }) &&
			f.Any("name", func(name string) bool { return strings.Contains(n.Name, name) }) &&
			f.Any("scope", func(s string) bool { return s == "local" }) &&
			f.Any("type", func(t string) bool { return (t == "builtin") == network.Builtin(n.Name) }) &&
			f.Any("dangling", func(d string) bool {
				want, _ := strconv.ParseBool(d) // checked above
				return want == (len(users[n.ID]) == 0 && !network.Builtin(n.Name))
			})
	}, nil
}

func row(n *network.Network, noTrunc bool) format.Row {
	id := n.ID
	if !noTrunc {
		id = format.ShortID(id)
	}
	r := format.Row{
		"ID": id, "Name": n.Name, "Driver": n.Driver, "Scope": "local",
		"IPv4": strconv.FormatBool(n.EnableIPv4), "IPv6": strconv.FormatBool(n.EnableIPv6),
		"Internal": strconv.FormatBool(n.Internal), "CreatedAt": n.Created.String(),
	}
	var labels []string
	for key, value := range n.Labels {
		labels = append(labels, key+"="+value)
		r[format.LabelKey(key)] = value
	}
	slices.Sort(labels)
	r["Labels"] = strings.Join(labels, ",")
	return r
}
