package container

import (
	"path/filepath"

	"github.com/urfave/cli/v2"

	"skiff/commands/document"
	"skiff/commands/env"
	"skiff/commands/flags"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/usage"
)

// InspectCommand describes containers in docker's documents.
func InspectCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "Display detailed information on one or more containers",
		ArgsUsage: "[OPTIONS] CONTAINER [CONTAINER...]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: flags.InspectFormatUsage},
			&cli.BoolFlag{Name: "size", Aliases: []string{"s"}, Usage: "Display total file sizes"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 1); err != nil {
				return err
			}
			st, err := e.Store()
			if err != nil {
				return err
			}
			return document.Print(e, c.String("format"), c.Args().Slice(), func(ref string) (any, error) {
				return Document(st, ref, c.Bool("size"))
			})
		},
	}
}

// Document returns docker's document of the container that ref names. Its
// errors are in docker's words; errors.Is finds container.ErrNotFound.
func Document(st *storage.Store, ref string, withSizes bool) (*document.Container, error) {
	c, err := find(st, ref)
	if err != nil {
		return nil, err
	}
	s, err := c.Status()
	if err != nil {
		return nil, err
	}
	var sizes *document.Sizes
	if withSizes {
		images := imageNames{st: st}
		rw := usage.Below(filepath.Join(c.Dir(), container.UpperDir))
		sizes = &document.Sizes{Writable: rw, All: rw + images.size(c.Config)}
	}
	d := document.OfContainer(c, s, sizes)
	return &d, nil
}
