// Package cdi finds devices of the Container Device Interface: what a vendor's
// specification, a file in one of a few directories, says that a container needs to use
// one. The files are read by another program (package registry, which runtime/yaml
// carries), because most starts want none; runtime/spec puts what they say into a
// container's configuration.
// https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
package cdi

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	specs "tags.cncf.io/container-device-interface/specs-go"

	"skiff/rootless"
	"skiff/runtime/cdi/message"
	"skiff/runtime/yaml"
	"skiff/storage/container/device"
	"skiff/storage/courier/configuration"
)

// Dirs are the directories of specifications, in docker's order: the machine's, or
// what its daemon.json or the user's names instead; then the user's own. getenv gives
// HOME and XDG_CONFIG_HOME.
func Dirs(getenv func(string) string) ([]string, error) {
	dirs, err := configuration.DeviceDirs(getenv)
	if err != nil {
		return nil, err
	}
	if dirs == nil {
		dirs = []string{"/etc/cdi", "/var/run/cdi"}
	}
	if rootless.Rootless() {
		dirs = append(dirs, filepath.Join(configuration.Home(getenv), "cdi"))
	}
	return dirs, nil
}

// List returns the names of all devices in dirs, sorted, and what is wrong with files
// there. cache is as in yaml.Ask.
func List(ctx context.Context, cache string, dirs []string) (devices, problems []string, err error) {
	if empty(dirs) {
		return nil, nil, nil
	}
	var a message.Answer
	err = yaml.Ask(ctx, cache, message.Subject, message.Question{Dirs: dirs}, &a)
	return a.Devices, a.Problems, err
}

// empty reports whether nothing in dirs can be a specification, which saves a program.
func empty(dirs []string) bool {
	for _, dir := range dirs {
		for _, ext := range []string{"json", "yaml"} {
			if found, _ := filepath.Glob(filepath.Join(escape(dir), "*."+ext)); len(found) > 0 {
				return false
			}
		}
	}
	return true
}

// escape takes a name literally (filepath.Match).
func escape(name string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
}

// Find returns what the devices that were asked for do to a container, nil for no
// request. Its errors are a *NoDriverError, an *UnresolvedError, and others that name
// the device or the file.
func Find(ctx context.Context, cache string, getenv func(string) string, requests []device.Request) (*specs.ContainerEdits, error) {
	if len(requests) == 0 {
		return nil, nil
	}
	dirs, err := Dirs(getenv)
	if err != nil {
		return nil, err
	}
	var a message.Answer
	if err := yaml.Ask(ctx, cache, message.Subject, message.Question{Dirs: dirs, Requests: requests}, &a); err != nil {
		return nil, fmt.Errorf("CDI device injection failed: %w", err)
	}
	switch {
	case a.NoDriver != nil:
		return nil, &NoDriverError{Driver: a.NoDriver.Driver, Capabilities: a.NoDriver.Capabilities, Problems: a.Problems, Dirs: dirs}
	case len(a.Unresolved) > 0:
		return nil, &UnresolvedError{Devices: a.Unresolved, Problems: a.Problems, Dirs: dirs}
	case a.Error != "":
		return nil, errors.New(a.Error)
	}
	return a.Edits, nil
}

// NoDriverError says that there is nothing for a request of --gpus.
type NoDriverError struct {
	Driver         string
	Capabilities   [][]string
	Problems, Dirs []string
}

func (e *NoDriverError) Error() string {
	return fmt.Sprintf("could not select device driver %q with capabilities: %v", e.Driver, e.Capabilities)
}

// Hint says where it was looked for.
func (e *NoDriverError) Hint() string {
	return hint(e.Problems, "no specification of nvidia.com/gpu in "+strings.Join(e.Dirs, ", ")+
		"; `nvidia-ctk cdi generate` writes one (--output in one of these directories)")
}

// UnresolvedError says that devices are in no specification.
type UnresolvedError struct{ Devices, Problems, Dirs []string }

func (e *UnresolvedError) Error() string {
	return "CDI device injection failed: unresolvable CDI devices " + strings.Join(e.Devices, ", ")
}

// Hint says where they were looked for.
func (e *UnresolvedError) Hint() string {
	return hint(e.Problems, "specifications are looked for in "+strings.Join(e.Dirs, ", ")+"; `skiff info` lists the devices")
}

// hint prefers what is wrong with a file: the device may be in it.
func hint(problems []string, otherwise string) string {
	if len(problems) > 0 {
		return "left out: " + strings.Join(problems, "; ")
	}
	return otherwise
}
