package event

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sort"
	"syscall"
	"time"
)

// Read calls yield for every event that is kept in dir, oldest first, until it
// returns false. An absent record has no events.
func Read(dir string, yield func(Event) bool) error {
	_, err := read(dir, yield)
	return err
}

// read is Read; it returns the newest file, read to its end so far, nil when
// there is none or yield has had enough.
func read(dir string, yield func(Event) bool) (*tail, error) {
	// The newest file first: what is rotated meanwhile is still read, through
	// the open file.
	last, err := openTail(dir)
	if err != nil {
		return nil, err
	}
	var all []Event
	data, err := os.ReadFile(filepath.Join(dir, older))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		last.close()
		return nil, err
	}
	if last.rotated(filepath.Join(dir, older)) {
		data = nil // it is what we have open
	}
	for _, l := range bytes.Split(data, []byte("\n")) {
		if e, ok := parse(l); ok {
			all = append(all, e)
		}
	}
	for e := range last.lines() {
		all = append(all, e)
	}
	// Two processes may have written in another order than they looked at the clock.
	sort.SliceStable(all, func(i, j int) bool { return all[i].Time.Before(all[j].Time) })
	for _, e := range all {
		if !yield(e) {
			last.close()
			return nil, nil
		}
	}
	return last, nil
}

// Follow is Read that goes on with what happens next, until ctx is done, until
// is past (zero: never) or yield returns false. It sleeps in the kernel while
// nothing happens.
func Follow(ctx context.Context, dir string, until time.Time, yield func(Event) bool) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	watch := newWatch(dir)
	defer watch.close()
	last, err := read(dir, yield)
	if err != nil || last == nil {
		return err
	}
	defer func() { last.close() }()
	for {
		if watch.wait(ctx, until) {
			return nil
		}
		for e := range last.lines() {
			if !yield(e) {
				return nil
			}
		}
		if !last.replaced(dir) {
			continue
		}
		// Somebody may have appended between the last look and the rotation.
		for e := range last.lines() {
			if !yield(e) {
				return nil
			}
		}
		last.close()
		if last, err = openTail(dir); err != nil {
			last = &tail{}
			return err
		}
		for e := range last.lines() {
			if !yield(e) {
				return nil
			}
		}
	}
}

// tail is a file of the record that is read as it grows; without f it is empty.
type tail struct {
	f    *os.File
	part []byte // of a line that is not complete
}

func openTail(dir string) (*tail, error) {
	f, err := os.Open(filepath.Join(dir, newest))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return &tail{f: f}, nil
}

func (t *tail) close() {
	if t != nil && t.f != nil {
		t.f.Close()
		t.f = nil
	}
}

// lines yields the events behind what was read before.
func (t *tail) lines() func(func(Event) bool) {
	return func(yield func(Event) bool) {
		if t.f == nil {
			return
		}
		data, err := io.ReadAll(t.f)
		if err != nil && len(data) == 0 {
			return
		}
		t.part = append(t.part, data...)
		for {
			l, rest, ok := bytes.Cut(t.part, []byte("\n"))
			if !ok {
				break
			}
			t.part = rest
			if e, ok := parse(l); ok && !yield(e) {
				return
			}
		}
		t.part = bytes.Clone(t.part)
	}
}

// rotated reports whether the file is the one at path.
func (t *tail) rotated(path string) bool {
	if t.f == nil {
		return false
	}
	ours, err := t.f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(ours, there)
}

// replaced reports whether there is a newer file than this one.
func (t *tail) replaced(dir string) bool {
	if t.f == nil {
		return true
	}
	path := filepath.Join(dir, newest)
	_, err := os.Stat(path)
	return err == nil && !t.rotated(path)
}

// pollStep is how long a change may go unseen where the kernel tells nothing.
const pollStep = 200 * time.Millisecond

// watch tells that something in a directory has changed (inotify(7)), or where
// the user has no watch left that some time has passed.
type watch struct {
	f    *os.File
	told chan struct{}
}

func newWatch(dir string) *watch {
	w := &watch{told: make(chan struct{}, 1)}
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return w
	}
	if _, err := syscall.InotifyAddWatch(fd, dir, syscall.IN_MODIFY|syscall.IN_CREATE|syscall.IN_MOVED_TO); err != nil {
		syscall.Close(fd)
		return w
	}
	// Not blocking, so that the runtime's poller waits for it and closing ends it.
	w.f = os.NewFile(uintptr(fd), "inotify")
	go func() {
		buf := make([]byte, 4096)
		for {
			if _, err := w.f.Read(buf); err != nil {
				return
			}
			select {
			case w.told <- struct{}{}:
			default:
			}
		}
	}()
	return w
}

func (w *watch) close() {
	if w.f != nil {
		w.f.Close()
	}
}

// wait returns when something may have changed, and true when it is over.
func (w *watch) wait(ctx context.Context, until time.Time) bool {
	var end, step <-chan time.Time
	if !until.IsZero() {
		end = time.After(max(time.Until(until), 0))
	}
	if w.f == nil {
		step = time.After(pollStep)
	}
	select {
	case <-ctx.Done():
		return true
	case <-end:
		return true
	case <-w.told:
	case <-step:
	}
	return false
}
