package image

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/progress"
	"skiff/storage/courier/client"
	"skiff/storage/courier/configuration"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// pullOptions is what the user asked for.
type pullOptions struct {
	Ref      image.Reference
	Platform string
	Quiet    bool
	AllTags  bool
	// Untagged says that the tag is ours, not the user's.
	Untagged bool
}

// PullCommand fetches an image from a registry.
func PullCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "pull",
		Usage:     "Download an image from a registry",
		ArgsUsage: "[OPTIONS] NAME[:TAG|@DIGEST]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all-tags", Aliases: []string{"a"}, Usage: "Download all tagged images in the repository"},
			&cli.BoolFlag{Name: "disable-content-trust", Value: true, Usage: "Skip image verification", Hidden: true},
			platformFlag(),
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "Suppress verbose output"},
		},
		Action: func(c *cli.Context) error {
			o, err := parsePull(c, e)
			if err != nil {
				return err
			}
			return runPull(c.Context, e, o)
		},
	}
}

// platformFlag is --platform, which docker takes from the environment too.
func platformFlag() cli.Flag {
	return &cli.StringFlag{Name: "platform", Usage: "Set platform if server is multi-platform capable"}
}

// platform returns the platform that the user wants, "" for the machine's.
func platform(c *cli.Context, e *env.Env) string {
	if p := c.String("platform"); p != "" {
		return p
	}
	return e.Getenv("DOCKER_DEFAULT_PLATFORM")
}

func parsePull(c *cli.Context, e *env.Env) (pullOptions, error) {
	if err := flags.ExactArgs(c, 1); err != nil {
		return pullOptions{}, err
	}
	ref, err := image.ParseReference(c.Args().First())
	if err != nil {
		return pullOptions{}, failure.Local("%v", err)
	}
	o := pullOptions{Ref: ref, Platform: platform(c, e), Quiet: c.Bool("quiet"), AllTags: c.Bool("all-tags")}
	if o.AllTags {
		return o, checkAllTags(ref)
	}
	o.Ref = ref.WithDefaultTag()
	o.Untagged = o.Ref != ref
	return o, nil
}

// checkAllTags refuses a reference that names more than a repository.
func checkAllTags(ref image.Reference) error {
	if ref.Tag != "" || ref.Digest != "" {
		return failure.Local("tag can't be used with --all-tags/-a")
	}
	return nil
}

func runPull(ctx context.Context, e *env.Env, o pullOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	registries, err := configuration.Read(e.Getenv)
	if err != nil {
		return err
	}
	var watch client.OnEvent
	if !o.Quiet {
		if o.Untagged {
			fmt.Fprintln(e.Out, "Using default tag: "+image.DefaultTag)
		}
		watch = progress.NewLayers(e.Out).Event
	}
	result, err := client.Pull(ctx, st, message.Pull{
		Reference: o.Ref.String(), AllTags: o.AllTags, Platform: o.Platform, Registries: registries,
	}, watch)
	if err != nil {
		return err
	}
	return printPulled(e, o, result)
}

// printPulled prints docker's last lines of a pull.
func printPulled(e *env.Env, o pullOptions, result message.Result) error {
	switch {
	case o.Quiet:
	case o.AllTags:
		progress.Status(e.Out, o.Ref, result)
	default:
		progress.Pulled(e.Out, o.Ref, result)
	}
	_, err := fmt.Fprintln(e.Out, o.Ref)
	return err
}
