package system

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/rootless"
)

// UnshareCommand executes a program in the user namespace that containers get,
// where the user is root and has the subordinate ids.
func UnshareCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "unshare",
		Usage:     "Run a command in the user namespace of containers, by default the shell",
		ArgsUsage: "[COMMAND] [ARG...]",
		Action: func(c *cli.Context) error {
			args := c.Args().Slice()
			if len(args) == 0 {
				args = []string{e.Getenv("SHELL")}
				if args[0] == "" {
					args[0] = "/bin/sh"
				}
			}
			return runUnshare(e, args)
		},
	}
}

// runUnshare becomes the program; the C entry has entered the namespace already
// (rootless/entry.c).
func runUnshare(e *env.Env, args []string) error {
	if err := rootless.Await(); err != nil {
		return err
	}
	rootless.EndTurn()
	path, err := exec.LookPath(args[0])
	if errors.Is(err, exec.ErrDot) {
		err = nil // what is named is run: this is the user's own machine
	}
	if err == nil {
		err = syscall.Exec(path, args, e.Environ())
	}
	code := 126
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		code = 127
	}
	return &failure.Setup{Command: "unshare", Code: code, Local: true, Err: fmt.Errorf("run %s: %w", args[0], err)}
}
