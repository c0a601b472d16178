package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"skiff/storage"
)

// Layer is what the store's record says about a layer.
type Layer struct {
	ID     string
	Parent string // the id of the layer below, empty at the bottom
	// DiffID is the digest of the layer's tar stream, TarSize its length in bytes.
	DiffID  string
	TarSize int64
	// Size is the sum of the sizes of the files in it, in bytes; of another
	// engine's layer that of its tar stream.
	Size int64
	// Incomplete layers are being made or deleted.
	Incomplete bool
}

// Layers returns all layers by the names that Image.Layers has for them. Some may
// belong to no image: a transfer is under way or was broken off.
func Layers(st *storage.Store) (map[string]Layer, error) {
	all, err := readLayers(st.Graph())
	if err != nil {
		return nil, err
	}
	for _, graph := range st.Additional {
		f, err := readForeign(st, graph)
		if err != nil {
			return nil, err
		}
		for id, l := range f.layers {
			if all == nil {
				all = make(map[string]Layer)
			}
			all[filepath.Join(f.prefix, id)] = l
		}
	}
	return all, nil
}

// readLayers returns the layers of the store in graph by their ids.
func readLayers(graph string) (map[string]Layer, error) {
	data, err := ReadTable(filepath.Join(graph, "overlay-layers", "layers.json"))
	if err != nil {
		return nil, fmt.Errorf("read layer records: %w", err)
	}
	layers := make(map[string]Layer)
	for object := range elements(data) {
		l, err := ParseLayer(object)
		if err != nil {
			return nil, fmt.Errorf("read layer record: %w", err)
		}
		layers[l.ID] = l
	}
	return layers, nil
}

// ParseLayer decodes a record of a layer.
func ParseLayer(object []byte) (Layer, error) {
	var l Layer
	var metadata string
	for key, value := range members(object) {
		var field any
		switch key {
		case "id":
			field = &l.ID
		case "parent":
			field = &l.Parent
		case "diff-digest":
			field = &l.DiffID
		case "diff-size":
			field = &l.TarSize
		case "metadata":
			field = &metadata
		case "flags":
			l.Incomplete = bytes.Contains(value, []byte(`"incomplete":true`))
			continue
		default:
			continue
		}
		if text, isString := field.(*string); isString {
			if plain, ok := plainString(value); ok {
				*text = plain
				continue
			}
		}
		if err := json.Unmarshal(value, field); err != nil {
			return l, fmt.Errorf("%s: %w", key, err)
		}
	}
	l.Size = l.TarSize // another engine's layer
	var m LayerMetadata
	if json.Unmarshal([]byte(metadata), &m) == nil && m.Size > 0 || strings.Contains(metadata, `"size":0`) {
		l.Size = m.Size
	}
	return l, nil
}
