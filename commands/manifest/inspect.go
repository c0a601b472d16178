package manifest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/flags"
	"skiff/commands/format"
)

// InspectCommand shows a manifest or a manifest list.
func InspectCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "Display an image manifest, or manifest list",
		ArgsUsage: "[OPTIONS] [MANIFEST_LIST] MANIFEST",
		Flags: []cli.Flag{
			insecureFlag(),
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "Output additional info including layers and platform"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.RangeArgs(c, 1, 2); err != nil {
				return err
			}
			if c.NArg() == 2 {
				return inspectMember(e, c.Args().Get(0), c.Args().Get(1), c.Bool("verbose"))
			}
			return inspect(c.Context, e, c.Args().First(), c.Bool("insecure"), c.Bool("verbose"))
		},
	}
}

func insecureFlag() cli.Flag {
	return &cli.BoolFlag{Name: "insecure", Usage: "Allow communication with an insecure registry"}
}

// inspectMember shows a manifest of a list that is being put together.
func inspectMember(e *env.Env, listName, name string, verbose bool) error {
	listRef, err := parse(listName)
	if err != nil {
		return err
	}
	ref, err := parse(name)
	if err != nil {
		return err
	}
	one, err := openList(e, listRef).entry(ref)
	if errors.Is(err, fs.ErrNotExist) {
		err = noSuch(ref.String())
	}
	if err != nil {
		return err
	}
	return printImage(e, one, verbose)
}

// inspect looks here first and then at the registry.
func inspect(ctx context.Context, e *env.Env, name string, insecure, verbose bool) error {
	ref, err := parse(name)
	if err != nil {
		return err
	}
	if l := openList(e, ref); l.exists() {
		all, err := l.entries()
		if err != nil {
			return err
		}
		if verbose {
			return printDocument(e, all)
		}
		blob, _, err := index(all)
		if err != nil {
			return err
		}
		return printJSON(e, blob, "   ")
	}
	f, err := fetch(ctx, e, ref, insecure)
	switch {
	case err != nil:
		return err
	case !isList(f.MediaType):
		one, err := entryOf(ref.String(), f)
		if err != nil {
			return err
		}
		return printImage(e, one, verbose)
	case !verbose:
		return printJSON(e, f.Raw, "   ")
	}
	all, err := members(ctx, e, ref, f, insecure)
	if err != nil {
		return err
	}
	return printDocument(e, all)
}

func printImage(e *env.Env, one entry, verbose bool) error {
	if verbose {
		return printDocument(e, one)
	}
	return printJSON(e, one.Raw, "\t")
}

func printDocument(e *env.Env, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return printJSON(e, data, "\t")
}

// printJSON prints a document that may come from anybody.
func printJSON(e *env.Env, data []byte, indent string) error {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(data), "", indent); err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	_, err := fmt.Fprintln(e.Out, format.EscapeText(b.String()))
	return err
}
