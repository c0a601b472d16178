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

// describesAll is the command that tells a shell about all others.
const describesAll = "completion"

// entry is a command that is built when it is wanted.
type entry struct {
	name string
	make func(*env.Env) *cli.Command
}

func group(name, usage string, below func() []*cli.Command) entry {
	return entry{name, func(*env.Env) *cli.Command {
		return &cli.Command{Name: name, Usage: usage, Subcommands: below()}
	}}
}

// commandList is the command that is called only, and every command there is when
// none is: to build all takes a third of a millisecond. The short form of a command
// and the one in its management group are built by the same constructor.
func commandList(e *env.Env, only string) []*cli.Command {
	var list []*cli.Command
	all := entries(e)
	for _, c := range all {
		if c.name == only && only != describesAll {
			return []*cli.Command{c.make(e)}
		}
	}
	for _, c := range all {
		list = append(list, c.make(e))
	}
	return list
}

func entries(e *env.Env) []entry {
	return []entry{
		{"run", container.RunCommand},
		{"exec", container.ExecCommand},
		{"ps", container.PsCommand},
		{"build", build.Command},
		{"pull", image.PullCommand},
		{"push", image.PushCommand},
		{"images", image.ImagesCommand},
		{"login", registry.LoginCommand},
		{"logout", registry.LogoutCommand},
		{"search", registry.SearchCommand},
		{"version", system.VersionCommand},
		{"info", system.InfoCommand},

		group("buildx", "Docker Buildx", func() []*cli.Command { return append(build.BuildxCommands(e), manifest.ImagetoolsCommand(e)) }),
		group("builder", "Manage builds", func() []*cli.Command { return build.BuilderCommands(e) }),
		group("container", "Manage containers", func() []*cli.Command { return container.Commands(e) }),
		{"healthcheck", container.HealthCommand},
		group("image", "Manage images", func() []*cli.Command { return append([]*cli.Command{build.Command(e)}, image.Commands(e)...) }),
		group("generate", "Describe containers for others", func() []*cli.Command {
			return []*cli.Command{kube.GenerateCommand(e, "kube"), systemd.GenerateCommand(e)}
		}),
		group("kube", "Take containers to Kubernetes and back", func() []*cli.Command { return kube.Commands(e) }),
		group("manifest", "Manage image manifests and manifest lists", func() []*cli.Command { return manifest.Commands(e) }),
		group("network", "Manage networks", func() []*cli.Command { return network.Commands(e) }),
		group("play", "Create what a description says", func() []*cli.Command { return []*cli.Command{kube.PlayCommand(e, "kube")} }),
		group("pod", "Manage pods", func() []*cli.Command { return pod.Commands(e) }),
		group("quadlet", "Manage Quadlet files, of which systemd makes units", func() []*cli.Command { return systemd.QuadletCommands(e) }),
		{"runtime", func(e *env.Env) *cli.Command { return runtime.Command(e, system.VersionLine(e)) }},
		group("secret", "Manage secrets", func() []*cli.Command { return secret.Commands(e) }),
		group("service", "Manage containers as services of systemd's", func() []*cli.Command { return systemd.ServiceCommands(e) }),
		group("system", "Manage the installation", func() []*cli.Command { return system.Commands(e) }),
		group("volume", "Manage volumes", func() []*cli.Command { return volume.Commands(e) }),

		{"attach", container.AttachCommand},
		{"auto-update", systemd.UpdateCommand},
		{"commit", container.CommitCommand},
		{"create", container.CreateCommand},
		{"completion", system.CompletionCommand},
		{"doctor", system.DoctorCommand},
		{"cp", container.CopyCommand},
		{"diff", container.DiffCommand},
		{"events", system.EventsCommand},
		{"export", container.ExportCommand},
		{"history", image.HistoryCommand},
		{"import", image.ImportCommand},
		{"inspect", inspectCommand},
		{"kill", container.KillCommand},
		{"load", image.LoadCommand},
		{"logs", container.LogsCommand},
		{"pause", container.PauseCommand},
		{"port", container.PortCommand},
		{"rename", container.RenameCommand},
		{"restart", container.RestartCommand},
		{"rm", container.RmCommand},
		{"rmi", image.RemoveCommand},
		{"save", image.SaveCommand},
		{"start", container.StartCommand},
		{"stats", container.StatsCommand},
		{"stop", container.StopCommand},
		{"tag", image.TagCommand},
		{"top", container.TopCommand},
		{"unpause", container.UnpauseCommand},
		{"unshare", system.UnshareCommand},
		{"update", container.UpdateCommand},
		{"wait", container.WaitCommand},
	}
}
