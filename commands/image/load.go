package image

import (
	"context"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/storage/courier/client"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// loadOptions is what the user asked for.
type loadOptions struct {
	Input    string // "" is standard input
	Platform string
	Quiet    bool
}

// LoadCommand takes images out of an archive.
func LoadCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "load",
		Usage:     "Load an image from a tar archive or STDIN",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "input", Aliases: []string{"i"}, Usage: "Read from tar archive file, instead of STDIN"},
			platformFlag(),
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "Suppress the load output"},
		},
		Action: func(c *cli.Context) error {
			o, err := parseLoad(c, e)
			if err != nil {
				return err
			}
			return runLoad(c.Context, e, o)
		},
	}
}

func parseLoad(c *cli.Context, e *env.Env) (loadOptions, error) {
	if err := flags.ExactArgs(c, 0); err != nil {
		return loadOptions{}, err
	}
	return loadOptions{Input: c.String("input"), Platform: platform(c, e), Quiet: c.Bool("quiet")}, nil
}

func runLoad(ctx context.Context, e *env.Env, o loadOptions) error {
	archive, err := openInput(e, o.Input)
	if err != nil {
		return err
	}
	if archive != e.In {
		defer archive.Close()
	}
	st, err := e.Store()
	if err != nil {
		return err
	}
	result, err := client.Load(ctx, st, archive, message.Load{Platform: o.Platform}, notes(e))
	if err != nil {
		return err
	}
	return printLoaded(e, result.Loaded)
}

// notes prints what a transfer has to say besides its result.
func notes(e *env.Env) client.OnEvent {
	return func(event message.Event) {
		if event.Kind == message.Note {
			fmt.Fprintln(e.Out, format.Escape(event.Text))
		}
	}
}

// openInput opens the named file, or takes standard input unless a person sits
// there.
func openInput(e *env.Env, path string) (*os.File, error) {
	if path == "" {
		if env.Terminal(e.In) {
			return nil, failure.Local("requested load from stdin, but stdin is empty")
		}
		return e.In, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, failure.Local("%v", err)
	}
	return f, nil
}

func printLoaded(e *env.Env, loaded []message.Loaded) error {
	for _, l := range loaded {
		if len(l.Names) == 0 {
			if _, err := fmt.Fprintln(e.Out, "Loaded image ID: sha256:"+l.ID); err != nil {
				return err
			}
		}
		for _, name := range l.Names {
			if _, err := fmt.Fprintln(e.Out, "Loaded image: "+image.Familiar(name)); err != nil {
				return err
			}
		}
	}
	return nil
}
