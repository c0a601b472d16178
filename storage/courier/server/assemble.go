package server

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/storage"
	"golang.org/x/sys/unix"

	"skiff/storage/container/archive"
)

// pieceSize is how much of a layer is read, digested and written at a time;
// pieces is how many of them are under way.
const (
	pieceSize = 256 << 10
	pieces    = 4
)

// writeLayer writes the tar stream that the layer was made from, byte for byte:
// its headers are kept with the layer (tar-split), the contents are the layer's
// files. A stream that comes out with another digest is an error.
//
// No lock of the store is held: w may be a pipe whose reader takes its time.
func (s *session) writeLayer(ctx context.Context, w io.Writer, id string, diffID digest.Digest) error {
	split, err := os.Open(filepath.Join(s.st.Graph(), "overlay-layers", id+".tar-split.gz"))
	if err != nil {
		return fmt.Errorf("read layer %s: %w", short(id), err)
	}
	defer split.Close()
	headers, err := gzip.NewReader(bufio.NewReader(split))
	if err != nil {
		return fmt.Errorf("read layer %s: %w", short(id), err)
	}
	dir, err := os.Open(filepath.Join(s.st.Layers(), id, "diff"))
	if err != nil {
		return fmt.Errorf("read layer %s: %w", short(id), err)
	}
	defer dir.Close()
	d := newDigester(ctx, w)
	err = assemble(d, storage.NewJSONUnpacker(headers), archive.InRoot(dir))
	sum, werr := d.finish()
	if err = errors.Join(err, werr); err != nil {
		return fmt.Errorf("read layer %s: %w", short(id), err)
	}
	if sum != diffID {
		return fmt.Errorf("layer %s is damaged: its files give %s instead of %s", short(id), sum, diffID)
	}
	return nil
}

// assemble writes headers and contents in their order.
func assemble(d *digester, headers storage.Unpacker, files archive.Tree) error {
	for {
		entry, err := headers.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read headers: %w", err)
		}
		switch {
		case entry.Type == storage.SegmentType:
			err = d.bytes(entry.Payload)
		case entry.Size > 0:
			err = copyFile(d, files, entry.GetName(), entry.Size)
		}
		if err != nil {
			return err
		}
	}
}

// copyFile writes the contents of one file. The names are the layer's, so they
// are resolved in its directory as they were when it was unpacked.
func copyFile(d *digester, files archive.Tree, name string, size int64) error {
	f, err := files.Open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer f.Close()
	return d.read(f, size)
}

// digester writes what it is given and takes its digest at the same time, on
// another processor: reading, digesting and writing each go on without waiting
// for the other.
type digester struct {
	ctx    context.Context
	free   chan []byte
	filled chan []byte
	sum    chan digest.Digest
	failed chan error
	buffer []byte // being filled
}

func newDigester(ctx context.Context, w io.Writer) *digester {
	d := &digester{
		ctx: ctx, free: make(chan []byte, pieces), filled: make(chan []byte, pieces),
		sum: make(chan digest.Digest, 1), failed: make(chan error, 1),
	}
	for range pieces {
		d.free <- make([]byte, 0, pieceSize)
	}
	hashed := make(chan []byte, pieces)
	go func() {
		hash := sha256.New()
		for b := range d.filled {
			hash.Write(b)
			hashed <- b
		}
		close(hashed)
		d.sum <- digest.NewDigest(digest.SHA256, hash)
	}()
	go func() {
		var failed error
		for b := range hashed {
			if failed == nil {
				_, failed = w.Write(b)
			}
			d.free <- b[:0]
		}
		d.failed <- failed
	}()
	return d
}

// take makes room in the buffer.
func (d *digester) take() error {
	if d.buffer != nil && len(d.buffer) < cap(d.buffer) {
		return nil
	}
	d.flush()
	select {
	case d.buffer = <-d.free:
		return nil
	case <-d.ctx.Done():
		return context.Cause(d.ctx)
	}
}

func (d *digester) flush() {
	if d.buffer != nil {
		d.filled <- d.buffer
		d.buffer = nil
	}
}

func (d *digester) bytes(p []byte) error {
	for len(p) > 0 {
		if err := d.take(); err != nil {
			return err
		}
		n := min(len(p), cap(d.buffer)-len(d.buffer))
		d.buffer = append(d.buffer, p[:n]...)
		p = p[n:]
	}
	return nil
}

// read takes size bytes from r, which must have them.
func (d *digester) read(r io.Reader, size int64) error {
	for size > 0 {
		if err := d.take(); err != nil {
			return err
		}
		room := d.buffer[len(d.buffer):min(int64(cap(d.buffer)), int64(len(d.buffer))+size)]
		n, err := io.ReadFull(r, room)
		d.buffer = d.buffer[:len(d.buffer)+n]
		size -= int64(n)
		if err != nil {
			return fmt.Errorf("a file is shorter than it was: %w", err)
		}
	}
	return nil
}

// finish returns the digest of all that was written, or why it was not.
func (d *digester) finish() (digest.Digest, error) {
	d.flush()
	close(d.filled)
	return <-d.sum, <-d.failed
}
