package commands

import (
	"github.com/urfave/cli/v2"

	"skiff/commands/container"
	"skiff/commands/env"
	"skiff/commands/image"
	"skiff/commands/system"
)

// commandList is every command there is. The short form of a command and the
// one in its management group are built by the same constructor.
func commandList(e *env.Env) []*cli.Command {
	list := []*cli.Command{
		container.RunCommand(e),
		container.CreateCommand(e),
		image.PullCommand(e),
		image.ImagesCommand(e),
		image.RemoveCommand(e),
		image.TagCommand(e),
		image.LoadCommand(e),
		image.ImportCommand(e),
		{Name: "image", Usage: "Manage images", Subcommands: image.Commands(e)},
		system.VersionCommand(e),
	}
	return list
}
