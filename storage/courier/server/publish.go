package server

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	cstorage "github.com/containers/storage"
	"github.com/containers/storage/pkg/ioutils"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"skiff/storage/atomicfile"
	"skiff/storage/image"
)

// candidate is an image whose layers are in the store but which does not exist
// yet.
type candidate struct {
	config   []byte // its digest is the image's id
	manifest []byte
	index    []byte // what the tag pointed to, if not the manifest itself
	created  time.Time
	layers   stack
	names    []string // normalized references to move to the image
}

// publish makes c an image and gives it its names, both in one write of the table:
// a kill leaves an image that has its names, or none.
func (s *session) publish(ctx context.Context, c candidate) (id string, err error) {
	id = digest.FromBytes(c.config).Encoded()
	if err := context.Cause(ctx); err != nil {
		return "", err
	}
	if err := s.publishAll([]candidate{c}, id, c.names, nil); err != nil {
		return "", err
	}
	return id, nil
}

// publishAll makes each candidate an image that is none yet and then moves names to
// the image id, as moveNames does.
func (s *session) publishAll(all []candidate, id string, names, platforms []string) error {
	var fresh []*recordedImage
	for i := range all {
		made, err := all[i].record()
		if err != nil {
			return err
		}
		if !s.whole(made.ID) {
			fresh = append(fresh, made)
		}
	}
	if len(fresh) > 0 {
		// Files first, then the record that promises them: a power cut between
		// the two must not leave an image of empty files.
		if err := s.sync(); err != nil {
			return err
		}
	}
	if err := s.moveNames(id, names, platforms, fresh...); err != nil {
		return fmt.Errorf("record image %s: %w", id, err)
	}
	return s.syncRecords()
}

// recordedImage is an image's record and what is kept with it.
type recordedImage struct {
	cstorage.Image
	data map[string][]byte // by the names of the library's big data
}

// record makes the image's record, still without names.
func (c *candidate) record() (*recordedImage, error) {
	metadata, err := json.Marshal(image.Metadata{Layers: c.layers.ids, Size: c.layers.size, Created: c.created, Tagged: time.Now().UTC()})
	if err != nil {
		return nil, err
	}
	configDigest, manifestDigest := digest.FromBytes(c.config), digest.FromBytes(c.manifest)
	r := &recordedImage{
		Image: cstorage.Image{
			ID: configDigest.Encoded(), Digest: manifestDigest, TopLayer: c.layers.top(), Metadata: string(metadata), Created: c.created,
			BigDataSizes: make(map[string]int64), BigDataDigests: make(map[string]digest.Digest),
		},
		data: make(map[string][]byte),
	}
	if r.Created.IsZero() {
		r.Created = time.Now().UTC()
	}
	r.keep(configDigest.String(), c.config)
	r.keep(cstorage.ImageDigestBigDataKey, c.manifest)
	r.keep(manifestKey(manifestDigest), c.manifest)
	if c.index != nil {
		r.keep(manifestKey(digest.FromBytes(c.index)), c.index)
	}
	r.keep(image.SyncedKey, []byte(image.SyncedVersion))
	return r, nil
}

func (r *recordedImage) keep(key string, data []byte) {
	if _, twice := r.data[key]; !twice {
		r.BigDataNames = append(r.BigDataNames, key)
	}
	r.data[key], r.BigDataSizes[key], r.BigDataDigests[key] = data, int64(len(data)), digest.FromBytes(data)
}

// writeData writes the files that are kept with the image, each durably. Requires
// the lock of the table of images.
func (r *recordedImage) writeData(graph string) error {
	if err := os.MkdirAll(filepath.Join(graph, imageTable.dir, r.ID), 0o700); err != nil {
		return err
	}
	for key, data := range r.data {
		if err := ioutils.AtomicWriteFile(image.DataFile(graph, r.ID, key), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// manifestKey is containers/image's name for a manifest kept with an image.
func manifestKey(d digest.Digest) string {
	return cstorage.ImageDigestManifestBigDataNamePrefix + "-" + d.String()
}

// whole reports whether the image is there with our mark.
func (s *session) whole(id string) bool {
	img, err := s.store.Image(id)
	return err == nil && img.ID == id && slices.Contains(img.BigDataNames, image.SyncedKey)
}

// sync makes everything in the store's file system outlive a power cut.
func (s *session) sync() error {
	dir, err := os.Open(s.st.Graph())
	if err != nil {
		return fmt.Errorf("sync store: %w", err)
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("sync store: %w", err)
	}
	return nil
}

// syncRecords makes what the images' records say outlive a power cut. The
// library syncs each file that it replaces; what is left is the directory that
// the new one was renamed in, whose sync takes along all that the journal of the
// file system has. Where the record promises contents, sync comes before.
func (s *session) syncRecords() error {
	return atomicfile.SyncDir(filepath.Join(s.st.Graph(), "overlay-images"))
}

// named reports whether the image has all of names, for itself alone.
func (s *session) named(id string, names []string) bool {
	r, err := s.imageRecord(id)
	return err == nil && r != nil && !slices.ContainsFunc(names, func(n string) bool {
		return !slices.Contains(r.names, n) || r.metadata.Platforms[n] != nil
	})
}

// rename moves names to an image that exists already, durably.
func (s *session) rename(id string, names []string) error { return s.publishAll(nil, id, names, nil) }
