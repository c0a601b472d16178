package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containers/image/v5/pkg/compression"
	graphdriver "github.com/containers/storage/drivers"
	"github.com/containers/storage/pkg/archive"
	"github.com/containers/storage/pkg/chrootarchive"
	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/asm"
	tarsplit "github.com/vbatts/tar-split/tar/storage"

	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// baseRootMode is the mode of an image's root directory when no layer has an
// entry for it, as docker has it.
const baseRootMode = 0o755

// layer is a layer that an image needs.
type layer struct {
	// digest and size describe the blob as it travels. An empty digest is not
	// checked, and a size of -1 is unknown.
	digest digest.Digest
	size   int64
	// diffID is the digest of the unpacked tar; empty when not known before.
	diffID digest.Digest
	// base says that no layer is below it.
	base bool
	// name is the digest that progress is reported under.
	name string
	// open returns the blob from its beginning; nil for one that comes by from.
	open func(ctx context.Context) (io.ReadCloser, error)
	// from fetches the blob from a registry.
	from *fetcher
}

// arrival is a layer on its way into the store. The zero value stands for one
// that another process has put there meanwhile.
type arrival struct {
	out *staged
	// blob is what out was unpacked from; its lock says that we have the layer.
	blob *partial
}

// done ends an arrival that is in the store.
func (a arrival) done() { a.blob.remove() }

// giveUp undoes an arrival.
func (s *session) giveUp(a arrival) error {
	a.blob.leave()
	return s.discard(a.out)
}

// staged is a layer that has been unpacked but is not part of the store yet.
type staged = graphdriver.DriverWithDifferOutput

// stage unpacks l, which comes by open, into a directory of its own, outside of
// any lock, and checks its digests. The caller applies the result or discards
// it.
func (s *session) stage(ctx context.Context, l layer) (*staged, error) {
	blob, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	return s.unpack(ctx, l, blob, message.LayerProgress)
}

// receive is stage for a layer however it comes. One from a registry is fetched
// by one process at a time. id is what it will be called in the store. The
// caller applies the result, or gives it up.
func (s *session) receive(ctx context.Context, l layer, id string) (arrival, error) {
	if l.from == nil {
		out, err := s.stage(ctx, l)
		return arrival{out: out}, err
	}
	p, err := s.openPartial(ctx, id)
	if err != nil {
		return arrival{}, err
	}
	if s.store.Exists(id) {
		// Another process had it in hand while we waited.
		p.remove()
		s.report(message.Event{Kind: message.LayerFetched, Layer: l.name, Size: l.size})
		return arrival{}, nil
	}
	for {
		out, broke, err := s.stageFetched(ctx, l, p)
		switch {
		case err == nil:
			return arrival{out, p}, nil
		case broke:
			// What has come is good for the next pull.
			p.leave()
			return arrival{}, err
		case p.resumed == 0:
			p.remove()
			return arrival{}, err
		}
		// What a dead process left may be what is wrong.
		if failed := p.restart(); failed != nil {
			p.remove()
			return arrival{}, errors.Join(err, failed)
		}
	}
}

// stageFetched unpacks a blob while it is being fetched. broke says that the
// transfer failed, and not what was transferred.
func (s *session) stageFetched(ctx context.Context, l layer, p *partial) (out *staged, broke bool, err error) {
	fetching, cancel := context.WithCancel(ctx)
	defer cancel()
	fetched := make(chan error, 1)
	go func() {
		fetched <- l.from.fetch(fetching, p, blob{digest: l.digest, size: l.size, name: l.name})
	}()
	out, err = s.unpack(ctx, l, &follower{p: p}, message.LayerUnpacking)
	cancel()
	failed := <-fetched
	broke = ctx.Err() != nil || failed != nil && !errors.Is(failed, message.ErrInvalid) && !errors.Is(failed, context.Canceled)
	return out, broke, err
}

// unpack unpacks l from r into a directory of its own.
func (s *session) unpack(ctx context.Context, l layer, r io.Reader, progress message.EventKind) (*staged, error) {
	u := &unpacking{layer: l, session: s, blob: &blobReader{ctx: ctx, r: r}}
	if l.name != "" {
		u.blob.progress = func(offset int64) {
			s.report(message.Event{Kind: progress, Layer: l.name, Offset: offset, Size: l.size})
		}
	}
	// A nil option set means: this process's own uids, which is what layers of
	// a store inside the user namespace have.
	out, err := s.store.PrepareStagedLayer(nil, u)
	if err != nil {
		return nil, errors.Join(err, s.discard(out))
	}
	if l.name != "" {
		s.report(message.Event{Kind: message.LayerFetched, Layer: l.name, Size: u.blob.n})
	}
	return out, nil
}

// discard removes a staged layer. It is safe on nil.
func (s *session) discard(out *staged) error {
	if out == nil || out.Target == "" {
		return nil
	}
	return s.store.CleanupStagedLayer(out)
}

// unpacking is containers/storage's Differ for one layer: it is called with the
// directory to fill.
type unpacking struct {
	layer
	session *session
	blob    *blobReader
	space   *spaceGuard
}

// Close has nothing to close: the blob belongs to stage.
func (u *unpacking) Close() error { return nil }

// ApplyDiff fills dest: blob -> decompressor -> tar-split -> a child process
// that has dest as its root directory and writes files. Digests are taken on
// the way.
func (u *unpacking) ApplyDiff(dest string, options *archive.TarOptions, _ *graphdriver.DifferOptions) (_ staged, err error) {
	plain, compressed, err := decompress(u.blob)
	if err != nil {
		return staged{}, u.explain(err)
	}
	defer plain.Close()
	if !compressed {
		// What is unpacked is what travelled: once is enough.
		u.blob.undigested = true
	}
	split, err := os.CreateTemp(u.session.temp.Path, "tar-split")
	if err != nil {
		return staged{}, err
	}
	defer func() {
		if err != nil {
			split.Close()
		}
	}()
	// Only the descriptor is needed; the caller of the staged layer closes it.
	if err := os.Remove(split.Name()); err != nil {
		return staged{}, err
	}
	before, err := os.Stat(dest)
	if err != nil {
		return staged{}, err
	}
	u.space = guardSpace(plain, dest)
	diff := newMeter(u.space)
	buffered := bufio.NewWriterSize(split, 64<<10)
	watch := &tarWatch{Packer: tarsplit.NewJSONPacker(buffered)}
	zeros := &holes{}
	stream, read, err := asm.NewInputTarStreamWithDone(diff, watch, zeros)
	if err != nil {
		return staged{}, u.explain(err)
	}
	defer stream.Close()
	unpack := io.ReadCloser(stream)
	if setIDRefused(dest) {
		unpack = withoutSetID(stream)
		defer unpack.Close()
	}
	if err := chrootarchive.UntarUncompressed(unpack, dest, options); watch.refused.Load() {
		return staged{}, message.Fail(message.ErrInvalid, "failed to register layer: "+errNoOwner.Error())
	} else if err != nil {
		return staged{}, u.explain(err)
	}
	if _, err := io.Copy(io.Discard, unpack); err != nil {
		return staged{}, u.explain(err)
	}
	// The tar may end before the blob does; the digests cover all of it.
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return staged{}, u.explain(err)
	}
	if err := <-read; err != nil {
		return staged{}, u.explain(err)
	}
	if _, err := io.Copy(io.Discard, diff); err != nil {
		return staged{}, u.explain(err)
	}
	if _, err := io.Copy(io.Discard, u.blob); err != nil {
		return staged{}, u.explain(err)
	}
	if err := buffered.Flush(); err != nil {
		return staged{}, err
	}
	blobDigest := diff.digest()
	if compressed {
		blobDigest = u.blob.digest()
	}
	if err := u.verify(blobDigest, diff.digest()); err != nil {
		return staged{}, err
	}
	zeros.dig(dest)
	if watch.overlay {
		if err := stripOverlay(dest); err != nil {
			return staged{}, err
		}
	}
	metadata, err := json.Marshal(image.LayerMetadata{Size: watch.size})
	if err != nil {
		return staged{}, err
	}
	out := staged{
		Differ:             u,
		Size:               diff.n,
		UncompressedDigest: diff.digest(),
		CompressedDigest:   blobDigest,
		Metadata:           string(metadata),
		TarSplit:           split,
	}
	after, err := os.Stat(dest)
	if err != nil {
		return staged{}, err
	}
	if mode := after.Mode(); mode != before.Mode() {
		// The layer says what its root directory is; otherwise it inherits.
		out.RootDirMode = &mode
	} else if u.base {
		if err := os.Chmod(dest, baseRootMode); err != nil {
			return staged{}, err
		}
	}
	return out, nil
}

// verify compares what arrived with what was promised.
func (u *unpacking) verify(blobDigest, diffID digest.Digest) error {
	if u.size >= 0 && u.blob.n != u.size {
		return message.Fail(message.ErrInvalid, fmt.Sprintf("layer %s has %d bytes instead of %d", u.name, u.blob.n, u.size))
	}
	if u.layer.digest != "" && blobDigest != u.layer.digest {
		return message.Fail(message.ErrInvalid, "filesystem layer verification failed for digest "+u.layer.digest.String())
	}
	if u.diffID != "" && diffID != u.diffID {
		return message.Fail(message.ErrInvalid, fmt.Sprintf("failed to register layer: %s unpacks to %s, but the image's configuration says %s", u.name, diffID, u.diffID))
	}
	return nil
}

// explain finds the cause of a failed unpacking: a broken transfer shows up
// downstream as a broken archive.
func (u *unpacking) explain(err error) error {
	if u.space != nil && u.space.err != nil {
		return u.space.err
	}
	if u.blob.err != nil && !errors.Is(u.blob.err, io.EOF) {
		return u.blob.err
	}
	text := err.Error()
	// "unpacking failed (error: exit status 1; output: <what the child said>)"
	if _, said, ok := strings.Cut(text, "; output: "); ok {
		// It may have failed a second time, at reading the rest of the archive.
		said, _, _ = strings.Cut(said, "\nexhausting input failed")
		text = strings.TrimSuffix(strings.TrimSpace(said), ")")
	}
	return message.Fail(message.ErrInvalid, "failed to register layer: "+text)
}

// decompress finds out how r is compressed and undoes it, in this process: no
// helper program runs on bytes from outside. It reports whether there was
// anything to undo.
func decompress(r io.Reader) (plain io.ReadCloser, compressed bool, err error) {
	head := make([]byte, 8)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	whole := io.MultiReader(bytes.NewReader(head[:n]), r)
	return compression.AutoDecompress(whole)
}
