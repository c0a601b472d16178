package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"skiff/storage/atomicfile"
	"skiff/storage/image"
	"skiff/storage/temp"
)

// Each table of containers/storage's records has a copy beside it, which the
// courier makes when it has changed the table. It serves two ends: the table can
// be put back, names of images included, and a byte of it that flips is noticed,
// which the library's format has no means for.

// copyVersion is the format of a copy: a line of JSON, then the table.
const copyVersion = 1

// copyHead is the first line of a copy. The library publishes a table by rename,
// so that a file is the one that was copied if it has its inode and its birth; if
// it has not, somebody was killed before the next copy.
type copyHead struct {
	Version int
	Inode   uint64
	Born    int64 // nanoseconds after 1970; 0 where the file system does not say
	Check   uint32
}

func (s *session) copyPath(t table) string {
	return filepath.Join(s.st.Graph(), t.dir, image.CopyFile)
}

// readTable returns a table and what its file is told from its successor by. An
// absent one is nil. The latter is known of a damaged one, too.
func (s *session) readTable(t table) (data []byte, of copyHead, err error) {
	f, err := os.Open(s.path(t))
	if err != nil {
		// Whether it should be there is known there.
		data, err = image.ReadTable(s.path(t))
		return data, copyHead{}, err
	}
	defer f.Close()
	var st unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_BTIME|unix.STATX_SIZE, &st); err != nil {
		return nil, copyHead{}, err
	}
	// The file that was opened, whatever has its name by now.
	data = make([]byte, st.Size)
	if _, err = io.ReadFull(f, data); err != nil {
		return nil, copyHead{}, err
	}
	of = headOf(&st)
	of.Check = crc32.ChecksumIEEE(data)
	return data, of, image.CheckTable(s.path(t), data)
}

// headOf is the head of a table's copy without its checksum.
func headOf(st *unix.Statx_t) copyHead {
	h := copyHead{Version: copyVersion, Inode: st.Ino}
	if st.Mask&unix.STATX_BTIME != 0 {
		h.Born = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return h
}

// same reports whether two heads are of one file.
func (h copyHead) same(other copyHead) bool { return h.Inode == other.Inode && h.Born == other.Born }

// copyTables copies the tables that are not those that were copied last. A copy
// that cannot be made now is made by the next courier.
func (s *session) copyTables() {
	var both sync.WaitGroup
	for _, t := range []table{imageTable, layerTable} {
		both.Go(func() { _ = s.copyTable(t) })
	}
	both.Wait()
}

func (s *session) copyTable(t table) (err error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, s.path(t), 0, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return err
	}
	if head, err := readCopyHead(s.copyPath(t)); err == nil && head.same(headOf(&st)) {
		return nil
	}
	data, now, err := s.readTable(t)
	if err != nil || data == nil {
		return err
	}
	line, err := json.Marshal(now)
	if err != nil {
		return err
	}
	work := s.temp
	if work == nil {
		if work, err = temp.Make(context.Background(), s.st); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, work.Remove()) }()
	}
	return atomicfile.WriteBy(filepath.Join(work.Path, t.name+".copy"), s.copyPath(t), append(append(line, '\n'), data...), 0o600, atomicfile.Volatile)
}

func readCopyHead(path string) (copyHead, error) {
	f, err := os.Open(path)
	if err != nil {
		return copyHead{}, err
	}
	defer f.Close()
	var head copyHead
	line := make([]byte, 256)
	n, _ := f.Read(line)
	line, _, whole := bytes.Cut(line[:n], []byte{'\n'})
	if err := json.Unmarshal(line, &head); err != nil || !whole || head.Version != copyVersion {
		return copyHead{}, errors.Join(err, errors.New("no copy"))
	}
	return head, nil
}

// readCopy returns what was copied last, nil when there is none that is whole.
func (s *session) readCopy(t table) (copyHead, []byte) {
	data, err := os.ReadFile(s.copyPath(t))
	if err != nil {
		return copyHead{}, nil
	}
	line, records, whole := bytes.Cut(data, []byte{'\n'})
	var head copyHead
	if !whole || json.Unmarshal(line, &head) != nil || head.Version != copyVersion || crc32.ChecksumIEEE(records) != head.Check {
		return copyHead{}, nil
	}
	return head, records
}

// intact returns *atomicfile.DamagedError for a table that is not as it was
// written.
func (s *session) intact(t table) error {
	_, err := s.soundTable(t)
	return err
}

// soundTable is readTable of one that is as it was written, as far as is known.
func (s *session) soundTable(t table) ([]byte, error) {
	data, now, err := s.readTable(t)
	if err != nil || data == nil {
		return nil, err
	}
	head, err := readCopyHead(s.copyPath(t))
	if err == nil && head.same(now) && head.Check != now.Check {
		return nil, &atomicfile.DamagedError{Path: s.path(t), Reason: "its contents do not have the checksum that they were written with"}
	}
	return data, nil
}
