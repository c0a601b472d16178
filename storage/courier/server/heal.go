package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	cstorage "github.com/containers/storage"
	"golang.org/x/sys/unix"

	"skiff/storage"
	"skiff/storage/image"
	"skiff/storage/lock"
	"skiff/storage/reserve"
	"skiff/storage/temp"
)

// How often, and how long apart, a staging directory is deleted again that
// somebody still writes to.
const (
	emptyTries = 50
	emptyWait  = 10 * time.Millisecond
)

// heal deletes images without our mark, layers that no marked image stands on
// and staging directories: their makers died, by a kill or a power cut, and
// after a power cut their files may be empty. Requires the transfer lock,
// exclusive.
func (s *session) heal() error {
	// Every staging directory is dead: we are the only transfer. They go first,
	// because the records of a full disk cannot be rewritten.
	if err := s.emptyStaging(); err != nil {
		return fmt.Errorf("heal store: %w", err)
	}
	reserve.UseIfFull(s.st)
	if err := dropEmptyLinks(s.st); err != nil {
		return fmt.Errorf("heal store: %w", err)
	}
	images, err := s.store.Images()
	if err != nil {
		return fmt.Errorf("heal store: %w", err)
	}
	held, err := temp.Held(s.st)
	if err != nil {
		return fmt.Errorf("heal store: %w", err)
	}
	whole := make(map[string]bool) // top layers of marked images
	for _, img := range images {
		if slices.Contains(img.BigDataNames, image.SyncedKey) {
			whole[img.TopLayer] = true
			continue
		}
		if _, err := s.store.DeleteImage(img.ID, true); err != nil && !errors.Is(err, cstorage.ErrImageUnknown) {
			return fmt.Errorf("heal store: delete unfinished image %s: %w", img.ID, err)
		}
	}
	later, err := s.deleteLayersExceptUnder(whole, held)
	if err != nil {
		return fmt.Errorf("heal store: %w", err)
	}
	if err := s.deleteStrays(); err != nil {
		return fmt.Errorf("heal store: %w", err)
	}
	// Last, because they are how the next command knows that there is something
	// to heal.
	err = temp.SweepTransfers(s.st)
	if later {
		err = errors.Join(err, temp.WantHealing(context.Background(), s.st))
	}
	return err
}

// dropEmptyLinks deletes the files "link" that a power cut has emptied. To delete a
// layer, the library deletes l/<what its link says>: all of l/, the short names of all
// layers, where the link is empty; and it deletes what it finds unfinished whenever it
// is opened.
func dropEmptyLinks(st *storage.Store) error {
	empty := emptyLinks(st)
	if len(empty) == 0 {
		return nil
	}
	// Nobody is about to write one while nobody puts a layer in place.
	guard, err := lock.Exclusive(context.Background(), filepath.Join(st.Dir, layersLock))
	if err != nil {
		return fmt.Errorf("wait for other commands: %w", err)
	}
	defer guard.Release()
	for _, path := range emptyLinks(st) {
		if failed := os.Remove(path); !errors.Is(failed, os.ErrNotExist) {
			err = errors.Join(err, failed)
		}
	}
	return err
}

func emptyLinks(st *storage.Store) (empty []string) {
	entries, err := os.ReadDir(st.Layers())
	if err != nil {
		return nil // the library says what is wrong with it
	}
	for _, e := range entries {
		path := filepath.Join(st.Layers(), e.Name(), "link")
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && info.Size() == 0 {
			empty = append(empty, path)
		}
	}
	return empty
}

// deleteStrays deletes the directories of layers and images that have no record
// any more: whoever removed them died in between.
func (s *session) deleteStrays() error {
	layers, err := s.store.Layers()
	if err != nil {
		return err
	}
	images, err := s.store.Images()
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(layers)+len(images))
	for i := range layers {
		known[layers[i].ID] = true
	}
	for i := range images {
		known[images[i].ID] = true
	}
	// What the library was deleting when it died, or found no inode for: it looks there
	// again only after a layer that was never finished.
	failed := os.RemoveAll(filepath.Join(s.st.Graph(), layerTable.dir, "tmp"))
	for _, table := range []string{"overlay", layerTable.dir, imageTable.dir} {
		entries, err := os.ReadDir(filepath.Join(s.st.Graph(), table))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
		for _, e := range entries {
			id, _, _ := strings.Cut(e.Name(), ".")
			path := filepath.Join(s.st.Graph(), table, e.Name())
			switch {
			case slices.ContainsFunc(libraryWork, func(prefix string) bool { return strings.HasPrefix(e.Name(), prefix) }):
				err = os.RemoveAll(path)
			case len(id) != 64 || known[id]:
				continue
			case table == imageTable.dir:
				err = os.RemoveAll(filepath.Join(s.st.Graph(), table, id))
			default:
				err = s.dropLayerFiles(id)
			}
			failed = errors.Join(failed, err)
		}
	}
	for _, path := range storage.Glob(filepath.Join(runRoot(s.st), layerTable.dir), ".tmp-*") {
		failed = errors.Join(failed, os.Remove(path))
	}
	return errors.Join(failed, dropIdleNames(s.st, known))
}

// libraryWork begins the names of what containers/storage makes beside its tables and
// layers for a moment: the next table, before the rename, and what it tries out when it
// opens a store for the first time. Whoever makes that is a transfer, so that all that
// the healer finds is of the dead.
var libraryWork = []string{".tmp-", "compat", "metacopy-check", "opaque-bug-check", "volatile-check"}

// dropIdleNames deletes the short names (in l/) of layers that are not known: their
// maker died before it wrote into the layer which name it has.
func dropIdleNames(st *storage.Store, known map[string]bool) error {
	dir := filepath.Join(st.Layers(), "l")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		// ../<id>/diff
		leads, failed := os.Readlink(path)
		if failed == nil && known[filepath.Base(filepath.Dir(leads))] {
			continue
		}
		if failed == nil {
			failed = os.Remove(path)
		}
		err = errors.Join(err, failed)
	}
	return err
}

// emptyStaging deletes every staging directory.
func (s *session) emptyStaging() (err error) {
	for _, dir := range storage.Glob(filepath.Join(s.st.Layers(), "staging"), "*") {
		// A dead courier's child may still be unpacking what is left in its pipe.
		failed := os.RemoveAll(dir)
		for try := 0; errors.Is(failed, unix.ENOTEMPTY) && try < emptyTries; try++ {
			time.Sleep(emptyWait)
			failed = os.RemoveAll(dir)
		}
		err = errors.Join(err, failed)
	}
	return err
}

// deleteLayersExceptUnder deletes the layers that are neither in tops, or in held, or
// a container's, nor an ancestor of one. It reports whether any is left because of
// held alone.
func (s *session) deleteLayersExceptUnder(tops, held map[string]bool) (later bool, err error) {
	layers, err := s.store.Layers()
	if err != nil {
		return false, err
	}
	parent := make(map[string]string, len(layers))
	for _, l := range layers {
		parent[l.ID] = l.Parent
	}
	wanted := make(map[string]bool, len(layers))
	for top := range tops {
		for id := top; id != "" && !wanted[id]; id = parent[id] {
			wanted[id] = true
		}
	}
	for top := range held {
		if _, there := parent[top]; !there {
			continue
		}
		for id := top; id != "" && !wanted[id]; id = parent[id] {
			wanted[id], later = true, true
		}
	}
	junk := make([]string, 0, len(layers))
	for _, l := range layers {
		if !wanted[l.ID] {
			junk = append(junk, l.ID)
		}
	}
	// Of an image that was set aside the containers remain.
	for used := range usedByContainers(s.st, junk) {
		for id := used; id != "" && !wanted[id]; id = parent[id] {
			wanted[id] = true
		}
	}
	children := make(map[string]int)
	junk = slices.DeleteFunc(junk, func(id string) bool { return wanted[id] })
	for _, id := range junk {
		children[parent[id]]++
	}
	// A layer goes after its children: repeat until nothing is left to take.
	for len(junk) > 0 {
		rest := junk[:0:0]
		for _, id := range junk {
			if children[id] > 0 {
				rest = append(rest, id)
				continue
			}
			if err := s.store.DeleteLayer(id); err != nil && !errors.Is(err, cstorage.ErrLayerUnknown) {
				return later, fmt.Errorf("delete unfinished layer %s: %w", id, err)
			}
			children[parent[id]]--
		}
		if len(rest) == len(junk) {
			return later, fmt.Errorf("layers are their own ancestors: %v", rest)
		}
		junk = rest
	}
	return later, nil
}
