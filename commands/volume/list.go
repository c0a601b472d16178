package volume

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/storage"
	"skiff/storage/courier/configuration"
	"skiff/storage/volume"
)

var layout = format.List{
	Headings: [][2]string{
		{"Driver", "DRIVER"},
		{"Name", "VOLUME NAME"},
		{"Scope", "SCOPE"},
		{"Mountpoint", "MOUNTPOINT"},
		{"Labels", "LABELS"},
		{"Links", "LINKS"},
		{"Size", "SIZE"},
		{"Group", "GROUP"},
		{"Availability", "AVAILABILITY"},
		{"Status", "STATUS"},
	},
	Columns: []string{"Driver", "Name"},
	Quiet:   "Name",
}

// ListCommand lists volumes.
func ListCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "ls",
		Aliases:   []string{"list"},
		Usage:     "List volumes",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			flags.TypedList(&cli.StringSliceFlag{Name: "filter", Aliases: []string{"f"}, Usage: `Provide filter values (e.g. "dangling=true")`}, "filter"),
			&cli.StringFlag{Name: "format", Usage: flags.FormatUsage},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "Only display volume names"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			f, err := flags.ParseFilters(c.StringSlice("filter"), "dangling", "driver", "label", "name")
			if err != nil {
				return err
			}
			return runList(e, f, flags.Layout(e, c.String("format"), c.Bool("quiet"), func(c *configuration.Client) string { return c.VolumesFormat }), c.Bool("quiet"))
		},
	}
}

func runList(e *env.Env, f flags.Filters, template string, quiet bool) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	shows, err := newFilter(st, f)
	if err != nil {
		return err
	}
	all, broken := volume.List(st)
	var rows []format.Row
	for _, v := range all {
		if shows(v) {
			rows = append(rows, row(v))
		}
	}
	return failure.Listed(layout.Print(e.Out, template, quiet, rows), broken)
}

func newFilter(st *storage.Store, f flags.Filters) (func(*volume.Volume) bool, error) {
	var users map[string][]string
	for _, d := range f["dangling"] {
		if _, err := strconv.ParseBool(d); err != nil {
			return nil, failure.Engine(err, "invalid filter 'dangling=%s'", d)
		}
		var err error
		if users, err = usersOf(st); err != nil {
			return nil, err
		}
	}
	var names []*regexp.Regexp
	for _, n := range f["name"] {
		re, err := regexp.Compile(n)
		if err != nil {
			return nil, failure.Engine(err, "invalid filter 'name=%s'", n)
		}
		names = append(names, re)
	}
	return func(v *volume.Volume) bool {
		return f.Labels(v.Labels) &&
			f.Any("driver", func(d string) bool { return d == "local" }) &&
			f.Any("dangling", func(d string) bool {
				want, _ := strconv.ParseBool(d) // checked above
				return want == (len(users[v.Name]) == 0)
			}) &&
			(len(names) == 0 || slices.ContainsFunc(names, func(re *regexp.Regexp) bool { return re.MatchString(v.Name) }))
	}, nil
}

func row(v *volume.Volume) format.Row {
	r := format.Row{
		"Driver": "local", "Name": v.Name, "Scope": "local", "Mountpoint": v.Mountpoint,
		"Links": "N/A", "Size": "N/A", "Group": "N/A", "Availability": "N/A", "Status": "N/A",
	}
	var labels []string
	for key, value := range v.Labels {
		labels = append(labels, key+"="+value)
		r[format.LabelKey(key)] = value
	}
	slices.Sort(labels)
	r["Labels"] = strings.Join(labels, ",")
	return r
}
