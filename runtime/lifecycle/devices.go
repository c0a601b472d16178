package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"skiff/rootless"
	"skiff/runtime/cdi"
	"skiff/runtime/launch"
	"skiff/runtime/spec"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/container/device"
)

// CheckDevices finds out whether devices that are asked for are there, and returns
// what of them will have no effect, a line each. Its errors are those of cdi.Find.
func CheckDevices(ctx context.Context, st *storage.Store, requests []device.Request) (warnings []string, err error) {
	edits, err := cdi.Find(ctx, st.Cache(), os.Getenv, requests)
	if err != nil {
		return nil, err
	}
	return spec.Ineffective(edits, rootless.Rootless()), nil
}

// bundleDir is, in a container's directory, the bundle that hooks find in the state on
// their standard input.
const bundleDir = "bundle"

// bundle gives hooks what the OCI runtime specification promises them: a directory with
// the configuration, whose root.path is where the root is in the mount namespace that
// hooks of createContainer run in. It is made anew at each start, before the
// configuration has secrets, and goes with the container.
//
// Requires c's op lock, exclusive.
func bundle(c *container.Container, s *rspec.Spec, in *launch.Input, facts *spec.Facts) error {
	dir := filepath.Join(c.Dir(), bundleDir)
	if s.Hooks == nil {
		// The specification had some at the last start.
		return os.RemoveAll(dir)
	}
	if unowned(facts) {
		return &NoHooksError{Mode: c.Config.Host.UsernsMode}
	}
	own := *s
	root := *s.Root
	if root.Path = in.Mountpoint; in.Overlay == nil {
		root.Path = in.RootDir
	}
	own.Root = &root
	data, err := json.Marshal(&own)
	if err != nil {
		return fmt.Errorf("make bundle for hooks: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make bundle for hooks: %w", err)
	}
	// In place: its only readers are hooks of the start that comes now.
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600); err != nil {
		return fmt.Errorf("make bundle for hooks: %w", err)
	}
	in.Bundle = dir
	return nil
}

// NoHooksError says that hooks of devices cannot work in a container whose ids are not
// the user's: they could not read their bundle.
type NoHooksError struct{ Mode string }

func (e *NoHooksError) Error() string {
	return fmt.Sprintf("CDI device injection failed: its hooks have no way to the container's bundle in user namespace mode %q", e.Mode)
}

// Hint says what to do.
func (e *NoHooksError) Hint() string { return "use --userns keep-id, or none" }
