package image

import (
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/storage/courier/configuration"
	"skiff/storage/image"
)

// none is docker's word for a missing name, tag or digest.
const none = "<none>"

// imagesOptions is what the user asked for.
type imagesOptions struct {
	All     bool
	Digests bool
	NoTrunc bool
	Quiet   bool
	Tree    bool
	Format  string
	Filters flags.Filters
}

// ImagesCommand lists images.
func ImagesCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "images",
		Usage:     "List images",
		ArgsUsage: "[OPTIONS] [REPOSITORY[:TAG]]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "Show all images (default hides intermediate and dangling images)"},
			&cli.BoolFlag{Name: "digests", Usage: "Show digests"},
			flags.TypedList(&cli.StringSliceFlag{
				Name: "filter", Aliases: []string{"f"}, Usage: "Filter output based on conditions provided",
			}, "filter"),
			&cli.StringFlag{Name: "format", Usage: flags.FormatUsage},
			&cli.BoolFlag{Name: "no-trunc", Usage: "Don't truncate output"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "Only show image IDs"},
			&cli.BoolFlag{Name: "tree", Usage: "List multi-platform images as a tree (EXPERIMENTAL)"},
		},
		Action: func(c *cli.Context) error {
			o, err := parseImages(c, e)
			if err != nil {
				return err
			}
			return runImages(e, o)
		},
	}
}

func parseImages(c *cli.Context, e *env.Env) (imagesOptions, error) {
	if err := flags.MaxArgs(c, 1); err != nil {
		return imagesOptions{}, err
	}
	if c.Bool("tree") {
		for flag, name := range map[string]string{"quiet": "quiet", "no-trunc": "no-trunc", "digests": "show-digest", "format": "format"} {
			if c.IsSet(flag) {
				return imagesOptions{}, failure.Local("--%s is not yet supported with --tree", name)
			}
		}
	}
	filters, err := flags.ParseFilters(c.StringSlice("filter"), "dangling", "label", "before", "since", "until", "reference")
	if err != nil {
		return imagesOptions{}, err
	}
	if name := c.Args().First(); name != "" {
		filters["reference"] = append(filters["reference"], name)
	}
	layout := c.String("format")
	if !c.Bool("tree") {
		layout = flags.Layout(e, layout, c.Bool("quiet"), func(c *configuration.Client) string { return c.ImagesFormat })
	}
	return imagesOptions{
		All: c.Bool("all"), Digests: c.Bool("digests"), NoTrunc: c.Bool("no-trunc"), Quiet: c.Bool("quiet"),
		Tree: c.Bool("tree"), Format: layout, Filters: filters,
	}, nil
}

func runImages(e *env.Env, o imagesOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	images, err := image.List(st)
	if err != nil {
		return err
	}
	if members := image.Members(images); !o.All {
		// Those live by the name of another: as docker's intermediate ones they are
		// only shown with all.
		images = slices.DeleteFunc(images, func(img *image.Image) bool { return members[img.ID] && len(img.Names)+len(img.Digests) == 0 })
	}
	images, err = filter(e, st, images, o.Filters)
	if err != nil {
		return err
	}
	slices.SortStableFunc(images, func(a, b *image.Image) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return strings.Compare(firstName(a), firstName(b))
	})
	if o.Tree {
		if !o.All {
			images = slices.DeleteFunc(images, func(img *image.Image) bool { return len(img.Names) == 0 })
		}
		return printTree(e, st, images)
	}
	var rows []format.Row
	for _, img := range images {
		rows = append(rows, imageRows(img, o, e.Clock())...)
	}
	return imageList(o).Print(e.Out, o.Format, o.Quiet, rows)
}

// imageList says how images are printed: docker's columns before version 29,
// which scripts cut up.
func imageList(o imagesOptions) format.List {
	columns := []string{"Repository", "Tag", "ID", "CreatedSince", "Size"}
	if o.Digests {
		columns = slices.Insert(columns, 2, "Digest")
	}
	return format.List{
		Headings: [][2]string{
			{"ID", "IMAGE ID"},
			{"Repository", "REPOSITORY"},
			{"Tag", "TAG"},
			{"Digest", "DIGEST"},
			{"CreatedSince", "CREATED"},
			{"CreatedAt", "CREATED AT"},
			{"Size", "SIZE"},
			{"Containers", "CONTAINERS"},
			{"VirtualSize", "SIZE"},
			{"SharedSize", "SHARED SIZE"},
			{"UniqueSize", "UNIQUE SIZE"},
		},
		Columns: columns,
		Quiet:   "ID",
	}
}

// imageRows returns an image's rows: one a tag, or one a repository whose tag
// has moved on, or one for an image without any name.
func imageRows(img *image.Image, o imagesOptions, now time.Time) []format.Row {
	withDigest := o.Digests || strings.Contains(o.Format, ".Digest")
	var rows []format.Row
	add := func(repository, tag, digest string) {
		rows = append(rows, imageRow(img, o, now, repository, tag, digest))
	}
	digests := make(map[string][]string) // by repository
	for _, name := range img.Digests {
		if r, err := image.ParseReference(name); err == nil {
			digests[r.FamiliarName()] = append(digests[r.FamiliarName()], r.Digest)
		}
	}
	tagged := make(map[string]bool)
	for _, name := range sorted(img.Names) {
		r, err := image.ParseReference(name)
		if err != nil {
			continue
		}
		repository := r.FamiliarName()
		tagged[repository] = true
		if of := digests[repository]; withDigest && len(of) > 0 {
			for _, d := range of {
				add(repository, r.Tag, d)
			}
		} else {
			add(repository, r.Tag, none)
		}
	}
	for _, name := range sorted(img.Digests) {
		r, err := image.ParseReference(name)
		if err != nil || tagged[r.FamiliarName()] {
			continue
		}
		if !withDigest {
			tagged[r.FamiliarName()] = true
		}
		add(r.FamiliarName(), none, r.Digest)
	}
	if len(rows) == 0 {
		add(none, none, none)
	}
	return rows
}

func imageRow(img *image.Image, o imagesOptions, now time.Time, repository, tag, digest string) format.Row {
	id := "sha256:" + img.ID
	if !o.NoTrunc {
		id = format.ShortID(id)
	}
	return format.Row{
		"ID": id, "Repository": repository, "Tag": tag, "Digest": digest,
		"CreatedSince": createdSince(now, img.Created), "CreatedAt": img.Created.Local().Truncate(time.Second).String(),
		"Size": format.Size(img.Size), "VirtualSize": format.LongSize(img.Size), "Containers": "N/A", "SharedSize": "N/A", "UniqueSize": "N/A",
	}
}

// createdSince is the age in docker's words. An image that does not say when it
// was made has no age.
func createdSince(now, created time.Time) string {
	if created.Year() <= 1 {
		return "N/A"
	}
	return format.Ago(now, created)
}

func firstName(img *image.Image) string {
	if len(img.Names) == 0 {
		return img.ID
	}
	return slices.Min(img.Names)
}

func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return names
}
