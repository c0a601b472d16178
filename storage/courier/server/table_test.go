package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cstorage "github.com/containers/storage"

	"skiff/storage"
	"skiff/storage/image"
)

// newTables returns a session over a store that has layers and no image.
func newTables(t *testing.T, layers ...string) *session {
	t.Helper()
	image.WritesTables = true // as in the courier
	s := &session{st: &storage.Store{Dir: t.TempDir()}}
	for _, table := range []table{imageTable, layerTable} {
		if err := os.MkdirAll(filepath.Dir(s.path(table)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	records := make([]map[string]string, 0, len(layers))
	for _, id := range layers {
		records = append(records, map[string]string{"id": id})
	}
	data, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path(layerTable), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// newRecord makes the record of an image of one layer.
func newRecord(t *testing.T, config, layer string) *recordedImage {
	t.Helper()
	c := candidate{config: []byte(config), manifest: []byte(`{"of":` + config + `}`), layers: stack{ids: []string{layer}}}
	r, err := c.record()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// listed are the images that other commands see: the first digits of ids, with names.
func listed(t *testing.T, s *session) []string {
	t.Helper()
	images, err := image.List(s.st)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, img := range images {
		all = append(all, img.ID[:6]+" "+strings.Join(append(img.Names, img.Digests...), " "))
	}
	slices.Sort(all)
	return all
}

func expect(t *testing.T, s *session, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := listed(t, s); !slices.Equal(got, want) {
		t.Errorf("images: %q, want %q", got, want)
	}
}

func TestMoveNames_FreshImageComesWithItsNames(t *testing.T) {
	layer := strings.Repeat("a", 64)
	s := newTables(t, layer)
	one, two := newRecord(t, `{"n":1}`, layer), newRecord(t, `{"n":2}`, layer)
	if err := s.moveNames(one.ID, []string{"r/a:1", "r/a@sha256:x"}, nil, one); err != nil {
		t.Fatal(err)
	}
	expect(t, s, one.ID[:6]+" r/a:1 r/a@sha256:x")
	if err := s.moveNames(two.ID, []string{"r/a:1"}, nil, two); err != nil {
		t.Fatal(err)
	}
	expect(t, s, one.ID[:6]+" r/a@sha256:x", two.ID[:6]+" r/a:1")
	// The image that is there stays as it is when another transfer brings it, too.
	again := newRecord(t, `{"n":1}`, layer)
	again.Metadata = "{}"
	if err := s.moveNames(one.ID, []string{"r/b:1"}, []string{one.ID, two.ID}, again); err != nil {
		t.Fatal(err)
	}
	images, err := image.List(s.st)
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range images {
		if img.ID == one.ID && (!slices.Equal(img.Layers, []string{layer}) || !slices.Equal(img.Platforms["r/b:1"], []string{one.ID, two.ID})) {
			t.Errorf("after it came twice: layers %v, platforms %v", img.Layers, img.Platforms)
		}
	}

	// What is kept with an image goes with it, and only then.
	config := image.DataFile(s.st.Graph(), one.ID, "sha256:"+one.ID)
	if data, err := os.ReadFile(config); err != nil || string(data) != `{"n":1}` {
		t.Errorf("configuration: %q, %v", data, err)
	}
	if err := s.dropNames(one.ID, []string{"r/b:1", "r/a@sha256:x"}, true); err != nil {
		t.Fatal(err)
	}
	expect(t, s, two.ID[:6]+" r/a:1")
	if _, err := os.Stat(filepath.Dir(config)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the files of an image that was removed: %v", err)
	}
}

// An image and its names come in one write: whenever somebody looks, or its maker
// is killed, there is not the one without the other.
func TestMoveNames_NeverWithoutNames(t *testing.T) {
	layer := strings.Repeat("a", 64)
	s := newTables(t, layer)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 100 {
			r := newRecord(t, fmt.Sprintf(`{"n":%d}`, n), layer)
			if err := s.moveNames(r.ID, []string{fmt.Sprintf("r/a:%d", n)}, nil, r); err != nil {
				t.Error(err)
			}
		}
	}()
	for looks := 0; ; looks++ {
		select {
		case <-done:
			if got := len(listed(t, s)); got != 100 {
				t.Errorf("%d images, want 100", got)
			}
			t.Logf("looked %d times", looks)
			return
		default:
		}
		for _, line := range listed(t, s) {
			if id, names, _ := strings.Cut(line, " "); names == "" {
				t.Fatalf("image %s has no name", id)
			}
		}
	}
}

func TestMoveNames_ImageWithoutItsLayerIsNone(t *testing.T) {
	s := newTables(t, strings.Repeat("a", 64))
	r := newRecord(t, `{}`, strings.Repeat("b", 64))
	if err := s.moveNames(r.ID, []string{"r/a:1"}, nil, r); !errors.Is(err, cstorage.ErrLayerUnknown) {
		t.Errorf("%v, want %v", err, cstorage.ErrLayerUnknown)
	}
	expect(t, s)
	if err := s.moveNames(r.ID, []string{"r/a:1"}, nil); err == nil {
		t.Error("an image that is not there was given a name")
	}
}

// An image without our mark, of one who died, is replaced by one that is whole.
func TestMoveNames_UnfinishedImageIsReplaced(t *testing.T) {
	layer := strings.Repeat("a", 64)
	s := newTables(t, layer)
	r := newRecord(t, `{}`, layer)
	dead := r.Image
	dead.BigDataNames = []string{"manifest"}
	data, err := json.Marshal([]cstorage.Image{dead})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path(imageTable), data, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, s)
	if err := s.moveNames(r.ID, nil, nil, r); err != nil {
		t.Fatal(err)
	}
	expect(t, s, r.ID[:6]+" ")
}

// Layers that an image stands on by the time they are looked at stay.
func TestDropLayers_LeavesWhatAnImageStandsOn(t *testing.T) {
	base, top := strings.Repeat("a", 64), strings.Repeat("b", 64)
	s := newTables(t, base)
	table, err := json.Marshal([]map[string]string{{"id": base}, {"id": top, "parent": base}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path(layerTable), table, 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRecord(t, `{}`, base)
	if err := s.moveNames(r.ID, nil, nil, r); err != nil {
		t.Fatal(err)
	}
	gone, err := s.dropLayers(t.Context(), top)
	if err != nil || !slices.Equal(gone, []string{top}) {
		t.Errorf("dropped %v (%v), want %v", gone, err, top)
	}
}
