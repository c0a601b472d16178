package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/containers/storage/pkg/ioutils"
	"github.com/containers/storage/pkg/lockfile"

	"skiff/storage/image"
)

// table is a file of containers/storage's records. The library rewrites it for
// each single change and decodes all of it before the first; here a command
// rewrites it once and touches only the records that it changes, so that names
// and removals cost the same with ten images and with a thousand. The locks and
// the note of who wrote last are the library's own, so that its processes see
// what was done.
type table struct{ dir, name string }

var (
	imageTable = table{"overlay-images", "images"}
	layerTable = table{"overlay-layers", "layers"}
)

// edit gives each record to change, which returns the new one, the same, or nil
// to drop it. after, which may be nil, runs while the table is still locked. The
// file is synced, its directory is not.
func (s *session) edit(t table, change func(object []byte) ([]byte, error), after func() error) error {
	dir := filepath.Join(s.st.Graph(), t.dir)
	held, err := lockfile.GetLockFile(filepath.Join(dir, t.name+".lock"))
	if err != nil {
		return fmt.Errorf("lock %s: %w", t.name, err)
	}
	held.Lock()
	defer held.Unlock()
	path := filepath.Join(dir, t.name+".json")
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", t.name, err)
	}
	if !bytes.HasSuffix(bytes.TrimSpace(old), []byte{']'}) {
		return fmt.Errorf("read %s: %w", t.name, image.ErrDamaged)
	}
	var edited bytes.Buffer
	edited.Grow(len(old) + 1<<10)
	edited.WriteByte('[')
	for object := range image.Elements(old) {
		changed, err := change(object)
		if err != nil {
			return err
		}
		if changed == nil {
			continue
		}
		if edited.Len() > 1 {
			edited.WriteByte(',')
		}
		edited.Write(changed)
	}
	edited.WriteByte(']')
	if !bytes.Equal(edited.Bytes(), old) {
		if err := ioutils.AtomicWriteFile(path, edited.Bytes(), 0o600); err != nil {
			return fmt.Errorf("write %s: %w", t.name, err)
		}
		if _, err := held.RecordWrite(); err != nil {
			return fmt.Errorf("write %s: %w", t.name, err)
		}
	}
	if after == nil {
		return nil
	}
	return after()
}

// imageRecord is the part of an image's record that is changed here; the rest
// is kept as it is.
type imageRecord struct {
	all   map[string]json.RawMessage
	id    string
	names []string
	top   string // layer
	whole bool   // it has our mark
}

func parseImageRecord(object []byte) (*imageRecord, error) {
	var known struct {
		ID    string   `json:"id"`
		Names []string `json:"names"`
		Layer string   `json:"layer"`
		Data  []string `json:"big-data-names"`
	}
	r := &imageRecord{}
	if err := errors.Join(json.Unmarshal(object, &r.all), json.Unmarshal(object, &known)); err != nil {
		return nil, fmt.Errorf("read image record: %w", err)
	}
	r.id, r.names, r.top, r.whole = known.ID, known.Names, known.Layer, slices.Contains(known.Data, image.SyncedKey)
	return r, nil
}

// withNames returns the record with other names.
func (r *imageRecord) withNames(names []string) ([]byte, error) {
	var err error
	if r.all["names"], err = json.Marshal(names); err != nil {
		return nil, err
	}
	if len(names) == 0 {
		delete(r.all, "names")
	}
	return json.Marshal(r.all)
}

// has reports whether a record may be that of the id or have one of the names.
func has(object []byte, id string, names ...string) bool {
	for _, word := range append([]string{id}, names...) {
		if quoted, err := json.Marshal(word); err != nil || bytes.Contains(object, quoted) {
			return true
		}
	}
	return false
}

// imageRecord returns the record of an image as it is at this moment; nil when
// there is none.
func (s *session) imageRecord(id string) (*imageRecord, error) {
	data, err := os.ReadFile(filepath.Join(s.st.Graph(), imageTable.dir, imageTable.name+".json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read images: %w", err)
	}
	for object := range image.Elements(data) {
		if !has(object, id) {
			continue
		}
		r, err := parseImageRecord(object)
		if err != nil {
			return nil, err
		}
		if r.id == id {
			return r, nil
		}
	}
	return nil, nil
}

// moveName gives the name to the image id and takes it from any other.
func (s *session) moveName(id, name string) error {
	found := false
	err := s.edit(imageTable, func(object []byte) ([]byte, error) {
		if !has(object, id, name) {
			return object, nil
		}
		r, err := parseImageRecord(object)
		if err != nil {
			return nil, err
		}
		names := slices.DeleteFunc(slices.Clone(r.names), func(n string) bool { return n == name })
		if r.id == id && r.whole {
			found = true
			names = append(names, name)
		}
		if slices.Equal(names, r.names) {
			return object, nil
		}
		return r.withNames(names)
	}, nil)
	if err == nil && !found {
		err = noSuchImage(id)
	}
	return err
}

// dropNames takes names from the image id, and the image with them if gone.
func (s *session) dropNames(id string, names []string, gone bool) error {
	err := s.edit(imageTable, func(object []byte) ([]byte, error) {
		if !has(object, id) {
			return object, nil
		}
		r, err := parseImageRecord(object)
		if err != nil || r.id != id {
			return object, err
		}
		if gone {
			return nil, nil
		}
		return r.withNames(slices.DeleteFunc(r.names, func(n string) bool { return slices.Contains(names, n) }))
	}, nil)
	if err == nil && gone {
		err = os.RemoveAll(filepath.Join(s.st.Graph(), imageTable.dir, id))
	}
	return err
}

// dropLayers deletes the layers that no image and no other layer stands on,
// beginning with those in tops, and returns their ids, topmost first.
func (s *session) dropLayers(tops []string) ([]string, error) {
	used := make(map[string]bool) // top layers of images
	data, err := os.ReadFile(filepath.Join(s.st.Graph(), imageTable.dir, imageTable.name+".json"))
	if err != nil {
		return nil, fmt.Errorf("read images: %w", err)
	}
	for object := range image.Elements(data) {
		used[image.Field(object, "layer")] = true
	}
	var gone []string
	// Which are free is found out under the table's lock: somebody may be putting
	// a layer on top of one right now.
	drop := make(map[string]bool)
	first := true
	return gone, s.edit(layerTable, func(object []byte) ([]byte, error) {
		if first {
			first = false
			gone = s.freeLayers(tops, used)
			for _, id := range gone {
				drop[id] = true
			}
		}
		if drop[image.Field(object, "id")] {
			return nil, nil
		}
		return object, nil
	}, func() error {
		var failed error
		for _, id := range gone {
			failed = errors.Join(failed, s.dropLayerFiles(id))
		}
		return failed
	})
}

// freeLayers lists the layers from tops downwards that neither an image nor a
// layer that stays stands on. Requires the table's lock.
func (s *session) freeLayers(tops []string, used map[string]bool) []string {
	data, err := os.ReadFile(filepath.Join(s.st.Graph(), layerTable.dir, layerTable.name+".json"))
	if err != nil {
		return nil // then nothing is deleted; the edit says why
	}
	parent, children := make(map[string]string), make(map[string]int)
	for object := range image.Elements(data) {
		id, below := image.Field(object, "id"), image.Field(object, "parent")
		parent[id] = below
		children[below]++
	}
	var free []string
	for _, id := range tops {
		for id != "" && !used[id] && children[id] == 0 {
			below, known := parent[id]
			if !known {
				break
			}
			free = append(free, id)
			delete(parent, id)
			children[below]--
			id = below
		}
	}
	return free
}

// dropLayerFiles moves what a layer consists of out of the way and deletes it.
func (s *session) dropLayerFiles(id string) error {
	dir := filepath.Join(s.st.Layers(), id)
	if link, err := os.ReadFile(filepath.Join(dir, "link")); err == nil && len(link) > 0 && !bytes.ContainsAny(link, "/.") {
		_ = os.Remove(filepath.Join(s.st.Layers(), "l", string(link))) // a link that is not there does no harm
	}
	tables := filepath.Join(s.st.Graph(), layerTable.dir)
	var failed error
	for _, path := range []string{filepath.Join(tables, id+".tar-split.gz"), filepath.Join(tables, id)} {
		failed = errors.Join(failed, os.RemoveAll(path))
	}
	if s.temp == nil {
		return errors.Join(failed, os.RemoveAll(dir))
	}
	// Out of the table's directory at once; the contents go with the session.
	err := os.Rename(dir, filepath.Join(s.temp.Path, "layer-"+id))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		err = os.RemoveAll(dir)
	} else {
		err = nil
	}
	return errors.Join(failed, err)
}
