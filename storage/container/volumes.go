package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"skiff/storage"
	"skiff/storage/container/state"
	"skiff/storage/temp"
	"skiff/storage/volume"
)

// volumesNote is a file in the directory of a note: the id of a container that is being
// made or removed, and the names of anonymous volumes that go if it is not there, a line
// each.
const volumesNote = "volumes"

// VolumesNote says, for as long as a container is being made or removed with anonymous
// volumes, which ones those are: if its maker dies meanwhile, the next command removes
// them unless the container is there. The zero value says nothing yet.
type VolumesNote struct{ dir *temp.Dir }

// Add notes the volumes called names of the container id, before they are made or the
// container is removed.
func (n *VolumesNote) Add(st *storage.Store, id string, names ...string) (err error) {
	text := strings.Join(names, "\n") + "\n"
	if n.dir == nil {
		if n.dir, err = temp.MakeNote(context.Background(), st); err != nil {
			return fmt.Errorf("note volumes: %w", err)
		}
		text = id + "\n" + text
	}
	f, err := os.OpenFile(filepath.Join(n.dir.Path, volumesNote), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("note volumes: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		return fmt.Errorf("note volumes: %w", err)
	}
	return nil
}

// Done says that the container is there, or that its volumes are gone.
func (n *VolumesNote) Done() error { return n.dir.Remove() }

// RemoveWith is Remove, and removes the volumes in dirs too.
//
// Requires the op lock, exclusive, and nobody holding the run lock.
func (c *Container) RemoveWith(dirs []string) error {
	if len(dirs) == 0 {
		return c.Remove()
	}
	names := make([]string, len(dirs))
	for i, dir := range dirs {
		names[i] = filepath.Base(dir)
	}
	var note VolumesNote
	// On a full disk it must do without.
	_ = note.Add(c.Store, c.Config.ID, names...)
	err := c.Remove()
	if !c.exists() {
		err = errors.Join(err, discardVolumes(c.Store, names))
	}
	return errors.Join(err, note.Done())
}

func discardVolumes(st *storage.Store, names []string) (failed error) {
	for _, name := range names {
		if err := volume.Discard(st, name); !errors.Is(err, volume.ErrNotFound) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// finishVolumes removes what the note in dir says, unless its container is there: it was
// not removed yet, or it was made.
func finishVolumes(st *storage.Store, dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, volumesNote))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// The last line is empty, or was not written to its end.
	lines := strings.Split(string(text), "\n")
	lines = lines[:len(lines)-1]
	if len(lines) < 2 || !isID(lines[0]) {
		return nil // not begun, or a power cut took it
	}
	c := &Container{Store: st, Config: &Config{ID: lines[0]}}
	if c.exists() {
		return nil
	}
	var dirs []string
	for _, name := range lines[1:] {
		if isID(name) && !state.NamedVolume(filepath.Join(st.Volumes(), name)) {
			dirs = append(dirs, filepath.Join(st.Volumes(), name))
		}
	}
	var names []string
	for _, dir := range c.notOfOthers(dirs) {
		names = append(names, filepath.Base(dir))
	}
	return discardVolumes(st, names)
}

// isID reports whether s has the form of a container's id and of an anonymous volume's
// name.
func isID(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
