package image

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"skiff/storage"
)

// foreign is another store of containers/storage, which is only read.
type foreign struct {
	graph  string
	prefix string // what leads from our layers to its own
	data   []byte // its image records
	layers map[string]Layer
}

// readForeign reads the records of another store. One that is not there has
// none.
func readForeign(st *storage.Store, graph string) (*foreign, error) {
	f := &foreign{graph: graph}
	var err error
	if f.data, err = readRecords(graph); err != nil || f.data == nil {
		return f, err
	}
	if f.layers, err = readLayers(graph); err != nil {
		return nil, err
	}
	// A layer is named by the way to its directory, so that whoever joins the name
	// to the directory of our own layers finds it. The kernel goes that way from
	// where the directory really is.
	from, err := filepath.EvalSymlinks(st.Layers())
	if err != nil {
		// No layer of ours yet, so no directory for them.
		if from, err = filepath.EvalSymlinks(st.Dir); err != nil {
			return nil, fmt.Errorf("read store %s: %w", graph, err)
		}
		from = filepath.Join(from, strings.TrimPrefix(st.Layers(), st.Dir))
	}
	if f.prefix, err = filepath.Rel(from, filepath.Join(graph, "overlay")); err != nil {
		return nil, fmt.Errorf("read store %s: %w", graph, err)
	}
	return f, nil
}

// image returns the image that a record describes, nil if its layers are not
// all there: it is being pulled or deleted right now.
func (f *foreign) image(r *record) *Image {
	img := &Image{ID: r.ID, ManifestDigest: r.Digest, Graph: f.graph}
	if t, err := time.Parse(time.RFC3339Nano, r.Created); err == nil {
		img.Created = t
	}
	for id := r.Layer; id != ""; {
		l, ok := f.layers[id]
		if !ok || l.Incomplete || len(img.Layers) > len(f.layers) {
			return nil
		}
		img.Layers = append(img.Layers, filepath.Join(f.prefix, id))
		img.Size += l.Size
		id = l.Parent
	}
	for _, name := range r.Names {
		img.addName(localName(name))
	}
	return img
}

// localName is podman's name for an image without a registry, in docker's form.
func localName(name string) string {
	rest, ok := strings.CutPrefix(name, "localhost/")
	if !ok {
		return name
	}
	r, err := ParseReference(rest)
	if err != nil {
		return name
	}
	return r.String()
}
