package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"

	"skiff/storage/courier/message"
	"skiff/storage/courier/registry"
	"skiff/storage/reserve"
)

// copyBuffer is how much of a blob is taken from the network at once.
const copyBuffer = 128 << 10

// fetcher fetches the blobs of one image.
type fetcher struct {
	sources  []source // the one that had the manifest first
	patience registry.Patience
	report   func(message.Event)
}

// blob is what is to be fetched.
type blob struct {
	digest digest.Digest
	size   int64 // -1 when unknown
	// name is what progress is reported under, "" for none.
	name string
}

// fetch lets p grow until it is the whole blob, and ends it. Its contents are
// not checked here; who reads them does.
func (f *fetcher) fetch(ctx context.Context, p *partial, b blob) error {
	err := f.fill(ctx, p, b)
	if err == nil && b.name != "" {
		f.report(message.Event{Kind: message.LayerArrived, Layer: b.name, Size: b.size})
	}
	p.end(err)
	return err
}

func (f *fetcher) fill(ctx context.Context, p *partial, b blob) (err error) {
	if b.size >= 0 && p.size() > b.size {
		if err := p.restart(); err != nil {
			return err
		}
	}
	// Wherever the transfer breaks, another place may have it.
	for _, from := range f.sources {
		if err = f.fillFrom(ctx, p, b, from); err == nil || ctx.Err() != nil || errors.Is(err, errOurs) {
			return err
		}
	}
	return err
}

// errOurs marks a failure that no other registry would mend.
var errOurs = errors.New("")

func (f *fetcher) fillFrom(ctx context.Context, p *partial, b blob, from source) error {
	wait := f.patience.Backoff(func(d time.Duration, _ error) {
		if b.name != "" {
			f.report(message.Event{Kind: message.Retrying, Layer: b.name, Wait: d})
		}
	})
	for b.size < 0 || p.size() < b.size {
		had := p.size()
		body, start, err := from.client.Blob(ctx, from.repository, b.digest.String(), had, wait)
		if err != nil {
			return err
		}
		err = f.take(ctx, p, b, body, start)
		body.Close()
		if err == nil && (b.size < 0 || p.size() == b.size) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("layer %s has %d bytes instead of %d: %w", b.digest, p.size(), b.size, io.ErrUnexpectedEOF)
		}
		if p.size() > had {
			wait.Progress()
		}
		if !registry.Temporary(err) {
			return err
		}
		if !wait.Wait(ctx, err, 0) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
	}
	return nil
}

// take copies an answer that begins at start behind what p has.
func (f *fetcher) take(ctx context.Context, p *partial, b blob, body io.Reader, start int64) error {
	if skip := p.size() - start; skip > 0 {
		if _, err := io.CopyN(io.Discard, body, skip); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	buffer := make([]byte, copyBuffer)
	var reported time.Time
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := body.Read(buffer)
		if b.size >= 0 && p.size()+int64(n) > b.size {
			return tooLong(b, p.size()+int64(n))
		}
		if n > 0 {
			if _, err := p.Write(buffer[:n]); err != nil {
				if reserve.IsFull(err) {
					// Whoever frees space must find it freed.
					err = errors.Join(err, p.restart())
				}
				return fmt.Errorf("write blob %s: %w%w", b.digest, err, errOurs)
			}
			if now := time.Now(); b.name != "" && now.Sub(reported) >= progressInterval {
				reported = now
				f.report(message.Event{Kind: message.LayerProgress, Layer: b.name, Offset: p.size(), Size: b.size})
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func tooLong(b blob, n int64) error {
	return message.Fail(message.ErrInvalid, fmt.Sprintf("layer %s has %d bytes instead of %d", b.digest, n, b.size))
}

// small fetches a blob that is read whole, and checks its digest. name is the
// partial's; whole, asked once nobody else fetches it, says that it is not
// needed any more, and then nil is returned.
func (s *session) small(ctx context.Context, f *fetcher, b blob, whole func() bool) ([]byte, error) {
	if b.size > maxConfig {
		return nil, message.Fail(message.ErrInvalid, fmt.Sprintf("image configuration %s has %d bytes; %d are allowed", b.digest, b.size, maxConfig))
	}
	p, err := s.openPartial(ctx, b.digest.Encoded())
	if err != nil {
		return nil, err
	}
	if whole() {
		p.remove()
		return nil, nil
	}
	for {
		resumed := p.resumed > 0
		if err := f.fetch(ctx, p, b); err != nil {
			p.leave()
			return nil, err
		}
		data, err := readBlob(&follower{p: p}, b.digest)
		if err == nil {
			// It stays for those who wait for it; the image's record ends it.
			p.lock.Release()
			return data, nil
		}
		if !resumed {
			p.remove()
			return nil, err
		}
		if err := p.restart(); err != nil {
			p.remove()
			return nil, err
		}
	}
}
