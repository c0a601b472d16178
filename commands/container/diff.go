package container

import (
	"bufio"
	"fmt"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/rootless"
	"skiff/storage/container"
	"skiff/storage/container/contents"
)

// DiffCommand lists what a container changed in its image.
func DiffCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "Inspect changes to files or directories on a container's filesystem",
		ArgsUsage: "CONTAINER",
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 1); err != nil {
				return err
			}
			return runDiff(e, c.Args().First())
		},
	}
}

func runDiff(e *env.Env, ref string) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	c, err := find(st, ref)
	if err != nil {
		return err
	}
	if err := rootless.Await(); err != nil {
		return err
	}
	if !c.Config.OwnsRoot() {
		return refuseRootfs(c, "compare")
	}
	changes, err := rootContents(c).Changes()
	if err != nil {
		return err
	}
	w := bufio.NewWriter(e.Out)
	for _, change := range changes {
		fmt.Fprintf(w, "%c %s\n", change.Kind, format.Escape(change.Path))
	}
	return w.Flush()
}

// rootContents is what the container's root is made of.
func rootContents(c *container.Container) *contents.Root {
	lower := make([]string, len(c.Config.Layers))
	for i, id := range c.Config.Layers {
		lower[i] = filepath.Join(c.Store.Layers(), id, "diff")
	}
	switch {
	case !c.Config.OwnsRoot():
		return contents.Open(c.Config.Rootfs, nil)
	case c.Config.Rootfs != "":
		lower = []string{c.Config.Rootfs}
	}
	return contents.Open(filepath.Join(c.Dir(), container.UpperDir), lower)
}
