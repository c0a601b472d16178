package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"skiff/storage"
	"skiff/storage/atomicfile"
	"skiff/storage/lock"
	"skiff/storage/quickjson"
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
	data, err := ReadTable(filepath.Join(graph, "overlay-images", "images.json"))
	if err != nil {
		return nil, fmt.Errorf("read image records: %w", err)
	}
	return data, nil
}

// ReadTable returns a file of containers/storage's records. A file that is absent,
// and whose directory has nothing that it would have a record of, is nil. One that
// is cut off, or should be there, is *atomicfile.DamagedError: images must not go
// missing without a word.
func ReadTable(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if !hasRecords(filepath.Dir(path)) || beingWritten(path) {
			return nil, nil
		}
		data, err = os.ReadFile(path) // it may have been, until now
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, &atomicfile.DamagedError{Path: path, Reason: "it is missing"}
	}
	if err != nil {
		return nil, err
	}
	if err := CheckTable(path, data); err != nil {
		return nil, err
	}
	return data, nil
}

// headLength is a length up to which bytes.Index is quick on every processor.
const headLength = 32

// Contains is bytes.Contains for needles of any length: of those as long as an id
// bytes.Index computes a hash at each byte of a table.
func Contains(data, needle []byte) bool {
	if len(needle) <= headLength {
		return bytes.Contains(data, needle)
	}
	for {
		i := bytes.Index(data, needle[:headLength])
		if i < 0 {
			return false
		}
		if data = data[i:]; bytes.HasPrefix(data, needle) {
			return true
		}
		data = data[1:]
	}
}

// CheckTable returns *atomicfile.DamagedError unless data, which was read from path,
// looks like a file of records from both ends.
func CheckTable(path string, data []byte) error {
	if text := bytes.TrimSpace(data); !bytes.HasPrefix(text, []byte{'['}) || !bytes.HasSuffix(text, []byte{']'}) {
		return &atomicfile.DamagedError{Path: path, Reason: "it is cut off"}
	}
	return nil
}

// CopyFile is the name of the copy of a table that the courier keeps beside it.
const CopyFile = "skiff.copy"

// WritesTables says that this process writes tables itself. It is set before
// anything is read: such a process must not look for another writer, because to
// close a lock's file gives up its own lock (fcntl(2)).
var WritesTables bool

// beingWritten reports whether another process has the table's lock: the first
// thing of a store exists before its record.
func beingWritten(path string) bool {
	if WritesTables {
		return false
	}
	holder, err := lock.RunHolder(strings.TrimSuffix(path, ".json") + ".lock")
	return err == nil && holder != 0
}

// hasRecords reports whether a directory has what a table beside it records.
func hasRecords(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		id, _, _ := strings.Cut(e.Name(), ".")
		return len(id) == idLength || e.Name() == CopyFile
	})
}

// idLength is how many hex digits the id of an image or a layer has.
const idLength = 64

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
		if err := quickjson.Unmarshal(value, field); err != nil {
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
	if err := quickjson.Unmarshal([]byte(r.Metadata), &m); err != nil {
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

// ReadConfig fills in img.Config from the store. *atomicfile.DamagedError says that
// it is none.
func (img *Image) ReadConfig(st *storage.Store) error {
	_, err := img.readConfig(st)
	return err
}

// verifyConfig is ReadConfig for who makes a container of the image: in the user's
// own store the configuration must have the digest that is the image's ID.
func (img *Image) verifyConfig(st *storage.Store) error {
	data, err := img.readConfig(st)
	if err != nil || img.Graph != "" {
		return err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != img.ID {
		return img.damagedConfig(st, "it does not have the digest that is its name")
	}
	return nil
}

func (img *Image) readConfig(st *storage.Store) ([]byte, error) {
	data, err := img.RawConfig(st)
	if err != nil {
		return nil, err
	}
	if err := quickjson.Unmarshal(data, &img.Config); err != nil {
		return nil, img.damagedConfig(st, err.Error())
	}
	return data, nil
}

func (img *Image) damagedConfig(st *storage.Store, reason string) error {
	path := DataFile(img.graph(st), img.ID, "sha256:"+img.ID)
	return fmt.Errorf("read configuration of image %.12s: %w", img.ID, &atomicfile.DamagedError{Path: path, Reason: reason})
}

// graph is the directory of the store that has the image.
func (img *Image) graph(st *storage.Store) string {
	if img.Graph != "" {
		return img.Graph
	}
	return st.Graph()
}

// RawConfig returns the image's configuration, whose digest is its ID.
func (img *Image) RawConfig(st *storage.Store) ([]byte, error) {
	return img.bigData(st, "sha256:"+img.ID)
}

// Manifest returns the manifest that the image came with.
func (img *Image) Manifest(st *storage.Store) ([]byte, error) {
	return img.bigData(st, "manifest")
}

// DataFile is the path of an item that containers/storage keeps with an image of
// the store in graph. A key with other characters than lower-case letters, digits
// and dots has a file name in base64.
func DataFile(graph, id, key string) string {
	name := key
	if strings.ContainsAny(key, ":-") {
		name = "=" + base64.StdEncoding.EncodeToString([]byte(key))
	}
	return filepath.Join(graph, "overlay-images", id, name)
}

// bigData reads an item that containers/storage keeps with an image.
func (img *Image) bigData(st *storage.Store, key string) ([]byte, error) {
	path := DataFile(img.graph(st), img.ID, key)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		err = atomicfile.Missing(path, filepath.Dir(path))
	}
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
