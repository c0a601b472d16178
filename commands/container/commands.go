package container

import (
	"github.com/urfave/cli/v2"

	"skiff/commands/env"
)

// Commands are the members of the management group `container`.
func Commands(e *env.Env) []*cli.Command {
	list, remove := PsCommand(e), RmCommand(e)
	list.Name, list.Aliases = "ls", []string{"list", "ps"}
	remove.Aliases = []string{"remove"}
	return []*cli.Command{
		AttachCommand(e),
		CommitCommand(e),
		CloneCommand(e),
		CopyCommand(e),
		CreateCommand(e),
		DiffCommand(e),
		ExecCommand(e),
		ExportCommand(e),
		ExistsCommand(e),
		InspectCommand(e),
		KillCommand(e),
		LogsCommand(e),
		list,
		PauseCommand(e),
		PortCommand(e),
		PruneCommand(e),
		RenameCommand(e),
		RestartCommand(e),
		remove,
		RunCommand(e),
		StartCommand(e),
		StatsCommand(e),
		StopCommand(e),
		TopCommand(e),
		UnpauseCommand(e),
		UpdateCommand(e),
		WaitCommand(e),
	}
}
