package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"skiff/storage"
	"skiff/storage/atomicfile"
	"skiff/storage/temp"
)

// renameNote is a file in the directory of a note: the id of a container that is being
// renamed, its name and the other one, a line each.
const renameNote = "rename"

// Rename gives the container another name, durably. It returns a
// *NameTakenError or *InvalidNameError as docker words them. A crash or a power cut
// leaves it with one of the two names, and with both until the next command.
//
// Requires c's op lock, exclusive.
func (c *Container) Rename(name string) (err error) {
	if err := CheckName(name); err != nil {
		return err
	}
	before := c.Config.Name
	note, err := temp.MakeNote(context.Background(), c.Store)
	if err != nil {
		return fmt.Errorf("rename container: %w", err)
	}
	claimed := false
	defer func() {
		if err != nil && claimed {
			note.Leave() // which name stays is for the next command to find out
			return
		}
		err = errors.Join(err, note.Remove())
	}()
	text := strings.Join([]string{c.Config.ID, before, name}, "\n")
	if err := atomicfile.Write(filepath.Join(note.Path, renameNote), []byte(text), 0o600, c.durability()); err != nil {
		return fmt.Errorf("rename container: %w", err)
	}
	// The note is on the disk before there are two names and until there is one, and
	// the new name before the configuration that says so.
	if err := c.syncNames(c.Store.Temp()); err != nil {
		return fmt.Errorf("rename container: %w", err)
	}
	if err := claimName(c.Store, name, c.Config.ID, c.Dir()); err != nil {
		return err
	}
	claimed = true
	if err := c.syncNames(c.Store.Names()); err != nil {
		return fmt.Errorf("rename container: %w", err)
	}
	c.Config.Name = name
	if err := c.Save(); err != nil {
		c.Config.Name = before
		return err
	}
	if err := dropName(c.Store, before, c.Config.ID); err != nil {
		return err
	}
	if err := c.syncNames(c.Store.Names()); err != nil {
		return fmt.Errorf("rename container: %w", err)
	}
	if _, err := os.Lstat(c.Dir()); errors.Is(err, os.ErrNotExist) {
		// It was to vanish at its end and has just ended, without knowing of this name.
		return errors.Join(fmt.Errorf("%q: %w", c.Config.ID, ErrNotFound), dropName(c.Store, name, c.Config.ID))
	}
	return nil
}

// syncNames makes what is named in dir outlive a power cut, if c does.
func (c *Container) syncNames(dir string) error {
	if c.durability() == atomicfile.Volatile {
		return nil
	}
	return atomicfile.SyncDir(dir)
}

// FinishNotes takes the names away that killed renames have left, and the volumes that
// killed removals and creations have.
func FinishNotes(st *storage.Store) error {
	return temp.Finish(st, func(dir string) error {
		if err := finishVolumes(st, dir); err != nil {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, renameNote))
		if errors.Is(err, os.ErrNotExist) {
			return nil // not begun
		}
		if err != nil {
			return err
		}
		lines := strings.Split(string(text), "\n")
		if len(lines) != 3 {
			return nil // a power cut took it
		}
		return finishRename(st, lines[0], lines[1:])
	})
}

// finishRename drops those names of a container that are not its own.
func finishRename(st *storage.Store, id string, names []string) error {
	own := ""
	c, err := Load(st, id)
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return err
	default:
		op, err := c.TryLock()
		if err != nil {
			return err // somebody is at it: the next command tries again
		}
		defer op.Release()
		if c, err = Load(st, id); err != nil {
			return err
		}
		own = c.Config.Name
	}
	var failed error
	for _, name := range names {
		if name != own && CheckName(name) == nil {
			failed = errors.Join(failed, dropName(st, name, id))
		}
	}
	return failed
}
