package system

import (
	"github.com/urfave/cli/v2"

	"skiff/commands/env"
)

// Commands are the members of the management group `system`.
func Commands(e *env.Env) []*cli.Command {
	return []*cli.Command{BootCommand(e), CheckCommand(e), DfCommand(e), EventsCommand(e), InfoCommand(e), PruneCommand(e), RecoverCommand(e)}
}
