package container

import (
	"context"
	"errors"
	"fmt"
	"io"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/progress"
	"skiff/rootless"
	"skiff/storage"
	"skiff/storage/courier/client"
	"skiff/storage/courier/configuration"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// helloImage is part of the program; it needs no registry.
const helloImage = "docker.io/skiff/hello:latest"

// source is where a container's image comes from.
type source interface {
	// resolve returns the image in the store, for the platform if it has one for
	// that, or image.ErrNotFound.
	resolve(ref, platform string) (*image.Image, error)
	// fetch brings it into the store and reports its progress to out.
	fetch(ctx context.Context, ref image.Reference, platform string, out io.Writer) error
}

// bring fetches the image of o. What it says on the way goes to standard error:
// standard output belongs to the container.
func bring(ctx context.Context, e *env.Env, from source, o createOptions, missing error) error {
	ref, err := image.ParseReference(o.Image)
	if err != nil {
		return failure.Local("%v", err)
	}
	ref = ref.WithDefaultTag()
	rootless.EndTurn() // this takes long
	out := e.Err
	if o.Quiet {
		out = io.Discard
	}
	var other *otherPlatform
	switch {
	case o.Pull == "never" && errors.As(missing, &other):
		return failure.Engine(missing, "%v", other)
	case o.Pull == "never":
		return failure.Engine(missing, "No such image: %s", ref.Familiar())
	case missing != nil:
		fmt.Fprintf(out, "Unable to find image '%s' locally\n", ref.Familiar())
	}
	return from.fetch(ctx, ref, o.Platform, out)
}

// userStore is the source of the user's own store and the registries.
type userStore struct {
	st  *storage.Store
	env *env.Env
}

func (s userStore) resolve(ref, platform string) (*image.Image, error) {
	img, err := image.Find(s.st, ref)
	if err != nil {
		return nil, err
	}
	return img.Variant(s.st, img.NameOf(ref), platform)
}

func (s userStore) fetch(ctx context.Context, ref image.Reference, platform string, out io.Writer) error {
	if ref.String() == helloImage {
		_, err := client.LoadEmbedded(ctx, s.st)
		return err
	}
	registries, err := configuration.Read(s.env.Getenv)
	if err != nil {
		return err
	}
	want := message.Pull{Reference: ref.String(), Platform: platform, Registries: registries}
	result, err := client.Pull(ctx, s.st, want, progress.NewLayers(out).Event)
	if err == nil {
		progress.Pulled(out, ref, result)
	}
	return err
}

// Provide brings an image that is not a container's own, as --pull says: always,
// never, or if it is missing.
func Provide(ctx context.Context, e *env.Env, st *storage.Store, ref, pull string) error {
	from := userStore{st, e}
	o := createOptions{Image: ref, Pull: pull}
	if pull == "always" {
		return bring(ctx, e, from, o, nil)
	}
	_, err := from.resolve(ref, "")
	if !errors.Is(err, image.ErrNotFound) {
		return err
	}
	return bring(ctx, e, from, o, err)
}
