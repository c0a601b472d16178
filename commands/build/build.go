// Package build is the commands that make images of Dockerfiles, and those about
// the cache of that.
package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/build"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/storage/courier/client"
	"skiff/storage/courier/configuration"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// Command makes an image of a Dockerfile.
func Command(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "build",
		Usage:     "Start a build",
		ArgsUsage: "[OPTIONS] PATH | URL | -",
		Flags:     buildFlags(),
		Action: func(c *cli.Context) error {
			o, err := parse(c, e)
			if err != nil {
				return err
			}
			return run(c.Context, e, o)
		},
	}
}

func run(ctx context.Context, e *env.Env, o *options) error {
	for _, w := range o.Warnings {
		fmt.Fprintln(e.Err, "WARNING: "+w)
	}
	st, err := e.Store()
	if err == nil {
		err = build.Begin(st)
	}
	if err != nil {
		return err
	}
	err = load(ctx, e, o)
	if err == nil {
		err = loadNamed(ctx, e, o)
	}
	defer func() {
		for _, discard := range append(o.discards, o.discard) {
			if discard != nil {
				_ = discard() // what is left the next command sweeps
			}
		}
	}()
	if err != nil {
		return failure.Local("%v", err)
	}
	quiet := o.Quiet || o.Progress == "none" || o.Progress == "quiet"
	mode := o.Progress
	if quiet {
		mode = "quiet"
	}
	shown := newDisplay(e, mode)
	old, isOld := shown.(*legacy)
	o.Watch = shown
	o.Fetch = func(ctx context.Context, ref image.Reference, platform string) error {
		if ref.String() == "docker.io/skiff/hello:latest" {
			_, err := client.LoadEmbedded(ctx, st)
			return err
		}
		registries, err := configuration.Read(e.Getenv)
		if err != nil {
			return err
		}
		_, err = client.Pull(ctx, st, message.Pull{Reference: ref.String(), Platform: platform, Beside: platform != "", Registries: registries}, nil)
		return err
	}
	defer func() { _ = o.Outputs.close() }() // what was not committed has no name
	o.Remote = remote(e, st)
	result, err := build.Build(ctx, st, o.Options)
	digest := ""
	if err == nil && !o.Check {
		if err = o.Outputs.commit(); err == nil && o.Outputs.push {
			if digest, err = push(ctx, st, e, o, shown, result.ImageID); err != nil {
				err = fmt.Errorf("failed to push: %w", err)
			}
		}
	}
	shown.close()
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(e.Err, "ERROR: failed to solve: Canceled: context canceled")
			return context.Canceled
		}
		var exit *build.ExitError
		if isOld && errors.As(err, &exit) {
			fmt.Fprintf(e.Err, "The command '%s' returned a non-zero code: %d\n", strings.Join(exit.Args, " "), exit.Code)
			return failure.Status(exit.Code)
		}
		explain(e.Err, err)
		return failure.Status(1)
	}
	if o.Check {
		return printCheck(e, o, result.Warnings)
	}
	if isOld && result.ImageID != "" {
		old.built(result.ImageID, o.Tags)
	}
	if !isOld && mode != "quiet" && mode != "none" && mode != "rawjson" {
		printWarnings(e.Err, result.Warnings)
	}
	if result.ImageID == "" {
		return nil
	}
	if o.IIDFile != "" {
		if err := os.WriteFile(o.IIDFile, []byte("sha256:"+result.ImageID), 0o644); err != nil {
			return failure.Local("failed to write image ID file: %v", err)
		}
	}
	if o.Metadata != "" {
		if err := writeMetadata(o, result, digest); err != nil {
			return failure.Local("failed to write metadata file: %v", err)
		}
	}
	if quiet && o.Progress != "none" {
		fmt.Fprintln(e.Out, "sha256:"+result.ImageID)
	}
	return nil
}
