package system

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/build"
	"skiff/commands/container"
	"skiff/commands/env"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/commands/image"
	"skiff/storage"
	simage "skiff/storage/image"
	"skiff/storage/usage"
	"skiff/storage/volume"
)

// DfCommand tells what takes how much of the disk.
func DfCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "df",
		Usage:     "Show disk usage",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Usage: flags.FormatUsage},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "Show detailed information on space usage"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			return runDf(e, c.Bool("verbose"), c.String("format"))
		},
	}
}

func runDf(e *env.Env, verbose bool, layout string) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	// A template may want IDs whole, as with docker.
	d, err := measure(e, st, layout != "" && layout != "table")
	if err != nil {
		return err
	}
	switch {
	case !verbose:
		return dfList.Print(e.Out, layout, false, d.rows())
	case layout == "" || layout == "table":
		return d.print(e)
	}
	return format.Document(e.Out, layout, d.document())
}

var dfList = format.List{
	Headings: [][2]string{
		{"Type", "TYPE"}, {"TotalCount", "TOTAL"}, {"Active", "ACTIVE"}, {"Size", "SIZE"}, {"Reclaimable", "RECLAIMABLE"},
	},
	Columns: []string{"Type", "TotalCount", "Active", "Size", "Reclaimable"},
}

// diskUsage is what a user's store takes.
type diskUsage struct {
	images      []image.Disk
	layersBytes int64 // of the files in all images' layers
	containers  []container.Disk
	volumes     []volumeDisk
	cache       []build.Entry
}

type volumeDisk struct {
	*volume.Volume
	bytes int64
	links int // containers that have it
}

func measure(e *env.Env, st *storage.Store, noTrunc bool) (*diskUsage, error) {
	var d diskUsage
	var err error
	if d.containers, err = container.DiskUsage(e, st, noTrunc); err != nil {
		return nil, err
	}
	if d.cache, err = build.Usage(st); err != nil {
		return nil, err
	}
	images, err := simage.List(st)
	if err != nil {
		return nil, err
	}
	// What other stores have takes no space of this one.
	images = slices.DeleteFunc(images, func(i *simage.Image) bool { return i.Graph != "" })
	layers, err := simage.Layers(st)
	if err != nil {
		return nil, err
	}
	users, links := make(map[string]int), make(map[string]int)
	for _, c := range d.containers {
		for _, id := range c.Config.Images() {
			users[id]++
		}
		for _, m := range c.Config.Mounts {
			if m.Name != "" {
				links[m.Name]++
			}
		}
	}
	d.images, d.layersBytes = image.DiskUsage(images, layers, users, e.Clock(), noTrunc)
	volumes, err := volume.List(st)
	for _, v := range volumes {
		d.volumes = append(d.volumes, volumeDisk{v, usage.Below(v.Mountpoint), links[v.Name]})
	}
	return &d, err
}

// rows are docker's four kinds.
func (d *diskUsage) rows() []format.Row {
	var used, containers, idle, volumes, unlinked int64
	var usedImages, active, linked int
	for _, i := range d.images {
		if i.Containers > 0 {
			usedImages++
			used += i.Size - i.Shared
		}
	}
	for _, c := range d.containers {
		containers += c.Bytes
		if c.Active {
			active++
		} else {
			idle += c.Bytes
		}
	}
	for _, v := range d.volumes {
		volumes += v.bytes
		if v.links > 0 {
			linked++
		} else {
			unlinked += v.bytes
		}
	}
	return []format.Row{
		dfRow("Images", len(d.images), usedImages, d.layersBytes, d.layersBytes-used),
		dfRow("Containers", len(d.containers), active, containers, idle),
		dfRow("Local Volumes", len(d.volumes), linked, volumes, unlinked),
		dfRow("Build Cache", len(d.cache), 0, d.cacheBytes(), d.cacheBytes()),
	}
}

// cacheBytes is what the build cache takes beside the images.
func (d *diskUsage) cacheBytes() (sum int64) {
	for _, entry := range d.cache {
		if !entry.Shared {
			sum += entry.Size
		}
	}
	return sum
}

func (d *diskUsage) cacheRows(now time.Time) []format.Row {
	rows := []format.Row{}
	for _, entry := range d.cache {
		row := format.Row{
			"ID": entry.ID, "CacheType": entry.Kind, "Size": format.LongSize(entry.Size), "CreatedSince": "", "LastUsedSince": "",
			"UsageCount": "", "Shared": strconv.FormatBool(entry.Shared),
		}
		if !entry.Created.IsZero() {
			row["CreatedSince"] = format.Ago(now, entry.Created)
		}
		if !entry.Used.IsZero() {
			row["LastUsedSince"] = format.Ago(now, entry.Used)
		}
		rows = append(rows, row)
	}
	return rows
}

func dfRow(kind string, total, active int, size, reclaimable int64) format.Row {
	r := format.LongSize(reclaimable)
	if size > 0 {
		r += fmt.Sprintf(" (%d%%)", reclaimable*100/size)
	}
	return format.Row{
		"Type": kind, "TotalCount": strconv.Itoa(total), "Active": strconv.Itoa(active), "Size": format.LongSize(size), "Reclaimable": r,
	}
}

var volumeList = format.List{
	Headings: [][2]string{{"Name", "VOLUME NAME"}, {"Links", "LINKS"}, {"Size", "SIZE"}},
	Columns:  []string{"Name", "Links", "Size"},
}

var cacheList = format.List{
	Headings: [][2]string{
		{"ID", "CACHE ID"},
		{"CacheType", "CACHE TYPE"},
		{"Size", "SIZE"},
		{"CreatedSince", "CREATED"},
		{"LastUsedSince", "LAST USED"},
		{"UsageCount", "USAGE"},
		{"Shared", "SHARED"},
	},
	Columns: []string{"ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "UsageCount", "Shared"},
}

func (d *diskUsage) imageRows() []format.Row {
	rows := []format.Row{}
	for _, i := range d.images {
		rows = append(rows, i.Row)
	}
	return rows
}

func (d *diskUsage) containerRows() []format.Row {
	rows := []format.Row{}
	for _, c := range d.containers {
		rows = append(rows, c.Row)
	}
	return rows
}

func (d *diskUsage) volumeRows() []format.Row {
	rows := []format.Row{}
	for _, v := range d.volumes {
		rows = append(rows, format.Row{
			"Name": v.Name, "Driver": "local", "Scope": "local", "Mountpoint": v.Mountpoint,
			"Links": strconv.Itoa(v.links), "Size": format.LongSize(v.bytes),
		})
	}
	return rows
}

// print is docker's long form.
func (d *diskUsage) print(e *env.Env) error {
	var failed error
	section := func(title string, l format.List, rows []format.Row) {
		fmt.Fprintf(e.Out, "%s\n\n", title)
		failed = errors.Join(failed, l.Print(e.Out, "", false, rows))
	}
	section("Images space usage:", image.DiskColumns(), d.imageRows())
	section("\nContainers space usage:", container.DiskColumns(), d.containerRows())
	section("\nLocal Volumes space usage:", volumeList, d.volumeRows())
	section("\nBuild cache usage: "+format.LongSize(d.cacheBytes()), cacheList, d.cacheRows(e.Clock()))
	return failed
}

// document is what a template of the user's sees.
func (d *diskUsage) document() any {
	return map[string][]format.Row{
		"Images": d.imageRows(), "Containers": d.containerRows(), "Volumes": d.volumeRows(), "BuildCache": d.cacheRows(time.Now()),
	}
}
