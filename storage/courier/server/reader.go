package server

import (
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
)

// progressInterval is the least time between two reports of one layer; docker's
// client draws ten times a second.
const progressInterval = 100 * time.Millisecond

// meter counts and digests what is read through it.
type meter struct {
	r    io.Reader
	n    int64
	hash hash.Hash
}

func newMeter(r io.Reader) *meter { return &meter{r: r, hash: sha256.New()} }

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += int64(n)
	m.hash.Write(p[:n])
	return n, err
}

func (m *meter) digest() digest.Digest { return digest.NewDigest(digest.SHA256, m.hash) }

// blobReader reads a blob as it travels: it counts, digests, reports progress,
// stops when ctx ends and remembers why reading ended.
type blobReader struct {
	ctx      context.Context
	r        io.Reader
	progress func(offset int64)
	n        int64
	hash     hash.Hash
	reported time.Time
	err      error
	// undigested is set where nobody asks for the digest.
	undigested bool
}

func (b *blobReader) Read(p []byte) (int, error) {
	if b.hash == nil {
		b.hash = sha256.New()
	}
	if b.ctx.Err() != nil {
		b.err = context.Cause(b.ctx)
		return 0, b.err
	}
	n, err := b.r.Read(p)
	if !b.undigested {
		b.hash.Write(p[:n])
	}
	b.n += int64(n)
	if err != nil && b.err == nil {
		b.err = err
	}
	if now := time.Now(); n > 0 && b.progress != nil && now.Sub(b.reported) >= progressInterval {
		b.reported = now
		b.progress(b.n)
	}
	return n, err
}

func (b *blobReader) digest() digest.Digest { return digest.NewDigest(digest.SHA256, b.hash) }
