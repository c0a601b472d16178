package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/rootless"
	"skiff/storage/container"
	"skiff/storage/courier/client"
	"skiff/storage/courier/message"
	"skiff/storage/image"
	"skiff/storage/image/change"
	"skiff/storage/lock"
)

// commitOptions is what the user asked for.
type commitOptions struct {
	Container string
	Ref       string // normalized and tagged, or ""
	Author    string
	Message   string
	Changes   []string
	Pause     bool // while it is read
}

// CommitCommand makes an image of a container.
func CommitCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "commit",
		Usage:     "Create a new image from a container's changes",
		ArgsUsage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "author", Aliases: []string{"a"}, Usage: `Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")`},
			flags.TypedList(&cli.StringSliceFlag{
				Name: "change", Aliases: []string{"c"}, Usage: "Apply Dockerfile instruction to the created image",
			}, "list"),
			&cli.StringFlag{Name: "message", Aliases: []string{"m"}, Usage: "Commit message"},
			&cli.BoolFlag{Name: "no-pause", Usage: "Disable pausing container during commit"},
			&cli.BoolFlag{Name: "pause", Aliases: []string{"p"}, Value: true, Usage: "Pause container during commit", Hidden: true},
		},
		Action: func(c *cli.Context) error {
			o, err := parseCommit(c)
			if err != nil {
				return err
			}
			return runCommit(c.Context, e, o)
		},
	}
}

func parseCommit(c *cli.Context) (commitOptions, error) {
	if err := flags.RangeArgs(c, 1, 2); err != nil {
		return commitOptions{}, err
	}
	o := commitOptions{
		Container: c.Args().First(), Author: c.String("author"), Message: c.String("message"),
		Changes: c.StringSlice("change"), Pause: c.Bool("pause") && !c.Bool("no-pause"),
	}
	if name := c.Args().Get(1); name != "" {
		ref, err := image.ParseReference(name)
		if err != nil {
			return o, failure.Local("%v", err)
		}
		if ref.Digest != "" {
			return o, failure.Local("refusing to create a tag with a digest reference")
		}
		o.Ref = ref.WithDefaultTag().String()
	}
	return o, nil
}

func runCommit(ctx context.Context, e *env.Env, o commitOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	c, err := find(st, o.Container)
	if err != nil {
		return err
	}
	if err := rootless.Await(); err != nil {
		return err
	}
	if c.Config.Rootfs != "" {
		return refuseRootfs(c, "commit")
	}
	if slices.ContainsFunc(c.Config.Layers, func(id string) bool { return strings.Contains(id, "/") }) {
		return failure.Engine(nil, "cannot commit %s: its image is in a read-only store that storage.conf adds to yours", o.Container)
	}
	held, err := hold(ctx, c)
	if err != nil {
		return inWords(err, o.Container, c)
	}
	defer held.Release()
	want, err := commitOf(c, o)
	if err != nil {
		return err
	}
	resume := func() error { return nil }
	if held == nil && o.Pause {
		if resume, err = keepPaused(c); err != nil {
			return inWords(err, o.Container, c)
		}
	}
	if c.Config.Config.Healthcheck.Probe() != nil {
		fmt.Fprintln(e.Err, "WARNING: the container's probe is not in the image: only commands can be")
	}
	if c.Config.Config.ReadyCheck != nil {
		fmt.Fprintln(e.Err, "WARNING: the container's readiness check is not in the image, which has no place for it")
	}
	result, err := client.Commit(ctx, st, *want)
	if err = errors.Join(err, resume()); err != nil {
		return err
	}
	c.Emit("commit", "comment", o.Message, "imageID", "sha256:"+result.ID, "imageRef", image.Familiar(o.Ref))
	_, err = fmt.Fprintln(e.Out, "sha256:"+result.ID)
	return err
}

// hold keeps a stopped container from being started and removed. One that runs
// is not held up: nil.
func hold(ctx context.Context, c *container.Container) (*lock.Lock, error) {
	pid, err := c.Holder()
	if err != nil || pid != 0 {
		return nil, err
	}
	return c.Lock(ctx)
}

// commitOf is the request for what the user asked for.
func commitOf(c *container.Container, o commitOptions) (*message.Commit, error) {
	origin, err := json.Marshal(c.Config.Config)
	if err != nil {
		return nil, err
	}
	// A copy, because the changes reach into its maps.
	var process container.Process
	if err := json.Unmarshal(origin, &process); err != nil {
		return nil, err
	}
	if err := change.Apply(&process, o.Changes); err != nil {
		return nil, failure.Engine(err, "%v", err)
	}
	if process.Healthcheck.Probe() != nil {
		process.Healthcheck = nil // no image has such
	}
	process.ReadyCheck = nil
	changed, err := json.Marshal(process)
	if err != nil {
		return nil, err
	}
	return &message.Commit{
		Container: c.Config.ID, Upper: filepath.Join(c.Dir(), container.UpperDir),
		Image: strings.TrimPrefix(c.Config.ImageID, "sha256:"), Layers: c.Config.Layers,
		Process: changed, Origin: origin, CreatedBy: strings.Join(c.Config.Config.Cmd, " "),
		Author: o.Author, Message: o.Message, Reference: o.Ref,
	}, nil
}
