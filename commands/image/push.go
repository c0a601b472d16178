package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/commands/progress"
	"skiff/storage"
	"skiff/storage/courier/client"
	"skiff/storage/courier/configuration"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// pushOptions is what the user asked for.
type pushOptions struct {
	Ref      image.Reference
	Platform string
	Quiet    bool
	AllTags  bool
	// Untagged says that the tag is ours, not the user's.
	Untagged bool
}

// PushCommand sends an image to a registry.
func PushCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "push",
		Usage:     "Upload an image to a registry",
		ArgsUsage: "[OPTIONS] NAME[:TAG]",
		Category:  "Common",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all-tags", Aliases: []string{"a"}, Usage: "Push all tags of an image to the repository"},
			&cli.BoolFlag{Name: "disable-content-trust", Value: true, Usage: "Skip image signing", Hidden: true},
			&cli.StringFlag{Name: "platform", Usage: "Push a platform-specific manifest as a single-platform image to the registry. 'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "Suppress verbose output"},
		},
		Action: func(c *cli.Context) error {
			o, err := parsePush(c)
			if err != nil {
				return err
			}
			return runPush(c.Context, e, o)
		},
	}
}

func parsePush(c *cli.Context) (pushOptions, error) {
	if err := flags.ExactArgs(c, 1); err != nil {
		return pushOptions{}, err
	}
	ref, err := image.ParseReference(c.Args().First())
	if err != nil {
		return pushOptions{}, failure.Local("%v", err)
	}
	o := pushOptions{Ref: ref, Platform: c.String("platform"), Quiet: c.Bool("quiet"), AllTags: c.Bool("all-tags")}
	if o.AllTags {
		return o, checkAllTags(ref)
	}
	if ref.Digest != "" {
		return o, failure.Local("cannot push a digest reference")
	}
	o.Ref = ref.WithDefaultTag()
	o.Untagged = o.Ref != ref
	return o, nil
}

func runPush(ctx context.Context, e *env.Env, o pushOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	registries, err := configuration.Read(e.Getenv)
	if err != nil {
		return err
	}
	if !o.Quiet {
		if o.Untagged {
			fmt.Fprintln(e.Out, "Using default tag: "+image.DefaultTag)
		}
		fmt.Fprintf(e.Out, "The push refers to repository [%s]\n", o.Ref.Name())
	}
	pushed, err := toPush(st, o)
	if err != nil {
		return err
	}
	for _, p := range pushed {
		var watch client.OnEvent
		if !o.Quiet {
			watch = progress.NewLayers(e.Out).Event
		}
		result, err := client.Push(ctx, st, message.Push{ID: p.id, Reference: p.ref.String(), Platform: o.Platform, Registries: registries}, watch)
		if err != nil {
			return err
		}
		if !o.Quiet {
			fmt.Fprintf(e.Out, "%s: digest: %s size: %d\n", p.ref.Tag, format.Escape(result.Digest), result.Size)
		}
	}
	if o.Quiet {
		_, err = fmt.Fprintln(e.Out, o.Ref)
	}
	return err
}

// named is an image by one of its names.
type named struct {
	ref image.Reference
	id  string
}

// toPush finds the images that the user means.
func toPush(st *storage.Store, o pushOptions) ([]named, error) {
	if !o.AllTags {
		img, err := image.Find(st, o.Ref.String())
		if err == nil && o.Platform != "" {
			// Of those that the name stands for; whether it is one the courier says.
			img, err = img.Variant(st, o.Ref.String(), o.Platform)
		}
		if err == nil {
			return []named{{o.Ref, img.ID}}, nil
		}
		if !errors.Is(err, image.ErrNotFound) {
			return nil, err
		}
	}
	images, err := image.List(st)
	if err != nil {
		return nil, err
	}
	var all []named
	for _, img := range images {
		for _, name := range img.Names {
			if ref, err := image.ParseReference(name); err == nil && ref.Name() == o.Ref.Name() {
				all = append(all, named{ref, img.ID})
			}
		}
	}
	switch {
	case len(all) == 0:
		return nil, failure.Local("An image does not exist locally with the tag: %s", o.Ref.FamiliarName())
	case !o.AllTags:
		return nil, failure.Local("tag does not exist: %s", o.Ref.Familiar())
	}
	return all, nil
}
