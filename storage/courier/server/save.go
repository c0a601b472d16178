package server

import (
	"archive/tar"
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/containers/image/v5/docker/reference"
	cstorage "github.com/containers/storage"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"skiff/storage/courier/message"
)

// writeBuffer is how much of an archive is collected before it is written.
const writeBuffer = 1 << 20

// save writes images into one archive that docker's readers (manifest.json) and
// those of OCI layouts (index.json) both understand, as docker does since
// version 25. It streams: nothing is put aside.
// https://github.com/moby/docker-image-spec/blob/main/v1.3.md#combined-image-json--filesystem-changeset-format
// https://github.com/opencontainers/image-spec/blob/main/image-layout.md
func (s *session) save(ctx context.Context, out *os.File, want *message.Save) (message.Result, error) {
	buffered := bufio.NewWriterSize(out, writeBuffer)
	w, err := s.newSaving(buffered)
	if err != nil {
		return message.Result{}, err
	}
	for _, img := range want.Images {
		if err := w.saved(ctx, img); err != nil {
			return message.Result{}, err
		}
	}
	if err := w.finish(); err != nil {
		return message.Result{}, err
	}
	return message.Result{}, buffered.Flush()
}

// saving is an archive being written.
type saving struct {
	*session
	tar          *tar.Writer
	has          map[string]bool // names that are in it
	items        []dockerSaved
	index        []ispec.Descriptor
	repositories map[string]map[string]string // repository, tag, top layer
}

// newSaving begins an archive.
func (s *session) newSaving(out io.Writer) (*saving, error) {
	w := &saving{session: s, tar: tar.NewWriter(out), has: make(map[string]bool)}
	for _, dir := range []string{"blobs", "blobs/sha256"} {
		if err := w.directory(dir); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// dockerSaved is one image in manifest.json.
type dockerSaved struct {
	Config       string
	RepoTags     []string
	Layers       []string
	LayerSources map[digest.Digest]ispec.Descriptor
}

// saved writes what the user named: an image, or those of all platforms.
func (w *saving) saved(ctx context.Context, want message.Saved) error {
	if len(want.Platforms) < 2 {
		item, d, err := w.image(ctx, want.ID)
		if err != nil {
			return err
		}
		return w.names(want, item, d)
	}
	var first dockerSaved
	var members []ispec.Descriptor
	for _, id := range want.Platforms {
		item, d, err := w.image(ctx, id)
		if err != nil {
			return err
		}
		if d.Platform, err = w.platformOf(id); err != nil {
			return err
		}
		if id == want.ID {
			first = item
		}
		members = append(members, d)
	}
	return w.list(want, first, members)
}

// list writes the index of images of several platforms. For docker's old readers
// the names are those of first.
func (w *saving) list(want message.Saved, first dockerSaved, members []ispec.Descriptor) error {
	blob, err := newIndex(members)
	if err != nil {
		return err
	}
	d := ispec.Descriptor{MediaType: ispec.MediaTypeImageIndex, Digest: digest.FromBytes(blob), Size: int64(len(blob))}
	if err := w.file(blobName(d.Digest), blob); err != nil {
		return err
	}
	return w.names(want, first, d)
}

// image writes one image's blobs.
func (w *saving) image(ctx context.Context, id string) (item dockerSaved, d ispec.Descriptor, err error) {
	img, err := w.store.Image(id)
	if errors.Is(err, cstorage.ErrImageUnknown) {
		err = noSuchImage(id)
	}
	if err != nil {
		return item, d, err
	}
	configDigest := digest.NewDigestFromEncoded(digest.SHA256, img.ID)
	config, err := w.store.ImageBigData(img.ID, configDigest.String())
	if err != nil {
		return item, d, fmt.Errorf("read configuration of image %s: %w", short(img.ID), err)
	}
	if digest.FromBytes(config) != configDigest {
		return item, d, fmt.Errorf("image %s is damaged: its configuration has another digest", short(img.ID))
	}
	var parsed imageConfig
	if err := json.Unmarshal(config, &parsed); err != nil || parsed.RootFS == nil {
		return item, d, fmt.Errorf("image %s is damaged: %w", short(img.ID), errors.Join(err, errors.New("no rootfs")))
	}
	have, err := w.below(img.TopLayer)
	if err != nil {
		return item, d, fmt.Errorf("image %s: %w", short(img.ID), err)
	}
	if len(have.ids) != len(parsed.RootFS.DiffIDs) {
		return item, d, fmt.Errorf("image %s is damaged: it has %d layers instead of %d", short(img.ID), len(have.ids), len(parsed.RootFS.DiffIDs))
	}
	layers := make([]ispec.Descriptor, len(parsed.RootFS.DiffIDs))
	for i, diffID := range parsed.RootFS.DiffIDs {
		size, err := w.layer(ctx, have.ids[len(have.ids)-1-i], diffID)
		if err != nil {
			return item, d, err
		}
		layers[i] = ispec.Descriptor{MediaType: ispec.MediaTypeImageLayer, Digest: diffID, Size: size}
	}
	return w.describe(config, layers, w.annotations(img.ID))
}

// describe writes the configuration and the manifest of an image whose layers are
// in the archive.
func (w *saving) describe(config []byte, layers []ispec.Descriptor, annotations map[string]string) (item dockerSaved, d ispec.Descriptor, err error) {
	configDigest := digest.FromBytes(config)
	item = dockerSaved{Config: blobName(configDigest), Layers: []string{}, LayerSources: make(map[digest.Digest]ispec.Descriptor)}
	for _, l := range layers {
		item.LayerSources[l.Digest] = l
		item.Layers = append(item.Layers, blobName(l.Digest))
	}
	if err := w.file(blobName(configDigest), config); err != nil {
		return item, d, err
	}
	manifest, err := newManifest(config, layers, annotations)
	if err != nil {
		return item, d, err
	}
	d = ispec.Descriptor{MediaType: ispec.MediaTypeImageManifest, Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}
	return item, d, w.file(blobName(d.Digest), manifest)
}

// below is the stack of layers that ends at top.
func (w *saving) below(top string) (stack, error) {
	var ids []string
	for id := top; id != ""; {
		l, err := w.store.Layer(id)
		if err != nil {
			return stack{}, fmt.Errorf("layer %s: %w", id, err)
		}
		ids = append(ids, id)
		id = l.Parent
	}
	return w.existing(ids)
}

// names adds the image to what the archive lists.
func (w *saving) names(want message.Saved, item dockerSaved, d ispec.Descriptor) error {
	for _, name := range want.Names {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return fmt.Errorf("image name %q: %w", name, err)
		}
		tagged, ok := named.(reference.Tagged)
		if !ok {
			return fmt.Errorf("image name %q has no tag", name)
		}
		item.RepoTags = append(item.RepoTags, reference.FamiliarString(named))
		one := d
		one.Annotations = map[string]string{annotationName: named.String(), annotationRefName: tagged.Tag()}
		w.index = append(w.index, one)
		if len(item.Layers) > 0 {
			if w.repositories == nil {
				w.repositories = make(map[string]map[string]string)
			}
			repository := reference.FamiliarName(named)
			if w.repositories[repository] == nil {
				w.repositories[repository] = make(map[string]string)
			}
			top := item.Layers[len(item.Layers)-1]
			w.repositories[repository][tagged.Tag()] = top[len("blobs/sha256/"):]
		}
	}
	if len(want.Names) == 0 {
		w.index = append(w.index, d)
	}
	w.items = append(w.items, item)
	return nil
}

// layer writes a layer, uncompressed, unless the archive has it, and returns its
// size.
func (w *saving) layer(ctx context.Context, id string, diffID digest.Digest) (int64, error) {
	l, err := w.store.Layer(id)
	if err != nil {
		return 0, fmt.Errorf("layer %s: %w", id, err)
	}
	name := blobName(diffID)
	if w.has[name] {
		return l.UncompressedSize, nil
	}
	w.has[name] = true
	if err := w.header(name, l.UncompressedSize); err != nil {
		return 0, err
	}
	return l.UncompressedSize, w.writeLayer(ctx, w.tar, id, diffID)
}

// finish writes what tells readers what the archive has.
func (w *saving) finish() error {
	index := ispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ispec.MediaTypeImageIndex, Manifests: w.index}
	for _, f := range []struct {
		name  string
		value any
	}{
		{ispec.ImageIndexFile, index},
		{"manifest.json", w.items},
		{ispec.ImageLayoutFile, ispec.ImageLayout{Version: ispec.ImageLayoutVersion}},
		{"repositories", w.repositories},
	} {
		if f.name == "repositories" && w.repositories == nil {
			continue
		}
		data, err := json.Marshal(f.value)
		if err != nil {
			return err
		}
		if err := w.file(f.name, data); err != nil {
			return err
		}
	}
	return w.tar.Close()
}

// The archive's own times say nothing, and the same images shall make the same
// archive.
var noTime = time.Unix(0, 0)

func (w *saving) directory(name string) error {
	return w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: noTime})
}

func (w *saving) header(name string, size int64) error {
	return w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: noTime})
}

func (w *saving) file(name string, data []byte) error {
	if w.has[name] {
		return nil
	}
	w.has[name] = true
	if err := w.header(name, int64(len(data))); err != nil {
		return err
	}
	_, err := w.tar.Write(data)
	return err
}
