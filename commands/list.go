package commands

import (
	"github.com/urfave/cli/v2"

	"skiff/commands/build"
	"skiff/commands/container"
	"skiff/commands/env"
	"skiff/commands/image"
	"skiff/commands/kube"
	"skiff/commands/manifest"
	"skiff/commands/network"
	"skiff/commands/pod"
	"skiff/commands/registry"
	"skiff/commands/runtime"
	"skiff/commands/secret"
	"skiff/commands/system"
	"skiff/commands/systemd"
	"skiff/commands/volume"
)

// commandList is every command there is. The short form of a command and the
// one in its management group are built by the same constructor.
func commandList(e *env.Env) []*cli.Command {
	return []*cli.Command{
		container.RunCommand(e),
		container.ExecCommand(e),
		container.PsCommand(e),
		build.Command(e),
		image.PullCommand(e),
		image.PushCommand(e),
		image.ImagesCommand(e),
		registry.LoginCommand(e),
		registry.LogoutCommand(e),
		registry.SearchCommand(e),
		system.VersionCommand(e),
		system.InfoCommand(e),

		{Name: "buildx", Usage: "Docker Buildx", Subcommands: append(build.BuildxCommands(e), manifest.ImagetoolsCommand(e))},
		{Name: "builder", Usage: "Manage builds", Subcommands: build.BuilderCommands(e)},
		{Name: "container", Usage: "Manage containers", Subcommands: container.Commands(e)},
		container.HealthCommand(e),
		{Name: "image", Usage: "Manage images", Subcommands: append([]*cli.Command{build.Command(e)}, image.Commands(e)...)},
		{Name: "generate", Usage: "Describe containers for others", Subcommands: []*cli.Command{kube.GenerateCommand(e, "kube"), systemd.GenerateCommand(e)}},
		{Name: "kube", Usage: "Take containers to Kubernetes and back", Subcommands: kube.Commands(e)},
		{Name: "manifest", Usage: "Manage image manifests and manifest lists", Subcommands: manifest.Commands(e)},
		{Name: "network", Usage: "Manage networks", Subcommands: network.Commands(e)},
		{Name: "play", Usage: "Create what a description says", Subcommands: []*cli.Command{kube.PlayCommand(e, "kube")}},
		{Name: "pod", Usage: "Manage pods", Subcommands: pod.Commands(e)},
		{Name: "quadlet", Usage: "Manage Quadlet files, of which systemd makes units", Subcommands: systemd.QuadletCommands(e)},
		runtime.Command(e, system.VersionLine(e)),
		{Name: "secret", Usage: "Manage secrets", Subcommands: secret.Commands(e)},
		{Name: "service", Usage: "Manage containers as services of systemd's", Subcommands: systemd.ServiceCommands(e)},
		{Name: "system", Usage: "Manage the installation", Subcommands: system.Commands(e)},
		{Name: "volume", Usage: "Manage volumes", Subcommands: volume.Commands(e)},

		container.AttachCommand(e),
		systemd.UpdateCommand(e),
		container.CommitCommand(e),
		container.CreateCommand(e),
		system.CompletionCommand(e),
		system.DoctorCommand(e),
		container.CopyCommand(e),
		container.DiffCommand(e),
		system.EventsCommand(e),
		container.ExportCommand(e),
		image.HistoryCommand(e),
		image.ImportCommand(e),
		inspectCommand(e),
		container.KillCommand(e),
		image.LoadCommand(e),
		container.LogsCommand(e),
		container.PauseCommand(e),
		container.PortCommand(e),
		container.RenameCommand(e),
		container.RestartCommand(e),
		container.RmCommand(e),
		image.RemoveCommand(e),
		image.SaveCommand(e),
		container.StartCommand(e),
		container.StatsCommand(e),
		container.StopCommand(e),
		image.TagCommand(e),
		container.TopCommand(e),
		container.UnpauseCommand(e),
		system.UnshareCommand(e),
		container.UpdateCommand(e),
		container.WaitCommand(e),
	}
}
