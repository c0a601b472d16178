package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"skiff/storage/lock"
)

const (
	// partialDir, below the store's cache, has the blobs that are being fetched,
	// and the parts of those whose transfer broke.
	partialDir = "partial"
	// maxPartials is how many bytes broken transfers may leave for the next
	// pull to go on with, and partialAge how long.
	maxPartials = 1 << 30
	partialAge  = 7 * 24 * time.Hour
)

// partial is a blob on its way from a registry: a file that grows. Whoever
// fetches holds its lock, so that a blob is fetched once however many processes
// want it. What a dead process fetched is still there, and the next one goes on
// behind it.
type partial struct {
	path string
	lock *lock.Lock
	// resumed is how much an earlier process had fetched.
	resumed int64

	mu    sync.Mutex
	grown *sync.Cond
	n     int64
	ended bool
	err   error // why the blob ended, nil if it is whole
}

// openPartial waits until nobody else fetches what name stands for.
func (s *session) openPartial(ctx context.Context, name string) (*partial, error) {
	dir := filepath.Join(s.st.Cache(), partialDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("fetch blob: %w", err)
	}
	path := filepath.Join(dir, name)
	for {
		held, err := lock.Exclusive(ctx, path)
		if err != nil {
			return nil, fmt.Errorf("fetch blob: %w", err)
		}
		mine, err := held.File().Stat()
		if err != nil {
			held.Release()
			return nil, fmt.Errorf("fetch blob: %w", err)
		}
		// Whoever was before us may have removed the file that we waited for.
		if there, err := os.Lstat(path); err == nil && os.SameFile(mine, there) {
			p := &partial{path: path, lock: held, resumed: mine.Size(), n: mine.Size()}
			p.grown = sync.NewCond(&p.mu)
			return p, nil
		}
		held.Release()
	}
}

// remove ends the work with the file for good. It is safe on nil.
func (p *partial) remove() {
	if p == nil {
		return
	}
	// A file that stays is one that the next pull finds.
	_ = os.Remove(p.path)
	p.lock.Release()
}

// forgetPartial removes a blob that stayed for those who waited for it.
func (s *session) forgetPartial(name string) {
	_ = os.Remove(filepath.Join(s.st.Cache(), partialDir, name))
}

// leave lets the next process go on. An empty file is of no use to it.
func (p *partial) leave() {
	if p == nil {
		return
	}
	if info, err := p.lock.File().Stat(); err == nil && info.Size() == 0 {
		p.remove()
		return
	}
	p.lock.Release()
}

// restart throws away what is there.
func (p *partial) restart() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n, p.resumed, p.ended, p.err = 0, 0, false, nil
	if err := p.lock.File().Truncate(0); err != nil {
		return fmt.Errorf("fetch blob: %w", err)
	}
	return nil
}

// size is how many bytes are there.
func (p *partial) size() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// Write puts data behind what is there.
func (p *partial) Write(data []byte) (int, error) {
	n, err := p.lock.File().WriteAt(data, p.size())
	p.mu.Lock()
	p.n += int64(n)
	p.mu.Unlock()
	p.grown.Broadcast()
	return n, err
}

// end says that nothing more comes, with nil for a whole blob.
func (p *partial) end(err error) {
	p.mu.Lock()
	p.ended, p.err = true, err
	p.mu.Unlock()
	p.grown.Broadcast()
}

// ReadAt reads what is there and waits for what is still to come; at the end of
// a blob that could not be had it returns why.
func (p *partial) ReadAt(data []byte, offset int64) (int, error) {
	p.mu.Lock()
	for offset >= p.n && !p.ended {
		p.grown.Wait()
	}
	n, err := p.n, p.err
	p.mu.Unlock()
	if offset >= n {
		if err == nil {
			err = io.EOF
		}
		return 0, err
	}
	return p.lock.File().ReadAt(data[:min(int64(len(data)), n-offset)], offset)
}

// follower reads a partial from its beginning as it grows.
type follower struct {
	p      *partial
	offset int64
}

func (f *follower) Read(data []byte) (int, error) {
	if len(data) == 0 {
		return 0, nil
	}
	n, err := f.p.ReadAt(data, f.offset)
	f.offset += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// trimPartials deletes parts that nobody fetches any more: those that are old,
// and of the rest as many as are over limit bytes, oldest first.
func (s *session) trimPartials(limit int64) error {
	dir := filepath.Join(s.st.Cache(), partialDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var files []os.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			files = append(files, info)
		}
	}
	sort.Slice(files, func(i, k int) bool { return files[i].ModTime().After(files[k].ModTime()) })
	var kept int64
	for _, f := range files {
		// What it occupies counts, not how far it reaches.
		if kept += f.Size(); kept <= limit && time.Since(f.ModTime()) < partialAge {
			continue
		}
		held, err := lock.TryExclusive(filepath.Join(dir, f.Name()))
		if err != nil {
			continue // somebody fetches it
		}
		err = os.Remove(filepath.Join(dir, f.Name()))
		held.Release()
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}
