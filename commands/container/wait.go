package container

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/runtime/lifecycle"
)

// WaitCommand waits for containers to end.
func WaitCommand(e *env.Env) *cli.Command {
	command := eachCommand("wait", "Block until one or more containers stop, then print their exit codes", nil, func(c *cli.Context, refs []string) error {
		st, err := e.Store()
		if err != nil {
			return err
		}
		var failed failure.Several
		for _, ref := range refs {
			ctr, err := find(st, ref)
			if err != nil {
				failed = append(failed, err)
				continue
			}
			code, err := lifecycle.Wait(c.Context, ctr)
			if err != nil {
				failed = append(failed, inWords(err, ref, ctr))
				continue
			}
			if _, err := fmt.Fprintln(e.Out, code); err != nil {
				return err
			}
		}
		return failed.Err()
	})
	command.ArgsUsage = "CONTAINER [CONTAINER...]"
	return command
}
