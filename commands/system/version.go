// Package system is the commands about skiff itself and the machine.
package system

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/flags"
)

// Version and Commit are set by the Makefile through the linker.
var (
	Version = "0.1.0-dev"
	Commit  = "unknown"
)

// VersionLine is what --version prints. Tools match docker's form of it.
func VersionLine(e *env.Env) string {
	name := "Skiff"
	if e.Docker() {
		name = "Docker"
	}
	return fmt.Sprintf("%s version %s, build %s", name, Version, Commit)
}

// VersionCommand shows versions.
func VersionCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "version",
		Usage:     "Show the version information",
		ArgsUsage: "[OPTIONS]",
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			fmt.Fprintln(e.Out, VersionLine(e))
			return nil
		},
	}
}
