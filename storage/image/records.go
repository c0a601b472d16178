package image

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"skiff/storage"
)

// record is the part of containers/storage's image record that we read.
type record struct {
	ID           string
	Digest       string
	Names        []string
	Metadata     string
	BigDataNames []string
	Layer        string // the topmost
	Created      string // when the image was made (RFC 3339)
}

// field returns where the value of a JSON key goes, nil if we do not read it.
func (r *record) field(key string) any {
	switch key {
	case "id":
		return &r.ID
	case "digest":
		return &r.Digest
	case "names":
		return &r.Names
	case "metadata":
		return &r.Metadata
	case "big-data-names":
		return &r.BigDataNames
	case "layer":
		return &r.Layer
	case "created":
		return &r.Created
	}
	return nil
}

// readRecords returns the file with all image records of the store in graph as
// it is at this moment: containers/storage replaces it by rename. An absent file
// has none.
func readRecords(graph string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(graph, "overlay-images", "images.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read image records: %w", err)
	}
	if !bytes.HasSuffix(bytes.TrimSpace(data), []byte{']'}) {
		// Images must not go missing without a word.
		return nil, fmt.Errorf("read image records: %w", ErrDamaged)
	}
	return data, nil
}

// parseRecord decodes the fields that we read; most of a record is not among
// them, and skipping that is what makes a thousand images cheap.
func parseRecord(object []byte) (*record, error) {
	var r record
	for key, value := range members(object) {
		field := r.field(key)
		if field == nil {
			continue
		}
		if plain, ok := plainString(value); ok {
			if s, isString := field.(*string); isString {
				*s = plain
				continue
			}
		}
		if err := json.Unmarshal(value, field); err != nil {
			return nil, fmt.Errorf("read image record: %s: %w", key, err)
		}
	}
	return &r, nil
}

// image returns the image that the record describes, without its
// configuration, or nil if the record lacks our mark.
func (r *record) image() (*Image, error) {
	if !slices.Contains(r.BigDataNames, SyncedKey) {
		return nil, nil
	}
	var m Metadata
	if err := json.Unmarshal([]byte(r.Metadata), &m); err != nil {
		return nil, fmt.Errorf("read record of image %s: %w", r.ID, err)
	}
	img := &Image{
		ID: r.ID, ManifestDigest: r.Digest, Layers: m.Layers, Size: m.Size, Created: m.Created, Tagged: m.Tagged,
	}
	for _, name := range r.Names {
		img.addName(name)
		if of := m.Platforms[name]; of != nil {
			if img.Platforms == nil {
				img.Platforms = make(map[string][]string)
			}
			img.Platforms[name] = of
		}
	}
	return img, nil
}

func (img *Image) addName(name string) {
	if strings.Contains(name, "@") {
		img.Digests = append(img.Digests, name)
	} else {
		img.Names = append(img.Names, name)
	}
}

// ReadConfig fills in img.Config from the store.
func (img *Image) ReadConfig(st *storage.Store) error {
	data, err := img.RawConfig(st)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &img.Config); err != nil {
		return fmt.Errorf("read configuration of image %s: %w", img.ID, err)
	}
	return nil
}

// RawConfig returns the image's configuration, whose digest is its ID.
func (img *Image) RawConfig(st *storage.Store) ([]byte, error) {
	return img.bigData(st, "sha256:"+img.ID)
}

// Manifest returns the manifest that the image came with.
func (img *Image) Manifest(st *storage.Store) ([]byte, error) {
	return img.bigData(st, "manifest")
}

// bigData reads an item that containers/storage keeps with an image. A key
// with other characters than lower-case letters, digits and dots has a file
// name in base64.
func (img *Image) bigData(st *storage.Store, key string) ([]byte, error) {
	name := key
	if strings.ContainsAny(key, ":-") {
		name = "=" + base64.StdEncoding.EncodeToString([]byte(key))
	}
	graph := st.Graph()
	if img.Graph != "" {
		graph = img.Graph
	}
	data, err := os.ReadFile(filepath.Join(graph, "overlay-images", img.ID, name))
	if errors.Is(err, os.ErrNotExist) {
		// The record was read a moment ago; the image went since.
		return nil, fmt.Errorf("image %s: %w", img.ID, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read image %s: %w", img.ID, err)
	}
	return data, nil
}

// quoted returns s as it stands in a JSON file.
func quoted(s string) []byte {
	data, err := json.Marshal(s)
	if err != nil {
		// A string always marshals.
		panic(err)
	}
	return data
}
