package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	cstorage "github.com/containers/storage"
	"github.com/containers/storage/pkg/ioutils"
	"github.com/containers/storage/pkg/lockfile"

	"skiff/storage"
	"skiff/storage/image"
	"skiff/storage/reserve"
	"skiff/storage/temp"
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

// edit gives the records to change, which returns the new ones; those that stay
// it returns as they are. after, which may be nil, runs while the table is still
// locked. The file is synced, its directory is not.
func (s *session) edit(t table, change func(objects [][]byte) ([][]byte, error), after func() error) error {
	held, err := lockfile.GetLockFile(s.lockPath(t))
	if err != nil {
		return fmt.Errorf("lock %s: %w", t.name, err)
	}
	held.Lock()
	defer held.Unlock()
	old, err := s.records(t)
	if err != nil {
		return err
	}
	objects, err := change(slices.Collect(image.Elements(old)))
	if err != nil {
		return err
	}
	size := 2
	for _, o := range objects {
		size += len(o) + 1
	}
	edited := append(make([]byte, 0, size), '[')
	for i, o := range objects {
		if i > 0 {
			edited = append(edited, ',')
		}
		edited = append(edited, o...)
	}
	edited = append(edited, ']')
	if !bytes.Equal(edited, old) {
		write := func() error { return ioutils.AtomicWriteFile(s.path(t), edited, 0o600) }
		if err := reserve.Retry(s.st, write); err != nil {
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

func (s *session) path(t table) string { return filepath.Join(s.st.Graph(), t.dir, t.name+".json") }

func (s *session) lockPath(t table) string {
	return filepath.Join(s.st.Graph(), t.dir, t.name+".lock")
}

// records returns a table as it is at this moment; an absent one is empty.
func (s *session) records(t table) ([]byte, error) {
	data, err := s.soundTable(t)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", t.name, err)
	}
	if data == nil {
		data = []byte("[]")
	}
	return data, nil
}

// editImages changes the image records that have the id or one of the names in them;
// change returns nil to drop one.
func editImages(objects [][]byte, id string, names []string, change func(r *imageRecord, object []byte) ([]byte, error)) ([][]byte, error) {
	words := [][]byte{quoted(id)}
	for _, n := range names {
		words = append(words, quoted(n))
	}
	kept := objects[:0]
	for _, object := range objects {
		if !slices.ContainsFunc(words, func(w []byte) bool { return image.Contains(object, w) }) {
			kept = append(kept, object)
			continue
		}
		r, err := parseImageRecord(object)
		if err != nil {
			return nil, err
		}
		if object, err = change(r, object); err != nil {
			return nil, err
		}
		if object != nil {
			kept = append(kept, object)
		}
	}
	return kept, nil
}

// imageRecord is the part of an image's record that is changed here; the rest
// is kept as it is.
type imageRecord struct {
	all   map[string]json.RawMessage
	id    string
	names []string
	top   string // layer
	whole bool   // it has our mark
	// metadata is what is ours in the record.
	metadata image.Metadata
}

func parseImageRecord(object []byte) (*imageRecord, error) {
	var known struct {
		ID    string   `json:"id"`
		Names []string `json:"names"`
		Layer string   `json:"layer"`
		Data  []string `json:"big-data-names"`
		Ours  string   `json:"metadata"`
	}
	r := &imageRecord{}
	if err := errors.Join(json.Unmarshal(object, &r.all), json.Unmarshal(object, &known)); err != nil {
		return nil, fmt.Errorf("read image record: %w", err)
	}
	r.id, r.names, r.top, r.whole = known.ID, known.Names, known.Layer, slices.Contains(known.Data, image.SyncedKey)
	if r.whole {
		if err := json.Unmarshal([]byte(known.Ours), &r.metadata); err != nil {
			return nil, fmt.Errorf("read record of image %s: %w", r.id, err)
		}
	}
	return r, nil
}

// standsFor returns the IDs of the images that a name of this one stands for.
func (r *imageRecord) standsFor(name string) []string {
	if !slices.Contains(r.names, name) {
		return nil
	}
	return r.metadata.Platforms[name]
}

// withNames returns the record with other names. Of its platforms those of names
// that it still has are kept.
func (r *imageRecord) withNames(names []string, platforms map[string][]string) ([]byte, error) {
	var err error
	if r.all["names"], err = json.Marshal(names); err != nil {
		return nil, err
	}
	if len(names) == 0 {
		delete(r.all, "names")
	}
	maps.DeleteFunc(platforms, func(name string, _ []string) bool { return !slices.Contains(names, name) })
	if !maps.EqualFunc(platforms, r.metadata.Platforms, slices.Equal) {
		changed := r.metadata
		changed.Platforms = platforms
		ours, err := json.Marshal(changed)
		if err != nil {
			return nil, err
		}
		if r.all["metadata"], err = json.Marshal(string(ours)); err != nil {
			return nil, err
		}
	}
	return json.Marshal(r.all)
}

// has reports whether a word, an id or a name, stands in a record.
func has(object []byte, word string) bool { return image.Contains(object, quoted(word)) }

// quoted is a string as the tables have it.
func quoted(word string) []byte {
	text, err := json.Marshal(word)
	if err != nil {
		return nil // in every record, which is then looked at
	}
	return text
}

// imageRecord returns the record of an image as it is at this moment; nil when
// there is none.
func (s *session) imageRecord(id string) (*imageRecord, error) {
	data, err := s.records(imageTable)
	if err != nil {
		return nil, err
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

// moveNames gives the names to the image id and takes them from any other. They
// stand for the images platforms then, one of each platform, or with nil for id
// alone. Images that are fresh are added in the same write. cstorage.ErrLayerUnknown
// says that a layer of one of them was removed meanwhile.
func (s *session) moveNames(id string, names, platforms []string, fresh ...*recordedImage) error {
	if len(fresh) > 0 {
		// Who removes layers looks under this lock for images that stand on them.
		held, err := lockfile.GetLockFile(s.lockPath(layerTable))
		if err != nil {
			return fmt.Errorf("lock %s: %w", layerTable.name, err)
		}
		held.RLock()
		defer held.Unlock()
		if err := s.haveLayers(fresh); err != nil {
			return err
		}
	}
	found := false
	name := func(r *imageRecord, object []byte) ([]byte, error) {
		left := slices.DeleteFunc(slices.Clone(r.names), func(n string) bool { return slices.Contains(names, n) })
		stand := maps.Clone(r.metadata.Platforms)
		for _, name := range names {
			delete(stand, name)
		}
		if r.id == id && r.whole {
			found = true
			left = append(left, names...)
			for _, name := range names {
				if platforms != nil {
					if stand == nil {
						stand = make(map[string][]string)
					}
					stand[name] = platforms
				}
			}
		}
		if slices.Equal(left, r.names) && maps.EqualFunc(stand, r.metadata.Platforms, slices.Equal) {
			return object, nil
		}
		return r.withNames(left, stand)
	}
	err := s.edit(imageTable, func(objects [][]byte) ([][]byte, error) {
		objects, err := s.addImages(objects, fresh)
		if err != nil {
			return nil, err
		}
		return editImages(objects, id, names, name)
	}, nil)
	if err == nil && !found {
		err = noSuchImage(id)
	}
	return err
}

// haveLayers returns cstorage.ErrLayerUnknown if a layer that one of the images
// stands on is not there.
func (s *session) haveLayers(images []*recordedImage) error {
	layers, err := s.records(layerTable)
	if err != nil {
		return err
	}
	for _, img := range images {
		if img.TopLayer != "" && !image.Contains(layers, []byte(`"id":"`+img.TopLayer+`"`)) {
			return fmt.Errorf("layer %s: %w", img.TopLayer, cstorage.ErrLayerUnknown)
		}
	}
	return nil
}

// addImages adds the records of fresh images, and what is kept with them. One that
// is there with our mark stays as it is: another transfer was faster.
func (s *session) addImages(objects [][]byte, fresh []*recordedImage) ([][]byte, error) {
	for _, img := range fresh {
		there := false
		var err error
		objects, err = editImages(objects, img.ID, nil, func(r *imageRecord, object []byte) ([]byte, error) {
			if r.id == img.ID && !r.whole {
				return nil, nil
			}
			there = there || r.id == img.ID
			return object, nil
		})
		if err != nil {
			return nil, err
		}
		if there {
			continue
		}
		// Who finds files of an image and no table takes it for lost.
		if _, err := os.Stat(s.path(imageTable)); errors.Is(err, os.ErrNotExist) {
			if err := ioutils.AtomicWriteFile(s.path(imageTable), []byte("[]"), 0o600); err != nil {
				return nil, err
			}
		}
		if err := img.writeData(s.st.Graph()); err != nil {
			return nil, err
		}
		object, err := json.Marshal(img.Image)
		if err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// dropNames takes names from the image id, and the image with them if gone.
func (s *session) dropNames(id string, names []string, gone bool) error {
	change := func(r *imageRecord, object []byte) ([]byte, error) {
		switch {
		case r.id != id:
			return object, nil
		case gone:
			return nil, nil
		}
		return r.withNames(slices.DeleteFunc(r.names, func(n string) bool { return slices.Contains(names, n) }), maps.Clone(r.metadata.Platforms))
	}
	return s.edit(imageTable, func(objects [][]byte) ([][]byte, error) { return editImages(objects, id, nil, change) }, func() error {
		if !gone {
			return nil
		}
		return os.RemoveAll(filepath.Join(s.st.Graph(), imageTable.dir, id))
	})
}

// dropLayers deletes the layers from top downwards that no image and no other
// layer stands on, and returns their ids, topmost first. What a build stands on is
// left to who heals the store later.
func (s *session) dropLayers(ctx context.Context, top string) ([]string, error) {
	held, err := temp.Held(s.st)
	if err != nil {
		return nil, err
	}
	var gone []string
	waits := false
	err = s.edit(layerTable, func(objects [][]byte) ([][]byte, error) {
		// Found out under the table's lock: somebody may be putting a layer, or an
		// image, on top of one right now.
		images, err := s.records(imageTable)
		if err != nil {
			return nil, err
		}
		gone = freeLayers(objects, top, images)
		if at := slices.IndexFunc(gone, func(id string) bool { return held[id] }); at >= 0 {
			gone, waits = gone[:at], true
		}
		used := usedByContainers(s.st, gone)
		if at := slices.IndexFunc(gone, func(id string) bool { return used[id] }); at >= 0 {
			gone = gone[:at]
		}
		return slices.DeleteFunc(objects, func(o []byte) bool { return slices.Contains(gone, image.Field(o, "id")) }), nil
	}, func() error {
		var failed error
		for _, id := range gone {
			failed = errors.Join(failed, s.dropLayerFiles(id))
		}
		return failed
	})
	if waits {
		err = errors.Join(err, temp.WantHealing(ctx, s.st))
	}
	return gone, err
}

// usedByContainers returns those of the layers that a container stands on: its image
// may have been set aside (mend.go). One with a damaged configuration stands on nothing.
func usedByContainers(st *storage.Store, layers []string) map[string]bool {
	used := make(map[string]bool)
	if len(layers) == 0 {
		return used
	}
	for _, path := range storage.Glob(st.Containers(), "*/config.json") {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // removed meanwhile
		}
		for _, id := range layers {
			if !used[id] && bytes.Contains(data, []byte(`"`+id+`"`)) {
				used[id] = true
			}
		}
	}
	return used
}

// freeLayers lists the layers from top downwards that neither one of the images
// nor a layer that stays stands on.
func freeLayers(layers [][]byte, top string, images []byte) []string {
	parent, children := make(map[string]string, len(layers)), make(map[string]int, len(layers))
	for _, object := range layers {
		id, below := image.Fields(object, "id", "parent")
		parent[id] = below
		children[below]++
	}
	var free []string
	for id := top; id != "" && children[id] == 0 && !image.Contains(images, []byte(`"layer":"`+id+`"`)); {
		below, known := parent[id]
		if !known {
			break
		}
		free = append(free, id)
		children[below]--
		id = below
	}
	return free
}

// dropLayerFiles moves what a layer consists of out of the way and deletes it.
func (s *session) dropLayerFiles(id string) error {
	dir := filepath.Join(s.st.Layers(), id)
	if link, err := os.ReadFile(filepath.Join(dir, "link")); err == nil && len(link) > 0 && !bytes.ContainsAny(link, "/.") {
		if err := os.Remove(filepath.Join(s.st.Layers(), "l", string(link))); err != nil && !errors.Is(err, os.ErrNotExist) {
			// It does no harm, and goes with the next command.
			_ = temp.WantHealing(context.Background(), s.st)
		}
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
