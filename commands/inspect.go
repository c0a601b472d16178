package commands

import (
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	containers "skiff/commands/container"
	"skiff/commands/document"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	images "skiff/commands/image"
	networks "skiff/commands/network"
	volumes "skiff/commands/volume"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/image"
	"skiff/storage/network"
	"skiff/storage/volume"
)

// inspectCommand describes whatever a name means: a container, else an image,
// a network or a volume. It stands here because it spans the nouns.
func inspectCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "Return low-level information on objects",
		ArgsUsage: "[OPTIONS] NAME|ID [NAME|ID...]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: flags.InspectFormatUsage},
			&cli.BoolFlag{Name: "size", Aliases: []string{"s"}, Usage: "Display total file sizes if the type is container"},
			&cli.StringFlag{Name: "type", Usage: "Only inspect objects of the given type"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 1); err != nil {
				return err
			}
			kind := c.String("type")
			if !slices.Contains([]string{"", "container", "image", "network", "volume"}, kind) {
				return failure.Local(`unknown type: %q: must be one of "container", "image", "network", "volume"`, kind)
			}
			st, err := e.Store()
			if err != nil {
				return err
			}
			return document.Print(e, c.String("format"), c.Args().Slice(), func(ref string) (any, error) {
				return lookup(e, st, ref, kind, c.Bool("size"))
			})
		},
	}
}

// lookup returns the document of the first kind of thing that has the name.
func lookup(e *env.Env, st *storage.Store, ref, kind string, sizes bool) (any, error) {
	for _, k := range []struct {
		name   string
		find   func() (any, error)
		absent error
	}{
		{"container", func() (any, error) { return containers.Document(st, ref, sizes) }, container.ErrNotFound},
		{"image", func() (any, error) {
			img, err := image.Resolve(st, ref)
			if err != nil {
				return nil, err
			}
			if sizes {
				fmt.Fprintln(e.Err, "WARNING: --size ignored for image")
			}
			return images.Inspect(st, img), nil
		}, image.ErrNotFound},
		{"network", func() (any, error) { return networks.Document(st, ref) }, network.ErrNotFound},
		{"volume", func() (any, error) { return volumes.Document(st, ref) }, volume.ErrNotFound},
	} {
		if kind != "" && kind != k.name {
			continue
		}
		d, err := k.find()
		if err == nil || kind != "" {
			return d, err
		}
		if !errors.Is(err, k.absent) && !errors.Is(err, image.ErrInvalidReference) {
			return nil, err
		}
	}
	text := "No such object: " + ref
	if e.Docker() {
		text = "Error: " + text
	}
	return nil, failure.Local("%s", text)
}
