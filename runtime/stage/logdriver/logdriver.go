// Package logdriver keeps what a container writes, byte for byte. A record is
//
//	length uint32 | kind uint8 | time int64 (ns) | payload | length uint32
//
// little endian; kind 1 is standard output, 2 standard error. The length is
// that of the payload and stands at both ends, so that a reader may go through
// the file from either. A record that a crash cut off is not there.
//
// Docker's json-file escapes bytes that are not UTF-8 away; this does not.
package logdriver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
)

// Sizes of what goes around a payload, in bytes.
const (
	HeadSize = 13
	TailSize = 4
)

// MaxPayload bounds one record.
const MaxPayload = 1 << 20

// The kinds of records.
const (
	Stdout byte = 1
	Stderr byte = 2
)

// Writer appends records and rotates files. It is not safe for concurrent use.
type Writer struct {
	cfg  message.Log
	file *os.File
	size int64
	// journal is nil without one, or when it is not there.
	journal *journal
}

// New returns the writer of a container's log, which it continues. The file is
// opened with the first record: many containers say nothing.
func New(cfg message.Log) *Writer { return &Writer{cfg: cfg} }

// open continues the file. A half record at its end, which a power cut left, is
// cut off.
func (w *Writer) open() error {
	f, err := os.OpenFile(w.cfg.Path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	if w.size, err = end(f); err == nil {
		_, err = f.Seek(w.size, 0)
	}
	if err == nil {
		err = f.Truncate(w.size)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("open log: %w", err)
	}
	w.file = f
	return nil
}

// Write appends one record; p is at most MaxPayload.
func (w *Writer) Write(kind byte, now time.Time, p []byte) error {
	if w.cfg.Path == "" || len(p) == 0 {
		return nil
	}
	if w.file == nil {
		if err := w.open(); err != nil {
			return err
		}
		if w.cfg.Journal != "" {
			w.journal, _ = openJournal(w.cfg.Journal, w.cfg.Fields) // start made sure of it
		}
	}
	if w.journal != nil {
		w.journal.write(kind, p)
	}
	total := int64(len(p) + HeadSize + TailSize)
	if w.cfg.MaxSize > 0 && w.size > 0 && w.size+total > w.cfg.MaxSize {
		if err := w.rotate(); err != nil {
			return err
		}
	}
	var head [HeadSize]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(p)))
	head[4] = kind
	binary.LittleEndian.PutUint64(head[5:], uint64(now.UnixNano()))
	n, err := unix.Writev(int(w.file.Fd()), [][]byte{head[:], p, head[:4]})
	if err == nil && int64(n) == total {
		w.size += total
		return nil
	}
	if err == nil {
		err = unix.ENOSPC
	}
	// Half a record would hide all that follow.
	if terr := w.file.Truncate(w.size); terr == nil {
		_, _ = w.file.Seek(w.size, 0)
	}
	return fmt.Errorf("write log: %w", err)
}

// Close closes the file.
func (w *Writer) Close() error {
	if w.journal != nil {
		w.journal.close()
	}
	if w.file == nil {
		return nil
	}
	return w.file.Close()
}

// rotate shifts log -> log.1 -> log.2 ... and drops the oldest. A reader that
// has the file open keeps reading it; one that follows is waited for.
func (w *Writer) rotate() error {
	files := max(w.cfg.MaxFile, 1)
	if files == 1 {
		if err := os.Remove(w.cfg.Path); err != nil {
			return fmt.Errorf("rotate log: %w", err)
		}
	} else if f, err := os.OpenFile(Rotated(w.cfg.Path, files-1), os.O_RDONLY|unix.O_NOFOLLOW, 0); err == nil {
		awaitFollowers(f)
		f.Close()
	}
	for i := files - 1; i >= 1; i-- {
		err := os.Rename(Rotated(w.cfg.Path, i-1), Rotated(w.cfg.Path, i))
		if err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("rotate log: %w", err)
		}
	}
	f, err := os.OpenFile(w.cfg.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	if files == 1 {
		awaitFollowers(w.file)
	}
	w.file.Close()
	w.file, w.size = f, 0
	return nil
}

// followerWait bounds how long a rotation waits for followers, once for each
// that does not look any more.
const followerWait = time.Second

// awaitFollowers returns when no follower of the log knows f as the newest file
// (see Follow): what comes after f may be dropped only then.
func awaitFollowers(f *os.File) {
	for begun := time.Now(); time.Since(begun) < followerWait; time.Sleep(200 * time.Microsecond) {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// Follow says for a reader that it has open every file of the log up to newest,
// and none that is newer: rotation waits a while for it to look further rather than
// drop a file that it has not seen. before is what it said last, or nil.
func Follow(newest, before *os.File) {
	for errors.Is(unix.Flock(int(newest.Fd()), unix.LOCK_SH), unix.EINTR) {
	}
	if before != nil {
		_ = unix.Flock(int(before.Fd()), unix.LOCK_UN) // closed meanwhile: it holds nothing
	}
}

// Rotated is the name of the i-th older file of a log; 0 is the log itself.
func Rotated(path string, i int) string {
	if i == 0 {
		return path
	}
	return fmt.Sprintf("%s.%d", path, i)
}

// end returns the offset behind the last whole record. Looking at the last
// length first makes that quick for a log that was closed well.
func end(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	size := info.Size()
	if size == 0 {
		return 0, nil
	}
	if start, ok := Before(f, size); ok && start >= 0 {
		return size, nil
	}
	var pos int64
	for {
		n, ok := After(f, pos)
		if !ok {
			return pos, nil
		}
		pos += n
	}
}

// Before returns the offset of the record that ends at pos, and whether one
// does.
func Before(f *os.File, pos int64) (start int64, ok bool) {
	var b [4]byte
	if pos < HeadSize+TailSize {
		return 0, false
	}
	if _, err := f.ReadAt(b[:], pos-TailSize); err != nil {
		return 0, false
	}
	start = pos - int64(binary.LittleEndian.Uint32(b[:])) - HeadSize - TailSize
	if start < 0 {
		return 0, false
	}
	n, ok := After(f, start)
	return start, ok && start+n == pos
}

// After returns the length of the whole record that starts at pos, and whether
// one does.
func After(f *os.File, pos int64) (total int64, ok bool) {
	var head, tail [4]byte
	if _, err := f.ReadAt(head[:], pos); err != nil {
		return 0, false
	}
	n := int64(binary.LittleEndian.Uint32(head[:]))
	if n > MaxPayload {
		return 0, false
	}
	if _, err := f.ReadAt(tail[:], pos+HeadSize+n); err != nil || tail != head {
		return 0, false
	}
	return n + HeadSize + TailSize, true
}
