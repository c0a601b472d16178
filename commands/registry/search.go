package registry

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/storage/courier/client"
	"skiff/storage/courier/configuration"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

const (
	// searchLimit is docker's default number of answers, maxSearch its largest.
	searchLimit = 25
	maxSearch   = 100
	// descriptionWidth is how many characters of a description are shown.
	descriptionWidth = 45
)

var searchLayout = format.List{
	Headings: [][2]string{
		{"Name", "NAME"},
		{"Description", "DESCRIPTION"},
		{"StarCount", "STARS"},
		{"IsOfficial", "OFFICIAL"},
		{"IsAutomated", "AUTOMATED"},
	},
	Columns: []string{"Name", "Description", "StarCount", "IsOfficial"},
}

var tagLayout = format.List{
	Headings: [][2]string{{"Name", "NAME"}, {"Tag", "TAG"}},
	Columns:  []string{"Name", "Tag"},
}

// searchOptions is what the user asked for.
type searchOptions struct {
	Term     string
	Limit    int
	Filters  flags.Filters
	Format   string
	NoTrunc  bool
	ListTags bool
}

// SearchCommand looks for images in a registry.
func SearchCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "search",
		Usage:     "Search Docker Hub, or another registry, for images",
		ArgsUsage: "[OPTIONS] TERM",
		Category:  "Common",
		Flags: []cli.Flag{
			flags.TypedList(&cli.StringSliceFlag{Name: "filter", Aliases: []string{"f"}, Usage: "Filter output based on conditions provided"}, "filter"),
			&cli.StringFlag{Name: "format", Usage: "Pretty-print search using a Go template"},
			&cli.IntFlag{Name: "limit", Usage: "Max number of search results", Value: searchLimit},
			&cli.BoolFlag{Name: "list-tags", Usage: "List the tags of the repository TERM"},
			&cli.BoolFlag{Name: "no-trunc", Usage: "Don't truncate output"},
		},
		Action: func(c *cli.Context) error {
			o, err := parseSearch(c)
			if err != nil {
				return err
			}
			if o.ListTags {
				return runListTags(c.Context, e, o, c.IsSet("limit"))
			}
			return runSearch(c.Context, e, o)
		},
	}
}

func parseSearch(c *cli.Context) (searchOptions, error) {
	if err := flags.ExactArgs(c, 1); err != nil {
		return searchOptions{}, err
	}
	o := searchOptions{
		Term: c.Args().First(), Limit: c.Int("limit"), Format: c.String("format"), NoTrunc: c.Bool("no-trunc"), ListTags: c.Bool("list-tags"),
	}
	if o.Limit == 0 && !o.ListTags {
		o.Limit = searchLimit
	}
	if !o.ListTags && (o.Limit < 1 || o.Limit > maxSearch) {
		return o, failure.Engine(nil, "Limit %d is outside the range of [1, %d]", o.Limit, maxSearch)
	}
	var err error
	if o.Filters, err = flags.ParseFilters(c.StringSlice("filter"), "stars", "is-official", "is-automated"); err != nil {
		return o, err
	}
	for _, key := range []string{"is-official", "is-automated"} {
		for _, value := range o.Filters[key] {
			if _, err := strconv.ParseBool(value); err != nil {
				return o, failure.Engine(err, "invalid filter '%s=[%s]'", key, value)
			}
		}
	}
	for _, value := range o.Filters["stars"] {
		if _, err := strconv.Atoi(value); err != nil {
			return o, failure.Engine(err, "invalid filter 'stars=%s'", value)
		}
	}
	return o, nil
}

// splitTerm finds the registry that a term names, as docker does.
func splitTerm(term string) (host, rest string) {
	first, rest, ok := strings.Cut(term, "/")
	if !ok || !strings.ContainsAny(first, ".:") && first != "localhost" {
		return hub, strings.TrimPrefix(term, "library/")
	}
	if first == hub || first == "index.docker.io" {
		return hub, strings.TrimPrefix(rest, "library/")
	}
	return first, rest
}

func runSearch(ctx context.Context, e *env.Env, o searchOptions) error {
	registries, err := configuration.Read(e.Getenv)
	if err != nil {
		return err
	}
	want := message.Search{Limit: o.Limit, Registries: registries}
	want.Host, want.Term = splitTerm(o.Term)
	found, err := client.Search(ctx, want)
	if err != nil {
		return err
	}
	slices.SortStableFunc(found, func(a, b message.Found) int { return b.Stars - a.Stars })
	var rows []format.Row
	for _, f := range found {
		if shown(o.Filters, f) {
			rows = append(rows, searchRow(f, o.NoTrunc))
		}
	}
	return searchLayout.Print(e.Out, o.Format, false, rows)
}

func shown(filters flags.Filters, f message.Found) bool {
	is := func(have bool) func(string) bool {
		return func(value string) bool {
			want, _ := strconv.ParseBool(value) // checked before
			return want == have
		}
	}
	for _, value := range filters["stars"] {
		if least, _ := strconv.Atoi(value); f.Stars < least { // checked before
			return false
		}
	}
	return filters.Any("is-official", is(f.Official)) && filters.Any("is-automated", is(f.Automated))
}

func searchRow(f message.Found, whole bool) format.Row {
	description := strings.NewReplacer("\n", " ", "\r", " ").Replace(f.Description)
	if !whole {
		description = format.Ellipsis(description, descriptionWidth)
	}
	ok := map[bool]string{true: "[OK]"}
	return format.Row{
		"Name": f.Name, "Description": description, "StarCount": strconv.Itoa(f.Stars),
		"IsOfficial": ok[f.Official], "IsAutomated": ok[f.Automated],
	}
}

// runListTags lists the tags of one repository. limited says that the user set
// a limit; otherwise all are shown.
func runListTags(ctx context.Context, e *env.Env, o searchOptions, limited bool) error {
	ref, err := image.ParseReference(o.Term)
	if err != nil {
		return failure.Local("%v", err)
	}
	if ref.Tag != "" || ref.Digest != "" {
		return failure.Local("%s: --list-tags takes a repository, without tag or digest", o.Term)
	}
	registries, err := configuration.Read(e.Getenv)
	if err != nil {
		return err
	}
	tags, err := client.Tags(ctx, message.Tags{Reference: ref.String(), Registries: registries})
	if err != nil {
		return err
	}
	if limited && o.Limit > 0 && len(tags) > o.Limit {
		tags = tags[:o.Limit]
	}
	rows := make([]format.Row, len(tags))
	for i, tag := range tags {
		rows[i] = format.Row{"Name": ref.FamiliarName(), "Tag": tag}
	}
	if err := tagLayout.Print(e.Out, o.Format, false, rows); err != nil {
		return fmt.Errorf("list tags: %w", err)
	}
	return nil
}
