package server

import (
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"os"

	tarsplit "github.com/vbatts/tar-split/tar/storage"
	"golang.org/x/sys/unix"

	"skiff/storage/beneath"
	"skiff/storage/container/archive"
)

// maxHoles bounds what is remembered of one layer: a terabyte of alternating
// blocks is nobody's layer.
const maxHoles = 1 << 16

// hole is a run of zeros in a file of a layer.
type hole struct {
	name         string
	offset, size int64
}

// holes looks at the files of a layer as they pass by and remembers where they
// are zero: the library that unpacks them writes every byte. It is tar-split's
// FilePutter, so that it also takes the checksum that the record wants.
type holes struct {
	found  []hole
	buffer [archive.HoleSize]byte
}

// Put reads one file.
func (h *holes) Put(name string, r io.Reader) (int64, []byte, error) {
	sum := crc64.New(tarsplit.CRCTable)
	for size := int64(0); ; {
		n, err := io.ReadFull(r, h.buffer[:])
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return size, nil, err
		}
		sum.Write(h.buffer[:n])
		if n == len(h.buffer) && archive.Zero(h.buffer[:]) {
			h.note(name, size, int64(n))
		}
		if size += int64(n); end {
			return size, sum.Sum(nil), nil
		}
	}
}

func (h *holes) note(name string, offset, size int64) {
	if last := len(h.found) - 1; last >= 0 && h.found[last].name == name && h.found[last].offset+h.found[last].size == offset {
		h.found[last].size += size
		return
	}
	if len(h.found) < maxHoles {
		h.found = append(h.found, hole{name, offset, size})
	}
}

// dig gives back the room that the zeros take in the unpacked layer. The names
// are the archive's, and may mean another file by now: only what is zero is
// touched. It is an economy; where it cannot be done the file stays as it is.
func (h *holes) dig(dir string) {
	root, err := os.Open(dir)
	if err != nil {
		return
	}
	defer root.Close()
	for i := 0; i < len(h.found); {
		next := i + 1
		for next < len(h.found) && h.found[next].name == h.found[i].name {
			next++
		}
		h.digFile(int(root.Fd()), h.found[i:next])
		i = next
	}
}

// digFile digs the holes of one file.
func (h *holes) digFile(root int, found []hole) {
	fd, err := beneath.Open(root, found[0].name, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	var is unix.Stat_t
	if unix.Fstat(fd, &is) != nil || is.Mode&unix.S_IFMT != unix.S_IFREG || is.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
		return
	}
	// Changing a file's contents takes these from it.
	if n, err := unix.Fgetxattr(fd, "security.capability", nil); n > 0 || err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.EOPNOTSUPP) {
		return
	}
	for _, one := range found {
		if h.zero(fd, one) && unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, one.offset, one.size) != nil {
			break
		}
	}
	// The times are the layer's.
	_ = unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), []unix.Timespec{is.Atim, is.Mtim}, 0)
}

// zero reports whether a part of a file is zero.
func (h *holes) zero(fd int, part hole) bool {
	for at := part.offset; at < part.offset+part.size; {
		n, err := unix.Pread(fd, h.buffer[:min(int64(len(h.buffer)), part.offset+part.size-at)], at)
		if err != nil || n == 0 || !archive.Zero(h.buffer[:n]) {
			return false
		}
		at += int64(n)
	}
	return true
}
