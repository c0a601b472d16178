package manifest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/storage/courier/client"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// ImagetoolsCommand is the group `buildx imagetools`: images in registries,
// without pulling them.
func ImagetoolsCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:        "imagetools",
		Usage:       "Commands to work on images in registry",
		Subcommands: []*cli.Command{imagetoolsCreate(e), imagetoolsInspect(e)},
	}
}

func imagetoolsInspect(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "Show details of an image in the registry",
		ArgsUsage: "[OPTIONS] NAME",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Usage: "Format the output using the given Go template", Value: ""},
			&cli.BoolFlag{Name: "raw", Usage: "Show original, unformatted JSON manifest"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 1); err != nil {
				return err
			}
			if c.Bool("raw") && c.String("format") != "" {
				return failure.Local("format and raw cannot be used together")
			}
			return inspectRemote(c.Context, e, c.Args().First(), c.String("format"), c.Bool("raw"))
		},
	}
}

// remoteImage is what a --format template of imagetools inspect sees.
type remoteImage struct {
	Name     string          `json:"name"`
	Manifest remoteManifest  `json:"manifest"`
	Image    json.RawMessage `json:"image,omitempty"`
}

type remoteManifest struct {
	SchemaVersion int            `json:"schemaVersion"`
	MediaType     string         `json:"mediaType"`
	Digest        string         `json:"digest"`
	Size          int64          `json:"size"`
	Manifests     []remoteMember `json:"manifests,omitempty"`
}

type remoteMember struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func inspectRemote(ctx context.Context, e *env.Env, name, template string, raw bool) error {
	ref, err := parse(name)
	if err != nil {
		return err
	}
	f, err := fetch(ctx, e, ref, false)
	if err != nil {
		return err
	}
	if raw {
		// The bytes of which the digest is; JSON has its control characters escaped.
		_, err := fmt.Fprint(e.Out, format.EscapeText(string(f.Raw)))
		return err
	}
	found := remoteImage{Name: ref.String(), Image: f.Config}
	if err := json.Unmarshal(f.Raw, &found.Manifest); err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	found.Manifest.MediaType, found.Manifest.Digest, found.Manifest.Size = f.MediaType, digestOf(f.Raw), int64(len(f.Raw))
	if template != "" {
		// buildx's templates have Go's names for the fields, not JSON's.
		t, err := format.Parse(template)
		if err != nil {
			return err
		}
		return format.Execute(e.Out, t, found)
	}
	return printRemote(e, found)
}

// printRemote prints buildx's view, in its columns.
func printRemote(e *env.Env, found remoteImage) error {
	var b strings.Builder
	table := func(lines ...string) {
		w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
		fmt.Fprint(w, strings.Join(lines, ""))
		w.Flush() // a strings.Builder takes everything
	}
	table("Name:\t"+found.Name+"\n", "MediaType:\t"+format.Escape(found.Manifest.MediaType)+"\n", "Digest:\t"+found.Manifest.Digest+"\n")
	if isList(found.Manifest.MediaType) {
		table("\t\n", "Manifests:\t\n")
		var lines []string
		for i, m := range found.Manifest.Manifests {
			if i > 0 {
				lines = append(lines, "\t\n")
			}
			lines = append(lines, "  Name:\t"+found.Name+"@"+format.Escape(m.Digest)+"\n", "  MediaType:\t"+format.Escape(m.MediaType)+"\n")
			if m.Platform != nil {
				lines = append(lines, "  Platform:\t"+format.Escape(m.Platform.String())+"\n")
			}
			if len(m.Annotations) > 0 {
				lines = append(lines, "  Annotations:\t\n")
				for _, key := range sortedKeys(m.Annotations) {
					lines = append(lines, "    "+format.Escape(key)+":\t"+format.Escape(m.Annotations[key])+"\n")
				}
			}
		}
		table(lines...)
	}
	_, err := fmt.Fprint(e.Out, b.String())
	return err
}

// String is os/architecture[/variant].
func (p *platform) String() string {
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func imagetoolsCreate(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "Create a new image based on source images",
		ArgsUsage: "[OPTIONS] [SOURCE...]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "append", Usage: "Append to existing manifest"},
			&cli.BoolFlag{Name: "dry-run", Usage: "Show final image instead of pushing"},
			&cli.BoolFlag{Name: "prefer-index", Value: true, Usage: "When only a single source is specified, prefer outputting an image index or manifest list instead of performing a carbon copy"},
			&cli.StringSliceFlag{Name: "tag", Aliases: []string{"t"}, Usage: "Set reference for new image"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 1); err != nil {
				return err
			}
			return createRemote(c.Context, e, c.Args().Slice(), createOptions{
				Tags: c.StringSlice("tag"), Append: c.Bool("append"), Dry: c.Bool("dry-run"), PreferIndex: c.Bool("prefer-index"),
			})
		},
	}
}

// createOptions is what the user asked for.
type createOptions struct {
	Tags        []string
	Append, Dry bool
	PreferIndex bool // of one source that is no list
}

// createRemote makes a list of what the sources are and gives it names. The
// sources may be in other registries.
func createRemote(ctx context.Context, e *env.Env, sources []string, o createOptions) error {
	if len(o.Tags) == 0 && !o.Dry {
		return failure.Local("can't push with no tags specified, please set --tag or --dry-run")
	}
	var targets []image.Reference
	for _, t := range o.Tags {
		ref, err := parse(t)
		if err != nil {
			return err
		}
		targets = append(targets, ref)
	}
	if o.Append {
		if len(targets) == 0 {
			return failure.Local("--append needs --tag")
		}
		// What is there comes first, and is replaced by a source for its platform.
		sources = append([]string{targets[0].String()}, sources...)
	}
	all, only, err := collect(ctx, e, sources)
	if err != nil {
		return err
	}
	var blob []byte
	var mediaType string
	if only != nil && (isList(only.MediaType) || !o.PreferIndex) {
		// One alone stays what it is, with its digest.
		blob, mediaType = only.Raw, only.MediaType
	} else if blob, mediaType, err = index(all); err != nil {
		return err
	}
	if o.Dry {
		return printJSON(e, blob, "  ")
	}
	for _, ref := range targets {
		if err := checkEntries(ref, all); err != nil {
			return err
		}
		r, err := registries(e, ref, false)
		if err != nil {
			return err
		}
		for _, one := range all {
			if _, err := putMember(ctx, ref, one, r); err != nil {
				return err
			}
		}
		if err := client.PutManifest(ctx, message.PutManifest{Reference: ref.String(), MediaType: mediaType, Raw: blob, Registries: r}); err != nil {
			return err
		}
		fmt.Fprintf(e.Err, "pushing %s to %s\n", digestOf(blob), ref)
	}
	return nil
}

// collect fetches the manifests of images and lists, one for each platform; only
// is the source where there is one.
func collect(ctx context.Context, e *env.Env, sources []string) (all []entry, only *message.Fetched, err error) {
	for _, text := range sources {
		ref, err := parse(text)
		if err != nil {
			return nil, nil, err
		}
		f, err := fetch(ctx, e, ref, false)
		if err != nil {
			return nil, nil, err
		}
		if len(sources) == 1 {
			only = f
		}
		var found []entry
		if isList(f.MediaType) {
			found, err = members(ctx, e, ref, f, false)
		} else {
			var one entry
			one, err = entryOf(ref.String(), f)
			found = []entry{one}
		}
		if err != nil {
			return nil, nil, err
		}
		for _, one := range found {
			same := func(other entry) bool {
				platform := one.Descriptor.Platform.String()
				// Attestations are of no platform, and several may be of none.
				return other.Descriptor.Platform.String() == platform && (platform != "unknown/unknown" || other.Descriptor.Digest == one.Descriptor.Digest)
			}
			if i := slices.IndexFunc(all, same); i >= 0 {
				all[i] = one
			} else {
				all = append(all, one)
			}
		}
	}
	return all, only, nil
}
