package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/courier/client"
	"skiff/storage/courier/message"
	"skiff/storage/image"
	"skiff/storage/lock"
)

// removeOptions is what the user asked for.
type removeOptions struct {
	Refs     []string
	Force    bool
	Platform string
}

// RemoveCommand takes names from images and deletes images.
func RemoveCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "rmi",
		Usage:     "Remove one or more images",
		ArgsUsage: "[OPTIONS] IMAGE [IMAGE...]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "Force removal of the image"},
			&cli.BoolFlag{Name: "no-prune", Usage: "Do not delete untagged parents"},
			variantFlag("Remove only the given platform variant."),
		},
		Action: func(c *cli.Context) error {
			o, err := parseRemove(c)
			if err != nil {
				return err
			}
			return runRemove(c.Context, e, o)
		},
	}
}

func parseRemove(c *cli.Context) (removeOptions, error) {
	if err := flags.MinArgs(c, 1); err != nil {
		return removeOptions{}, err
	}
	return removeOptions{Refs: c.Args().Slice(), Force: c.Bool("force"), Platform: c.String("platform")}, nil
}

// runRemove goes on after a failure, as docker does. With force an absent image
// is said but is no failure.
func runRemove(ctx context.Context, e *env.Env, o removeOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	var failed failure.Several
	fatal := false
	for _, ref := range o.Refs {
		removed, err := removeOne(ctx, st, ref, o)
		if err != nil {
			failed = append(failed, err)
			fatal = fatal || !errors.Is(err, image.ErrNotFound) && !errors.Is(err, message.ErrNotFound)
		}
		if err := printRemoved(e, removed); err != nil {
			return err
		}
	}
	if o.Force && !fatal {
		prefix := "Error: "
		if e.Docker() {
			prefix = "Error response from daemon: "
		}
		for _, err := range failed {
			fmt.Fprintln(e.Err, prefix+err.Error())
		}
		return nil
	}
	return failed.Err()
}

// removeOne removes what ref means. The images lock keeps containers from being
// made of the image meanwhile.
func removeOne(ctx context.Context, st *storage.Store, ref string, o removeOptions) ([]message.Removed, error) {
	held, err := lock.Exclusive(ctx, st.ImagesLock())
	if err != nil {
		return nil, err
	}
	defer held.Release()
	img, err := image.Find(st, ref)
	if err != nil {
		return nil, err
	}
	if img.Graph != "" {
		return nil, readOnly(img, ref, "remove")
	}
	of, err := variant(st, img, ref, o.Platform)
	if err != nil {
		return nil, err
	}
	if name := img.NameOf(ref); o.Platform != "" && len(img.Platforms[name]) > 1 {
		return removeVariant(ctx, st, img, name, of.ID, o)
	}
	names := img.Names
	want := message.Remove{ID: img.ID, Force: o.Force}
	if !strings.HasPrefix(img.ID, strings.TrimPrefix(ref, "sha256:")) {
		want.Reference = img.NameOf(ref)
		names = []string{want.Reference}
	}
	if want.Users, err = users(st, img.ID); err != nil {
		return nil, err
	}
	list := image.WithPlatforms
	if len(img.Platforms) > 0 {
		list = image.List // which of them have no name is asked below
	}
	images, err := list(st)
	if err != nil {
		return nil, err
	}
	want.Member = image.Members(images)[img.ID]
	removed, err := client.Remove(ctx, st, want)
	if err != nil {
		return removed, err
	}
	// What the names stood for on other platforms goes with them.
	for _, id := range image.Orphans(images, img, names) {
		others, err := removeOrphan(ctx, st, id)
		removed = append(removed, others...)
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// removeOrphan removes an image that has no name, unless a container needs it.
func removeOrphan(ctx context.Context, st *storage.Store, id string) ([]message.Removed, error) {
	used, err := users(st, id)
	if err != nil || len(used) > 0 {
		return nil, err
	}
	removed, err := client.Remove(ctx, st, message.Remove{ID: id})
	if errors.Is(err, message.ErrNotFound) {
		err = nil
	}
	return removed, err
}

// removeVariant takes one of the images that a name stands for out of it.
func removeVariant(ctx context.Context, st *storage.Store, img *image.Image, name, id string, o removeOptions) ([]message.Removed, error) {
	if used, err := users(st, id); err != nil || len(used) > 0 && !o.Force {
		if err == nil {
			err = failure.Engine(nil, "conflict: unable to delete %s (must be forced) - image is being used by container %.12s", image.Familiar(name), used[0].ID)
		}
		return nil, err
	}
	rest := slices.DeleteFunc(slices.Clone(img.Platforms[name]), func(other string) bool { return other == id })
	holder := img.ID
	if holder == id {
		holder = rest[0]
	}
	if len(rest) == 1 {
		rest = nil
	}
	if err := client.Tag(ctx, st, message.Tag{ID: holder, Reference: name, Platforms: rest}); err != nil {
		return nil, err
	}
	images, err := image.List(st)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(images, func(i *image.Image) bool { return i.ID == id })
	if at < 0 || len(images[at].Names) > 0 || image.Members(images)[id] {
		return nil, nil // it has other names
	}
	return removeOrphan(ctx, st, id)
}

// readOnly says that an image is in a store that is not ours to change.
func readOnly(img *image.Image, ref, what string) error {
	return failure.Engine(nil, "cannot %s %s: the image is in the read-only store %s, which storage.conf adds to yours", what, ref, img.Graph)
}

// users returns the containers made from the image. One whose configuration
// cannot be read stands on no image of ours as far as anybody can tell, and
// must not keep every image from being removed.
func users(st *storage.Store, id string) ([]message.User, error) {
	containers, err := container.List(st)
	if containers == nil && err != nil {
		return nil, err
	}
	var found []message.User
	for _, c := range containers {
		if !slices.Contains(c.Config.Images(), id) {
			continue
		}
		pid, err := c.Holder()
		if err != nil {
			return nil, err
		}
		found = append(found, message.User{ID: c.Config.ID, Running: pid != 0})
	}
	return found, nil
}

func printRemoved(e *env.Env, removed []message.Removed) error {
	for _, r := range removed {
		line := "Deleted: " + r.Deleted
		if r.Untagged != "" {
			line = "Untagged: " + image.Familiar(r.Untagged)
		}
		if _, err := fmt.Fprintln(e.Out, line); err != nil {
			return err
		}
	}
	return nil
}
