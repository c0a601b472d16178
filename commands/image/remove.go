package image

import (
	"context"
	"errors"
	"fmt"
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
	// Of each image there is one platform: the one to remove, or none.
	if err := fitsPlatform(st, img, ref, o.Platform); err != nil {
		return nil, err
	}
	want := message.Remove{ID: img.ID, Force: o.Force}
	if !strings.HasPrefix(img.ID, strings.TrimPrefix(ref, "sha256:")) {
		name, err := image.ParseReference(ref)
		if err != nil {
			return nil, err
		}
		name = name.WithDefaultTag()
		if name.Digest != "" {
			name.Tag = ""
		}
		want.Reference = name.String()
	}
	if want.Users, err = users(st, img.ID); err != nil {
		return nil, err
	}
	return client.Remove(ctx, st, want)
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
		if strings.TrimPrefix(c.Config.ImageID, "sha256:") != id {
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
