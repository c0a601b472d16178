package image

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage"
	"skiff/storage/courier/client"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// saveOptions is what the user asked for.
type saveOptions struct {
	Refs     []string
	Output   string // "" is standard output
	Platform string
}

// SaveCommand writes images into an archive.
func SaveCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "save",
		Usage:     "Save one or more images to a tar archive (streamed to STDOUT by default)",
		ArgsUsage: "[OPTIONS] IMAGE [IMAGE...]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "Write to a file, instead of STDOUT"},
			&cli.StringFlag{Name: "platform", Usage: `Save only the given platform(s). Formatted as a comma-separated list of "os[/arch[/variant]]" (e.g., "linux/amd64,linux/arm64/v8")`},
		},
		Action: func(c *cli.Context) error {
			o, err := parseSave(c)
			if err != nil {
				return err
			}
			return runSave(c.Context, e, o)
		},
	}
}

func parseSave(c *cli.Context) (saveOptions, error) {
	if err := flags.MinArgs(c, 1); err != nil {
		return saveOptions{}, err
	}
	return saveOptions{Refs: c.Args().Slice(), Output: c.String("output"), Platform: c.String("platform")}, nil
}

func runSave(ctx context.Context, e *env.Env, o saveOptions) (err error) {
	out, err := e.Output(o.Output)
	if errors.Is(err, env.ErrToTerminal) {
		return failure.Local("%v", err)
	}
	if err != nil {
		return failure.Local("failed to save image: %v", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	st, err := e.Store()
	if err != nil {
		return err
	}
	images, err := saved(st, o)
	if err != nil {
		return err
	}
	file, ok := out.Writer.(*os.File)
	if !ok {
		return errors.New("save: standard output is not a file")
	}
	if err := client.Save(ctx, st, file, message.Save{Images: images}); err != nil {
		return err
	}
	return out.Commit()
}

// saved are the images that the user named, each once, with the names that it
// was asked for by: a repository without a tag stands for all of its tags, an ID
// for no name.
func saved(st *storage.Store, o saveOptions) ([]message.Saved, error) {
	all, err := image.List(st)
	if err != nil {
		return nil, err
	}
	var images []message.Saved
	add := func(img *image.Image, ref, name string) error {
		if img.Graph != "" {
			return readOnly(img, ref, "save")
		}
		ids, err := variants(st, img, ref, name, o.Platform)
		if err != nil {
			return err
		}
		id := img.ID
		if len(ids) > 0 && !slices.Contains(ids, id) {
			id = ids[0]
		}
		at := slices.IndexFunc(images, func(s message.Saved) bool { return s.ID == id && slices.Equal(s.Platforms, ids) })
		if at < 0 {
			at = len(images)
			images = append(images, message.Saved{ID: id, Platforms: ids})
		}
		if name != "" && !slices.Contains(images[at].Names, name) {
			images[at].Names = append(images[at].Names, name)
		}
		return nil
	}
	for _, ref := range o.Refs {
		img, err := image.Find(st, ref)
		parsed, perr := image.ParseReference(ref)
		named := perr == nil && (img == nil || img.NameOf(ref) != "" || !strings.HasPrefix(img.ID, strings.TrimPrefix(ref, "sha256:")))
		if named && parsed.Tag == "" && parsed.Digest == "" {
			if of := tagsOf(all, parsed.Name()); len(of) > 0 {
				for _, t := range of {
					if err := add(t.img, ref, t.name); err != nil {
						return nil, err
					}
				}
				continue
			}
			if img == nil && errors.Is(err, image.ErrNotFound) {
				return nil, failure.Engine(err, "No such image: %s", ref)
			}
		}
		if err != nil {
			return nil, err
		}
		name := ""
		if named && parsed.Digest == "" {
			name = parsed.WithDefaultTag().String()
		}
		if err := add(img, ref, name); err != nil {
			return nil, err
		}
	}
	return images, nil
}

type tag struct {
	name string
	img  *image.Image
}

// tagsOf are the tags of a repository, sorted.
func tagsOf(all []*image.Image, repository string) []tag {
	var of []tag
	for _, img := range all {
		if img.Graph != "" {
			continue
		}
		for _, name := range img.Names {
			if strings.HasPrefix(name, repository+":") && !strings.Contains(name[len(repository)+1:], "/") {
				of = append(of, tag{name, img})
			}
		}
	}
	slices.SortFunc(of, func(a, b tag) int { return strings.Compare(a.name, b.name) })
	return of
}
