package system

import (
	"context"
	"os"
	"os/exec"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/flags"
	"skiff/rootless"
	"skiff/storage"
	"skiff/storage/container"
	courier "skiff/storage/courier/client"
	"skiff/storage/temp"
)

// RecoverCommand deletes what dead commands left in the store. Commands that do
// not enter the user namespace, where such files can be deleted, run it; users
// need not know it.
func RecoverCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "recover",
		Usage:     "Delete what killed commands left; other commands do so by themselves",
		ArgsUsage: " ",
		Hidden:    true,
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			// Opening the store is all: it recovers.
			_, err := e.Store()
			return err
		},
	}
}

// Recover deletes what dead commands left unpublished in the store. What cannot
// be deleted now is tried again by the next command and is nobody's failure.
func Recover(ctx context.Context, st *storage.Store) {
	work, transfers := temp.Abandoned(st)
	if !work && !transfers {
		return
	}
	if !rootless.Inside() {
		recoverInside(ctx)
		return
	}
	if work {
		_ = container.FinishNotes(st)
		_ = temp.Sweep(st)
	}
	if transfers {
		_ = courier.Heal(ctx, st)
	}
}

// recoverInside runs RecoverCommand, for which rootless/entry.c enters the user
// namespace.
func recoverInside(ctx context.Context) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "system", "recover")
	cmd.Args[0] = "skiff"
	cmd.Env = os.Environ()
	_ = cmd.Run()
}
