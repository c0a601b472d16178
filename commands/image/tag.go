package image

import (
	"context"
	"regexp"
	"sync"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage/courier/client"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// tagOptions is what the user asked for.
type tagOptions struct {
	Source string
	Target image.Reference
}

// wholeID is an image's ID, which is no name.
var wholeID = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(sha256:)?[0-9a-f]{64}$`) })

// TagCommand gives an image another name.
func TagCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "tag",
		Usage:     "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
		ArgsUsage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
		Action: func(c *cli.Context) error {
			o, err := parseTag(c)
			if err != nil {
				return err
			}
			return runTag(c.Context, e, o)
		},
	}
}

func parseTag(c *cli.Context) (tagOptions, error) {
	if err := flags.ExactArgs(c, 2); err != nil {
		return tagOptions{}, err
	}
	source := c.Args().First()
	if _, err := image.ParseReference(source); err != nil && !wholeID().MatchString(source) {
		return tagOptions{}, failure.Local("Error parsing reference: %q is not a valid repository/tag: %v", source, err)
	}
	target, err := image.ParseReference(c.Args().Get(1))
	if err != nil {
		return tagOptions{}, failure.Local("Error parsing reference: %q is not a valid repository/tag: %v", c.Args().Get(1), err)
	}
	if target.Digest != "" {
		return tagOptions{}, failure.Local("refusing to create a tag with a digest reference")
	}
	return tagOptions{Source: source, Target: target.WithDefaultTag()}, nil
}

func runTag(ctx context.Context, e *env.Env, o tagOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	img, err := image.Find(st, o.Source)
	if err != nil {
		return err
	}
	if img.Graph != "" {
		return readOnly(img, o.Source, "tag")
	}
	return client.Tag(ctx, st, message.Tag{ID: img.ID, Reference: o.Target.String(), From: img.NameOf(o.Source)})
}
