package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"

	"skiff/commands/failure"
	"skiff/storage/container"
	"skiff/storage/image"
)

// imageOf is the image of a container that is being made, an empty one for
// --rootfs and for a pod.
func imageOf(from source, o createOptions) (*image.Image, error) {
	if !o.Rootfs && o.Infra == nil {
		return from.resolve(o.Image, o.Platform)
	}
	return &image.Image{Config: image.Config{OS: "linux", Architecture: goruntime.GOARCH}}, nil
}

// setRootfs makes the directory of --rootfs the root of a container: typed is
// its name with :O behind it where it shall stay as it is.
func setRootfs(cfg *container.Config, typed string) error {
	dir, option, found := typed, "", false
	if i := strings.LastIndexByte(typed, ':'); i >= 0 {
		dir, option, found = typed[:i], typed[i+1:], true
	}
	if _, err := os.Lstat(typed); err == nil {
		dir, found = typed, false // the colon is a part of the name
	}
	switch {
	case found && option == "O":
		cfg.RootfsOverlay = true
	case found:
		return fmt.Errorf("--rootfs %s: option %q is not supported, only \"O\" is", typed, option)
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	var st os.FileInfo
	if err == nil {
		st, err = os.Stat(dir)
	}
	if err == nil && !st.IsDir() {
		err = errors.New("it is not a directory")
	}
	if errors.Is(err, os.ErrNotExist) {
		err = errors.New("there is no such directory") // in the kernel's words docker would mean the command
	}
	if err != nil {
		return fmt.Errorf("--rootfs %s: %w", typed, err)
	}
	if cfg.RootfsOverlay && len(dir) >= maxLower {
		return fmt.Errorf("--rootfs %s: its name is longer than the %d bytes that the kernel takes for a layer", typed, maxLower-1)
	}
	cfg.Rootfs = dir
	return nil
}

// maxLower is fsconfig(2)'s limit of a string, its NUL included.
const maxLower = 256

// refuseRootfs is the answer of verbs that compare a container with its image.
func refuseRootfs(c *container.Container, what string) error {
	return failure.Engine(nil, "cannot %s container %s: it runs from the directory %s, not from an image", what, c.Config.Name, c.Config.Rootfs)
}
