package system

import (
	"github.com/urfave/cli/v2"

	"skiff/commands/completion"
	"skiff/commands/env"
	"skiff/commands/flags"
)

// CompletionCommand writes the script that completes command lines in a shell.
func CompletionCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "Generate the autocompletion script for the specified shell",
		ArgsUsage: "bash|zsh|fish",
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 1); err != nil {
				return err
			}
			return completion.Write(e.Out, c.App, c.Args().First())
		},
	}
}
