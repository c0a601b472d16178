package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	graphdriver "github.com/containers/storage/drivers"
	"github.com/containers/storage/pkg/archive"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/vbatts/tar-split/tar/asm"
	tarsplit "github.com/vbatts/tar-split/tar/storage"

	"skiff/storage/container/contents"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// build makes an image of the directories that the steps of a build left, on
// top of layers that the store has.
func (s *session) build(ctx context.Context, want *message.Build) (message.Result, error) {
	if err := s.beginTransfer(ctx); err != nil {
		return message.Result{}, err
	}
	result := message.Result{Changed: true}
	err := s.retryVanished(func() error {
		have, err := s.existing(want.Base)
		if err != nil {
			return err
		}
		diffIDs := make([]digest.Digest, len(want.DiffIDs))
		chain := digest.Digest("")
		for i, d := range want.DiffIDs {
			diffIDs[i] = digest.Digest(d)
			chain = chainID(chain, diffIDs[i])
		}
		for i := range want.Layers {
			// Those of a first try are in place.
			if i == len(result.Layers) {
				l, err := s.step(ctx, &want.Layers[i], have, chain)
				if err != nil {
					return err
				}
				result.Layers = append(result.Layers, *l)
			}
			l, err := s.store.Layer(result.Layers[i].ID)
			if err != nil {
				return fmt.Errorf("layer %s: %w", result.Layers[i].ID, err)
			}
			have = have.push(l)
			diffIDs = append(diffIDs, digest.Digest(result.Layers[i].DiffID))
			chain = chainID(chain, diffIDs[len(diffIDs)-1])
		}
		raw, err := withRootFS(want.Config, diffIDs)
		if err != nil {
			return err
		}
		manifest, err := s.manifestFor(raw, have, diffIDs, want.Annotations)
		if err != nil {
			return err
		}
		result.ID, err = s.publish(ctx, candidate{config: raw, manifest: manifest, created: want.Created, layers: have, names: want.Names})
		return err
	})
	return result, err
}

// withRootFS completes a configuration.
func withRootFS(config json.RawMessage, diffIDs []digest.Digest) ([]byte, error) {
	fields := make(map[string]json.RawMessage)
	if err := json.Unmarshal(config, &fields); err != nil {
		return nil, fmt.Errorf("configuration of the new image: %w", err)
	}
	rootfs, err := json.Marshal(image.RootFS{Type: "layers", DiffIDs: texts(diffIDs)})
	if err != nil {
		return nil, err
	}
	fields["rootfs"] = rootfs
	return json.Marshal(fields)
}

// buildArchive writes the images of all platforms into an archive, as save does,
// and leaves the store alone.
func (s *session) buildArchive(ctx context.Context, out *os.File, want *message.BuildArchive) (message.Result, error) {
	if len(want.Images) == 0 {
		return message.Result{}, errors.New("an archive without images")
	}
	if err := s.beginTransfer(ctx); err != nil {
		return message.Result{}, err
	}
	buffered := bufio.NewWriterSize(out, writeBuffer)
	w, err := s.newSaving(buffered)
	if err != nil {
		return message.Result{}, err
	}
	var first dockerSaved
	var members []ispec.Descriptor
	saved := message.Saved{Names: want.Images[0].Names}
	for i := range want.Images {
		item, d, id, err := w.built(ctx, &want.Images[i])
		if err != nil {
			return message.Result{}, err
		}
		if i == 0 {
			first, saved.ID = item, id
		}
		members = append(members, d)
	}
	if len(members) == 1 {
		members[0].Platform = nil
		err = w.names(saved, first, members[0])
	} else {
		err = w.list(saved, first, members)
	}
	if err == nil {
		err = w.finish()
	}
	if err != nil {
		return message.Result{}, err
	}
	return message.Result{ID: saved.ID}, buffered.Flush()
}

// built writes the blobs of an image that a build made.
func (w *saving) built(ctx context.Context, want *message.Build) (item dockerSaved, d ispec.Descriptor, id string, err error) {
	if len(want.Base) != len(want.DiffIDs) {
		return item, d, "", fmt.Errorf("%d layers of the base have %d digests", len(want.Base), len(want.DiffIDs))
	}
	var layers []ispec.Descriptor
	var diffIDs []digest.Digest
	for i, id := range slices.Backward(want.Base) {
		diffID := digest.Digest(want.DiffIDs[len(want.Base)-1-i])
		size, err := w.layer(ctx, id, diffID)
		if err != nil {
			return item, d, "", err
		}
		layers = append(layers, ispec.Descriptor{MediaType: ispec.MediaTypeImageLayer, Digest: diffID, Size: size})
		diffIDs = append(diffIDs, diffID)
	}
	lower := make([]string, len(want.Base))
	for i, id := range want.Base {
		lower[i] = filepath.Join(w.st.Layers(), id, "diff")
	}
	for _, l := range want.Layers {
		d, err := w.packed(contents.Open(l.Dir, lower))
		if err != nil {
			return item, d, "", err
		}
		layers, diffIDs = append(layers, d), append(diffIDs, d.Digest)
		lower = slices.Insert(lower, 0, l.Dir)
	}
	config, err := withRootFS(want.Config, diffIDs)
	if err != nil {
		return item, d, "", err
	}
	if item, d, err = w.describe(config, layers, want.Annotations); err == nil {
		d.Platform, err = platformIn(config)
	}
	return item, d, digest.FromBytes(config).Encoded(), err
}

// packed writes what is on top of root as a layer. Its name in the archive is its
// digest, so that it is put aside first.
func (w *saving) packed(root *contents.Root) (ispec.Descriptor, error) {
	spool, err := os.CreateTemp(w.temp.Path, "layer")
	if err != nil {
		return ispec.Descriptor{}, err
	}
	defer spool.Close()
	if err := os.Remove(spool.Name()); err != nil {
		return ispec.Descriptor{}, err
	}
	digester := digest.SHA256.Digester()
	if _, err := root.PackLayer(io.MultiWriter(spool, digester.Hash())); err != nil {
		return ispec.Descriptor{}, err
	}
	sum := digester.Digest()
	size, err := spool.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		return ispec.Descriptor{}, err
	}
	as := ispec.Descriptor{MediaType: ispec.MediaTypeImageLayer, Digest: sum, Size: size}
	if name := blobName(sum); !w.has[name] {
		w.has[name] = true
		if err := w.header(name, size); err != nil {
			return as, err
		}
		_, err = io.Copy(w.tar, spool)
	}
	return as, err
}

func texts(list []digest.Digest) []string {
	out := make([]string, len(list))
	for i, d := range list {
		out[i] = d.String()
	}
	return out
}

// step puts the layer of one step on top of have.
func (s *session) step(ctx context.Context, want *message.StepLayer, have stack, below digest.Digest) (*message.BuiltLayer, error) {
	done := func(d digest.Digest) *message.BuiltLayer {
		return &message.BuiltLayer{DiffID: d.String(), ID: chainID(below, d).Encoded()}
	}
	if want.DiffID != "" {
		d := digest.Digest(want.DiffID)
		if s.store.Exists(chainID(below, d).Encoded()) {
			return done(d), nil
		}
	}
	lower := make([]string, len(have.ids))
	for i, id := range have.ids {
		lower[i] = filepath.Join(s.st.Layers(), id, "diff")
	}
	root := contents.Open(want.Dir, lower)
	open := func(context.Context) (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() {
			_, err := root.PackLayer(w)
			w.CloseWithError(err)
		}()
		return r, nil
	}
	l := layer{size: -1, open: open, base: below == ""}
	var out *staged
	var err error
	if want.Move {
		if out, err = s.store.PrepareStagedLayer(nil, &adoption{layer: l, session: s, ctx: ctx, dir: want.Dir}); err != nil {
			return nil, errors.Join(err, s.discard(out))
		}
	} else if out, err = s.stage(ctx, l); err != nil {
		return nil, err
	}
	d := out.UncompressedDigest
	if _, err := s.apply(ctx, chainID(below, d).Encoded(), have.top(), out); err != nil {
		return nil, err
	}
	return done(d), nil
}

// adoption is containers/storage's Differ for a directory that exists already
// and becomes the layer as it is: it is only read, for its digest.
type adoption struct {
	layer
	session *session
	ctx     context.Context
	dir     string
}

// Close has nothing to close.
func (a *adoption) Close() error { return nil }

// ApplyDiff puts the directory in dest's place.
func (a *adoption) ApplyDiff(dest string, _ *archive.TarOptions, _ *graphdriver.DifferOptions) (_ staged, err error) {
	blob, err := a.open(a.ctx)
	if err != nil {
		return staged{}, err
	}
	defer blob.Close()
	split, err := os.CreateTemp(a.session.temp.Path, "tar-split")
	if err != nil {
		return staged{}, err
	}
	defer func() {
		if err != nil {
			split.Close()
		}
	}()
	if err := os.Remove(split.Name()); err != nil {
		return staged{}, err
	}
	diff := newMeter(&blobReader{ctx: a.ctx, r: blob})
	buffered := bufio.NewWriterSize(split, 64<<10)
	watch := &tarWatch{Packer: tarsplit.NewJSONPacker(buffered)}
	stream, read, err := asm.NewInputTarStreamWithDone(diff, watch, tarsplit.NewDiscardFilePutter())
	if err != nil {
		return staged{}, err
	}
	defer stream.Close()
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return staged{}, err
	}
	if err := <-read; err != nil {
		return staged{}, err
	}
	if err := buffered.Flush(); err != nil {
		return staged{}, err
	}
	metadata, err := json.Marshal(image.LayerMetadata{Size: watch.size})
	if err != nil {
		return staged{}, err
	}
	info, err := os.Stat(a.dir)
	if err != nil {
		return staged{}, err
	}
	if err := os.Remove(dest); err != nil {
		return staged{}, err
	}
	if err := os.Rename(a.dir, dest); err != nil {
		return staged{}, fmt.Errorf("take over %s: %w", filepath.Base(filepath.Dir(a.dir)), err)
	}
	mode := info.Mode()
	return staged{
		Differ: a, Size: diff.n, UncompressedDigest: diff.digest(), CompressedDigest: diff.digest(),
		Metadata: string(metadata), TarSplit: split, RootDirMode: &mode,
	}, nil
}
