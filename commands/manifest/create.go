package manifest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage/image"
)

// CreateCommand puts a manifest list together.
func CreateCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "Create a local manifest list for annotating and pushing to a registry",
		ArgsUsage: "MANIFEST_LIST MANIFEST [MANIFEST...]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "amend", Aliases: []string{"a"}, Usage: "Amend an existing manifest list"},
			insecureFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 2); err != nil {
				return err
			}
			args := c.Args().Slice()
			return create(c.Context, e, args[0], args[1:], c.Bool("amend"), c.Bool("insecure"))
		},
	}
}

func create(ctx context.Context, e *env.Env, name string, members []string, amend, insecure bool) error {
	ref, err := parse(name)
	if err != nil {
		return err
	}
	l := openList(e, ref)
	if l.exists() && !amend {
		return failure.Local("refusing to amend an existing manifest list with no --amend flag")
	}
	// Everything is fetched before anything is written.
	var all []entry
	for _, text := range members {
		at, err := parse(text)
		if err != nil {
			return err
		}
		f, err := fetch(ctx, e, at, insecure)
		if err != nil {
			return err
		}
		one, err := entryOf(at.String(), f)
		if err != nil {
			return err
		}
		all = append(all, one)
	}
	for _, one := range all {
		if err := l.save(one); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(e.Out, "Created manifest list %s\n", ref)
	return err
}

// RemoveCommand deletes lists that are not pushed.
func RemoveCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Usage:     "Delete one or more manifest lists from local storage",
		ArgsUsage: "MANIFEST_LIST [MANIFEST_LIST...]",
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 1); err != nil {
				return err
			}
			var failed failure.Several
			for _, name := range c.Args().Slice() {
				ref, err := parse(name)
				if err == nil {
					err = openList(e, ref).remove()
				}
				if err != nil {
					failed = append(failed, err)
				}
			}
			return failed.Err()
		},
	}
}

// annotation is what the user says about an entry.
type annotation struct {
	platform
	List, Member image.Reference
	// Typed are the two as the user wrote them.
	Typed []string
}

// notIn is docker's word for a manifest that a list lacks, or the list itself.
func notIn(member, list string) error {
	return failure.Local("manifest for image %s does not exist in %s", member, list)
}

// AnnotateCommand says for which platform an entry of a list is.
func AnnotateCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "annotate",
		Usage:     "Add additional information to a local image manifest",
		ArgsUsage: "[OPTIONS] MANIFEST_LIST MANIFEST",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "arch", Usage: "Set architecture"},
			&cli.StringFlag{Name: "os", Usage: "Set operating system"},
			&cli.StringSliceFlag{Name: "os-features", Usage: "Set operating system feature"},
			&cli.StringFlag{Name: "os-version", Usage: "Set operating system version"},
			&cli.StringFlag{Name: "variant", Usage: "Set architecture variant"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 2); err != nil {
				return err
			}
			a := annotation{platform: platform{
				Architecture: c.String("arch"), OS: c.String("os"), OSVersion: c.String("os-version"),
				OSFeatures: c.StringSlice("os-features"), Variant: c.String("variant"),
			}, Typed: c.Args().Slice()}
			var err error
			if a.List, err = parse(c.Args().Get(0)); err != nil {
				return err
			}
			if a.Member, err = parse(c.Args().Get(1)); err != nil {
				return err
			}
			return annotate(e, a)
		},
	}
}

func annotate(e *env.Env, a annotation) error {
	l := openList(e, a.List)
	one, err := l.entry(a.Member)
	if errors.Is(err, fs.ErrNotExist) {
		err = notIn(a.Typed[1], a.Typed[0])
	}
	if err != nil {
		return err
	}
	p := one.Descriptor.Platform
	if p == nil {
		p = &platform{}
	}
	for _, f := range []struct {
		field *string
		value string
	}{
		{&p.Architecture, a.Architecture}, {&p.OS, a.OS}, {&p.OSVersion, a.OSVersion}, {&p.Variant, a.Variant},
	} {
		if f.value != "" {
			*f.field = f.value
		}
	}
	p.OSFeatures = append(p.OSFeatures, a.OSFeatures...)
	if !known(p.OS, p.Architecture) {
		return failure.Local("manifest entry for image has unsupported os/arch combination: %s/%s", a.OS, a.Architecture)
	}
	one.Descriptor.Platform = p
	return l.save(one)
}

// known reports whether Go, and so docker, builds for a platform.
func known(os, architecture string) bool {
	architectures := map[string]string{
		"aix": " ppc64 ", "android": " 386 amd64 arm arm64 ", "darwin": " 386 amd64 arm arm64 ", "dragonfly": " amd64 ",
		"freebsd": " 386 amd64 arm arm64 ", "illumos": " amd64 ", "ios": " arm64 ", "js": " wasm ",
		"linux":  " 386 amd64 arm arm64 loong64 mips mipsle mips64 mips64le ppc64 ppc64le riscv64 s390x ",
		"netbsd": " 386 amd64 arm ", "openbsd": " 386 amd64 arm ", "plan9": " 386 amd64 arm ", "solaris": " amd64 ",
		"wasip1": " wasm ", "windows": " 386 amd64 arm arm64 ",
	}
	return architecture != "" && containsWord(architectures[os], architecture)
}
