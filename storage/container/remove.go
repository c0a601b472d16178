package container

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"skiff/storage/container/state"
	"skiff/storage/reserve"
)

// Trash is where the container's directory is moved to vanish in one step; what
// is there is swept by any later command.
func (c *Container) Trash() string { return filepath.Join(c.Store.Temp(), "removed-"+c.Config.ID) }

// NameLink is the symbolic link that claims the container's name.
func (c *Container) NameLink() string { return filepath.Join(c.Store.Names(), c.Config.Name) }

// RunningLink is the container's entry in Store.Running.
func (c *Container) RunningLink() string { return filepath.Join(c.Store.Running(), c.Config.ID) }

// UnusedVolumes returns AnonymousVolumes without those that another container
// has taken over with --volumes-from.
func (c *Container) UnusedVolumes() []string {
	return c.notOfOthers(slices.DeleteFunc(c.AnonymousVolumes(), state.NamedVolume))
}

// notOfOthers returns those volumes of c that no other container has.
func (c *Container) notOfOthers(dirs []string) []string {
	if len(dirs) == 0 {
		return nil
	}
	ids, err := IDs(c.Store)
	if err != nil {
		return nil // one too many is better than one too few
	}
	for _, id := range ids {
		if id == c.Config.ID {
			continue
		}
		data, err := os.ReadFile(filepath.Join(c.Store.Containers(), id, configFile))
		if err != nil {
			continue
		}
		// The names are random and long: where one stands the volume is meant.
		dirs = slices.DeleteFunc(dirs, func(dir string) bool { return bytes.Contains(data, []byte(filepath.Base(dir))) })
	}
	return dirs
}

// AnonymousVolumes returns the directories of the volumes that nobody named.
func (c *Container) AnonymousVolumes() []string {
	var dirs []string
	for _, m := range c.Config.Mounts {
		if m.Type == "volume" && m.Anonymous {
			dirs = append(dirs, filepath.Join(c.Store.Volumes(), m.Name))
		}
	}
	return dirs
}

// Remove deletes the container's directory and name. It is gone for every
// reader once the directory was renamed; deleting follows.
//
// Requires the op lock, exclusive, and nobody holding the run lock.
func (c *Container) Remove() error {
	if err := os.Mkdir(c.Store.Temp(), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("remove container: %w", err)
	}
	if err := dropName(c.Store, c.Config.Name, c.Config.ID); err != nil {
		return err
	}
	trash := c.Trash()
	used, err := reserve.Discard(c.Store, c.Dir(), trash, UpperDir)
	if used {
		defer reserve.Fill(c.Store)
	}
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%q: %w", c.Config.ID, ErrNotFound)
		}
		return fmt.Errorf("remove container: %w", err)
	}
	// Last: until here it is what a sweeper finds the container by.
	if err := gone(os.Remove(c.RunningLink())); err != nil {
		return fmt.Errorf("remove container: %w", err)
	}
	err = os.RemoveAll(trash)
	if errors.Is(err, unix.ENOTCONN) {
		// A killed monitor's fuse-overlayfs went with it, its mount did not: this
		// command started the monitor and sees the same mounts.
		if err = unix.Unmount(filepath.Join(trash, RootDir), unix.MNT_DETACH); err == nil {
			err = os.RemoveAll(trash)
		}
	}
	if err != nil {
		return fmt.Errorf("remove container: %w", err)
	}
	return nil
}
