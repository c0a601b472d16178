// Package logs reads what a container wrote (runtime/stage/logdriver wrote it
// down), forwards, from the end, and as it grows.
package logs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"skiff/runtime/stage/logdriver"
)

// Options choose what Read returns.
type Options struct {
	Follow bool
	// Tail is how many lines from the end to start with; negative is all.
	Tail         int
	Since, Until time.Time // zero: no bound
	// Ended reports that nothing will be written any more; Follow asks it after
	// each time it found nothing new.
	Ended func() bool
}

// pollStep is how often Follow looks for more, quickStep how soon it does after
// it found something.
const (
	quickStep = time.Millisecond
	pollStep  = 20 * time.Millisecond
)

// Read calls out with each piece of output of the container whose log is
// dir/log, oldest first: stream is logdriver.Stdout or Stderr, t when it was
// written. p is valid during the call only. A piece need not end at a line's
// end.
func Read(ctx context.Context, dir string, o Options, out func(stream byte, t time.Time, p []byte) error) error {
	path := filepath.Join(dir, "log")
	r := &reader{path: path, o: o, out: out}
	files, err := openAll(path)
	if err != nil {
		return err
	}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if len(files) == 0 {
		if !o.Follow {
			return nil
		}
		f, err := awaitFile(ctx, path, o.Ended)
		if f == nil {
			return err
		}
		files = append(files, f)
	}
	var t *trail
	if o.Follow {
		if t, err = newTrail(path, files[len(files)-1]); err != nil {
			return err
		}
		defer t.close()
	}
	start, skip, first, err := seekTail(files, o.Tail)
	if err != nil {
		return err
	}
	r.skip = skip
	if o.Follow {
		return end(r.followAll(ctx, t, files[first:], start))
	}
	for i := first; i < len(files); i++ {
		if _, err = r.pass(files[i], start); err != nil {
			return end(err)
		}
		start = 0
	}
	return nil
}

var errUntil = errors.New("until reached")

func end(err error) error {
	if errors.Is(err, errUntil) {
		return nil
	}
	return err
}

type reader struct {
	path string
	o    Options
	out  func(byte, time.Time, []byte) error
	skip int // lines of the first record to leave out
}

// pass gives out the whole records of f from pos on and returns where it
// stopped.
func (r *reader) pass(f *os.File, pos int64) (int64, error) {
	in := bufio.NewReaderSize(io.NewSectionReader(f, pos, 1<<62), 256<<10)
	var head [logdriver.HeadSize]byte
	var buf []byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return pos, nil // the end, or a record that is just being written
		}
		n := int(binary.LittleEndian.Uint32(head[:]))
		if n > logdriver.MaxPayload {
			return pos, fmt.Errorf("log %s is damaged at byte %d", f.Name(), pos)
		}
		if cap(buf) < n+logdriver.TailSize {
			buf = make([]byte, n+logdriver.TailSize)
		}
		buf = buf[:n+logdriver.TailSize]
		if _, err := io.ReadFull(in, buf); err != nil {
			return pos, nil
		}
		if [4]byte(buf[n:]) != [4]byte(head[:4]) {
			return pos, fmt.Errorf("log %s is damaged at byte %d", f.Name(), pos)
		}
		pos += int64(logdriver.HeadSize + n + logdriver.TailSize)
		if err := r.give(head[4], time.Unix(0, int64(binary.LittleEndian.Uint64(head[5:]))), buf[:n]); err != nil {
			return pos, err
		}
	}
}

func (r *reader) give(stream byte, t time.Time, p []byte) error {
	for ; r.skip > 0; r.skip-- {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		p = p[i+1:]
	}
	if !r.o.Since.IsZero() && t.Before(r.o.Since) || len(p) == 0 {
		return nil
	}
	if !r.o.Until.IsZero() && t.After(r.o.Until) {
		return errUntil
	}
	return r.out(stream, t, p)
}

// followAll gives out the files, of which the first begins at pos, and then what
// comes, also in the files that rotation starts.
func (r *reader) followAll(ctx context.Context, t *trail, files []*os.File, pos int64) error {
	last := len(files) - 1
	for _, f := range files[:last] {
		var err error
		t.during(func() { _, err = r.pass(f, pos) })
		if err != nil {
			return err
		}
		pos = 0
	}
	return r.follow(ctx, t, files[last], pos)
}

func (r *reader) follow(ctx context.Context, t *trail, f *os.File, pos int64) error {
	var own *os.File // f, when it is ours to close
	defer func() { own.Close() }()
	for pause := quickStep; ; pause = min(2*pause, pollStep) {
		// Asked before reading: what was written until then is read below.
		ended := r.o.Ended != nil && r.o.Ended()
		t.look()
		rotated := len(t.queue) > 0
		next, err := pos, error(nil)
		if grown(f, pos) {
			t.during(func() { next, err = r.pass(f, pos) })
		}
		if err != nil {
			return err
		}
		switch {
		case rotated:
			// Everything in the old file was written before the new one began.
			own.Close()
			own = t.next()
			f, pos, pause = own, 0, quickStep/2
			continue
		case next != pos:
			pos, pause = next, quickStep/2
			continue
		case ended:
			return nil
		case !r.o.Until.IsZero() && time.Now().After(r.o.Until):
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// grown reports whether there is anything in f behind pos.
func grown(f *os.File, pos int64) bool {
	info, err := f.Stat()
	return err != nil || info.Size() > pos
}

// openAll opens the log's files, oldest first. One that is rotated away
// meanwhile is found under its next name.
func openAll(path string) ([]*os.File, error) {
	var files []*os.File
	for i := 0; ; i++ {
		f, err := os.Open(logdriver.Rotated(path, i))
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("open log: %w", err)
		}
		if len(files) > 0 && same(f, files[0]) { // rotated between the two looks
			f.Close()
			continue
		}
		files = append([]*os.File{f}, files...)
	}
	return files, nil
}

func same(a, b *os.File) bool {
	ia, erra := a.Stat()
	ib, errb := b.Stat()
	return erra == nil && errb == nil && os.SameFile(ia, ib)
}

// seekTail finds where the last n lines begin: the file, the record in it, and
// how many lines of that record to skip.
func seekTail(files []*os.File, n int) (start int64, skip, first int, err error) {
	if n < 0 {
		return 0, 0, 0, nil
	}
	lines := 0
	open := true // the newest record may end without a newline: that is a line too
	for i := len(files) - 1; i >= 0; i-- {
		pos, err := lastRecord(files[i])
		if err != nil {
			return 0, 0, 0, err
		}
		if n == 0 {
			return pos, 0, i, nil
		}
		for pos > 0 {
			before, ok := logdriver.Before(files[i], pos)
			if !ok {
				return 0, 0, 0, fmt.Errorf("log %s is damaged at byte %d", files[i].Name(), pos)
			}
			payload := make([]byte, pos-before-logdriver.HeadSize-logdriver.TailSize)
			if _, err := files[i].ReadAt(payload, before+logdriver.HeadSize); err != nil {
				return 0, 0, 0, fmt.Errorf("read log: %w", err)
			}
			here := bytes.Count(payload, []byte{'\n'})
			if open && len(payload) > 0 {
				if payload[len(payload)-1] != '\n' {
					lines++
				}
				open = false
			}
			// A line that begins in an earlier record is complete only with the
			// newline before it.
			if lines+here > n {
				return before, lines + here - n, i, nil
			}
			lines += here
			pos = before
		}
	}
	return 0, 0, 0, nil
}

// lastRecord returns the end of the last whole record.
func lastRecord(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("read log: %w", err)
	}
	if _, ok := logdriver.Before(f, info.Size()); ok || info.Size() == 0 {
		return info.Size(), nil
	}
	var pos int64
	for {
		n, ok := logdriver.After(f, pos)
		if !ok {
			return pos, nil
		}
		pos += n
	}
}

// awaitFile waits for the first file of a container that has not said anything.
func awaitFile(ctx context.Context, path string, ended func() bool) (*os.File, error) {
	for {
		over := ended != nil && ended()
		f, err := os.Open(path)
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return f, err
		}
		if over {
			return nil, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(pollStep):
		}
	}
}
