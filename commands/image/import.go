package image

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage/courier/client"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// importOptions is what the user asked for.
type importOptions struct {
	Source   string // path, URL or "-"
	Ref      string // normalized, or ""
	Message  string
	Platform string
	Changes  []string
}

// ImportCommand makes an image from a file system's archive.
func ImportCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "Import the contents from a tarball to create a filesystem image",
		ArgsUsage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "change", Aliases: []string{"c"}, Usage: "Apply Dockerfile instruction to the created image"},
			&cli.StringFlag{Name: "message", Aliases: []string{"m"}, Usage: "Set commit message for imported image"},
			platformFlag(),
		},
		Action: func(c *cli.Context) error {
			o, err := parseImport(c, e)
			if err != nil {
				return err
			}
			return runImport(c.Context, e, o)
		},
	}
}

func parseImport(c *cli.Context, e *env.Env) (importOptions, error) {
	if err := flags.MinArgs(c, 1); err != nil {
		return importOptions{}, err
	}
	o := importOptions{
		Source: c.Args().First(), Message: c.String("message"), Platform: platform(c, e), Changes: c.StringSlice("change"),
	}
	if name := c.Args().Get(1); name != "" {
		ref, err := image.ParseReference(name)
		if err != nil {
			return o, failure.Local("%v", err)
		}
		if ref.Digest != "" {
			return o, failure.Engine(nil, "cannot import digest reference")
		}
		o.Ref = ref.WithDefaultTag().String()
	}
	return o, nil
}

func runImport(ctx context.Context, e *env.Env, o importOptions) error {
	want := message.Import{Reference: o.Ref, Message: o.Message, Platform: o.Platform, Changes: o.Changes}
	var archive *os.File
	switch {
	case o.Source == "-":
		archive = e.In
	case strings.HasPrefix(o.Source, "http://"), strings.HasPrefix(o.Source, "https://"):
		want.URL = o.Source
	default:
		f, err := os.Open(o.Source)
		if err != nil {
			return failure.Local("%v", err)
		}
		defer f.Close()
		archive = f
	}
	st, err := e.Store()
	if err != nil {
		return err
	}
	result, err := client.Import(ctx, st, archive, want, notes(e))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.Out, "sha256:"+result.ID)
	return err
}
