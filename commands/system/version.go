// Package system is the commands about skiff itself and the machine.
package system

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"skiff/commands/env"
	"skiff/commands/flags"
	"skiff/commands/format"
)

// Version, Commit and Built are set by the Makefile through the linker.
var (
	Version = "0.1.0-dev"
	Commit  = "unknown"
	Built   = ""
)

// dockerVersion is the docker whose command line, inspect keys and API we
// follow; tools that compare versions read it.
const (
	dockerVersion = "28.2.2"
	apiVersion    = "1.50"
	minAPIVersion = "1.24"
)

// VersionLine is what --version prints. Tools match docker's form of it.
func VersionLine(e *env.Env) string {
	if e.Docker() {
		return fmt.Sprintf("Docker version %s, build %s (skiff %s)", dockerVersion, Commit, Version)
	}
	return fmt.Sprintf("Skiff version %s, build %s", Version, Commit)
}

// versions is docker's document of `version`.
type versions struct {
	Client client
	Server server
}

type client struct {
	Platform          platform
	Version           string
	APIVersion        string `json:"ApiVersion"`
	DefaultAPIVersion string
	GitCommit         string
	GoVersion         string
	Os                string
	Arch              string
	BuildTime         string
	Context           string
}

type server struct {
	Platform      platform
	Version       string
	APIVersion    string `json:"ApiVersion"`
	MinAPIVersion string
	GitCommit     string
	GoVersion     string
	Os            string
	Arch          string
	KernelVersion string
	BuildTime     string
	Components    []component
}

type platform struct{ Name string }

type component struct {
	Name    string
	Version string
	Details map[string]string
}

// VersionCommand shows versions.
func VersionCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "version",
		Usage:     "Show the version information",
		ArgsUsage: "[OPTIONS]",
		Flags:     []cli.Flag{&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: flags.InspectFormatUsage}},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			return runVersion(e, c.String("format"))
		},
	}
}

func runVersion(e *env.Env, template string) error {
	v := currentVersions(e)
	if template != "" {
		return format.Document(e.Out, template, v.document())
	}
	_, err := fmt.Fprint(e.Out, format.EscapeText(versionText(v)))
	return err
}

// document gives fields under docker's two spellings: ApiVersion of the JSON and
// APIVersion of the templates.
func (v versions) document() map[string]any {
	return map[string]any{
		"Client": struct {
			client
			APIVersion string
		}{v.Client, v.Client.APIVersion},
		"Server": struct {
			server
			APIVersion string
		}{v.Server, v.Server.APIVersion},
	}
}

func currentVersions(e *env.Env) versions {
	version := Version
	if e.Docker() {
		version = dockerVersion
	}
	kernel := kernelVersion()
	return versions{
		Client: client{
			Version: version, APIVersion: apiVersion, DefaultAPIVersion: apiVersion, GitCommit: Commit,
			GoVersion: runtime.Version(), Os: runtime.GOOS, Arch: runtime.GOARCH, BuildTime: Built, Context: "default",
		},
		Server: server{
			Platform: platform{Name: "skiff (no daemon)"},
			Version:  version, APIVersion: apiVersion, MinAPIVersion: minAPIVersion, GitCommit: Commit,
			GoVersion: runtime.Version(), Os: runtime.GOOS, Arch: runtime.GOARCH, KernelVersion: kernel, BuildTime: Built,
			Components: []component{{Name: "Engine", Version: version, Details: map[string]string{
				"ApiVersion": apiVersion, "Arch": runtime.GOARCH, "GitCommit": Commit, "GoVersion": runtime.Version(),
				"KernelVersion": kernel, "MinAPIVersion": minAPIVersion, "Os": runtime.GOOS, "Skiff": Version,
			}}},
		},
	}
}

// versionText is docker's layout.
func versionText(v versions) string {
	c, s := v.Client, v.Server
	return fmt.Sprintf(`Client:
 Version:           %s
 API version:       %s
 Go version:        %s
 Git commit:        %s
 Built:             %s
 OS/Arch:           %s/%s
 Context:           %s

Server: %s
 Engine:
  Version:          %s
  API version:      %s (minimum version %s)
  Go version:       %s
  Git commit:       %s
  Built:            %s
  OS/Arch:          %s/%s
  Experimental:     false
`, c.Version, c.APIVersion, c.GoVersion, c.GitCommit, c.BuildTime, c.Os, c.Arch, c.Context,
		s.Platform.Name, s.Version, s.APIVersion, s.MinAPIVersion, s.GoVersion, s.GitCommit, s.BuildTime, s.Os, s.Arch)
}

func kernelVersion() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return strings.TrimRight(string(u.Release[:]), "\x00")
}
