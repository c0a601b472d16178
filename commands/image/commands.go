// Package image is the commands about images. Whatever writes goes through the
// courier; listing and resolving read the store's records directly.
package image

import (
	"github.com/urfave/cli/v2"

	"skiff/commands/env"
)

// Commands are the members of the management group `image`.
func Commands(e *env.Env) []*cli.Command {
	list := ImagesCommand(e)
	list.Name, list.Aliases = "ls", []string{"list"}
	remove := RemoveCommand(e)
	remove.Name, remove.Aliases = "rm", []string{"remove"}
	return []*cli.Command{
		HistoryCommand(e),
		ImportCommand(e),
		InspectCommand(e),
		LoadCommand(e),
		list,
		PruneCommand(e),
		PullCommand(e),
		PushCommand(e),
		remove,
		SaveCommand(e),
		TagCommand(e),
	}
}
