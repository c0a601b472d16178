package build

import (
	"fmt"
	"runtime"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/system"
)

// There is one builder, and it is this program.

func listCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name: "ls", Usage: "List builder instances", ArgsUsage: "[OPTIONS]",
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			w := tabwriter.NewWriter(e.Out, 1, 8, 4, ' ', 0)
			fmt.Fprintln(w, "NAME/NODE\tDRIVER/ENDPOINT\tSTATUS\tBUILDKIT\tPLATFORMS")
			fmt.Fprintln(w, "default*\tskiff\t\t\t")
			fmt.Fprintf(w, " \\_ default\t \\_ default\trunning\t%s\tlinux/%s\n", system.Version, runtime.GOARCH)
			return w.Flush()
		},
	}
}

func inspectCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name: "inspect", Usage: "Inspect current builder instance", ArgsUsage: "[NAME]",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "bootstrap", Usage: "Ensure builder has booted before inspecting; it always has"}},
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); name != "" && name != "default" {
				return failure.Local("no builder %q found", name)
			}
			w := tabwriter.NewWriter(e.Out, 1, 8, 1, ' ', 0)
			fmt.Fprintf(w, "Name:\tdefault\nDriver:\tskiff\n\nNodes:\nName:\tdefault\nEndpoint:\tdefault\nStatus:\trunning\n")
			fmt.Fprintf(w, "BuildKit version:\t%s\nPlatforms:\tlinux/%s\n", system.Version, runtime.GOARCH)
			return w.Flush()
		},
	}
}

func versionCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "Show buildx version information", ArgsUsage: " ",
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			_, err := fmt.Fprintf(e.Out, "skiff/buildx %s\n", system.Version)
			return err
		},
	}
}
