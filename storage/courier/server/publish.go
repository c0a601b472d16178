package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	cstorage "github.com/containers/storage"
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

// publish makes c an image and gives it its names. Until the mark is written
// nothing has changed for anybody; a name moves only to an image that has it.
func (s *session) publish(ctx context.Context, c candidate) (id string, err error) {
	configDigest := digest.FromBytes(c.config)
	id = configDigest.Encoded()
	if err := context.Cause(ctx); err != nil {
		return "", err
	}
	if !s.whole(id) {
		// Files first, then the record that promises them: a power cut between
		// the two must not leave an image of empty files.
		if err := s.sync(); err != nil {
			return "", err
		}
		if err := s.record(id, configDigest, c); err != nil {
			return "", err
		}
	}
	if err := s.name(id, c.names); err != nil {
		return "", err
	}
	return id, s.syncRecords()
}

// record writes the image's record; the mark is its last item.
func (s *session) record(id string, configDigest digest.Digest, c candidate) error {
	metadata, err := json.Marshal(image.Metadata{Layers: c.layers.ids, Size: c.layers.size, Created: c.created, Tagged: time.Now().UTC()})
	if err != nil {
		return err
	}
	manifestDigest := digest.FromBytes(c.manifest)
	data := []cstorage.ImageBigDataOption{
		{Key: configDigest.String(), Data: c.config, Digest: configDigest},
		{Key: cstorage.ImageDigestBigDataKey, Data: c.manifest, Digest: manifestDigest},
		{Key: manifestKey(manifestDigest), Data: c.manifest, Digest: manifestDigest},
	}
	if c.index != nil {
		d := digest.FromBytes(c.index)
		data = append(data, cstorage.ImageBigDataOption{Key: manifestKey(d), Data: c.index, Digest: d})
	}
	mark := []byte(image.SyncedVersion)
	data = append(data, cstorage.ImageBigDataOption{Key: image.SyncedKey, Data: mark, Digest: digest.FromBytes(mark)})
	_, err = s.store.CreateImage(id, nil, c.layers.top(), string(metadata), &cstorage.ImageOptions{
		CreationDate: c.created,
		Digest:       manifestDigest,
		BigData:      data,
	})
	if errors.Is(err, cstorage.ErrDuplicateID) && s.whole(id) {
		return nil // another transfer was faster
	}
	if err != nil {
		return fmt.Errorf("record image %s: %w", id, err)
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

// name moves names to the image.
func (s *session) name(id string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if err := s.moveNames(id, names, nil); err != nil {
		return fmt.Errorf("name image %s: %w", id, err)
	}
	return nil
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
func (s *session) rename(id string, names []string) error {
	if err := s.name(id, names); err != nil {
		return err
	}
	return s.syncRecords()
}
