package manifest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage/courier/client"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// PushCommand sends a list to its registry.
func PushCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "push",
		Usage:     "Push a manifest list to a repository",
		ArgsUsage: "[OPTIONS] MANIFEST_LIST",
		Flags: []cli.Flag{
			insecureFlag(),
			&cli.BoolFlag{Name: "purge", Aliases: []string{"p"}, Usage: "Remove the local manifest list after push"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 1); err != nil {
				return err
			}
			return push(c.Context, e, c.Args().First(), c.Bool("insecure"), c.Bool("purge"))
		},
	}
}

func push(ctx context.Context, e *env.Env, name string, insecure, purge bool) error {
	ref, err := parse(name)
	if err != nil {
		return err
	}
	l := openList(e, ref)
	all, err := l.entries()
	if err != nil {
		return err
	}
	if err := errors.Join(checkEntries(ref, all), checkRegistry(ref, all)); err != nil {
		return err
	}
	r, err := registries(e, ref, insecure)
	if err != nil {
		return err
	}
	for _, one := range all {
		if err := pushMember(ctx, e, ref, one, r); err != nil {
			return err
		}
	}
	blob, mediaType, err := index(all)
	if err != nil {
		return err
	}
	if err := client.PutManifest(ctx, message.PutManifest{Reference: ref.String(), MediaType: mediaType, Raw: blob, Registries: r}); err != nil {
		return err
	}
	if purge {
		if err := l.remove(); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(e.Out, digestOf(blob))
	return err
}

// checkEntries refuses a list that a registry could not have.
func checkEntries(ref image.Reference, all []entry) error {
	if len(all) == 0 {
		return failure.Local("%s has no manifests", ref.Familiar())
	}
	for _, one := range all {
		p := one.Descriptor.Platform
		if p == nil || p.Architecture == "" || p.OS == "" {
			return failure.Local("manifest %s must have an OS and Architecture to be pushed to a registry", one.Ref)
		}
	}
	return nil
}

// checkRegistry refuses what is in another registry than the list is to be, as
// docker does.
func checkRegistry(ref image.Reference, all []entry) error {
	for _, one := range all {
		from, err := image.ParseReference(one.Ref)
		if err != nil {
			return err
		}
		if from.Domain != ref.Domain {
			return failure.Local("cannot use source images from a different registry than the target image: %s != %s", from.Domain, ref.Domain)
		}
	}
	return nil
}

// pushMember lets the list's repository have a manifest of another one, and says
// so.
func pushMember(ctx context.Context, e *env.Env, ref image.Reference, one entry, r message.Registries) error {
	at, err := putMember(ctx, ref, one, r)
	if err != nil || at == "" {
		return err
	}
	_, err = fmt.Fprintf(e.Out, "Pushed ref %s with digest: %s\n", at, one.Descriptor.Digest)
	return err
}

// putMember lets the repository of ref have a manifest of another one and returns
// what it is called there, "" when it is of the same one.
func putMember(ctx context.Context, ref image.Reference, one entry, r message.Registries) (string, error) {
	from, err := image.ParseReference(one.Ref)
	if err != nil || from.Name() == ref.Name() {
		return "", err
	}
	var needs struct {
		Config descriptor   `json:"config"`
		Layers []descriptor `json:"layers"`
	}
	if err := json.Unmarshal(one.Raw, &needs); err != nil {
		return "", fmt.Errorf("read manifest %s: %w", one.Ref, err)
	}
	blobs := []string{needs.Config.Digest}
	for _, l := range needs.Layers {
		blobs = append(blobs, l.Digest)
	}
	at := ref.Name() + "@" + one.Descriptor.Digest
	return at, client.PutManifest(ctx, message.PutManifest{
		Reference: at, MediaType: one.Descriptor.MediaType, Raw: one.Raw, From: from.Name(), Blobs: blobs, Registries: r,
	})
}

func containsWord(words, word string) bool { return strings.Contains(words, " "+word+" ") }
