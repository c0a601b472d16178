package server

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	// reserveFile keeps some space of the store's file system, so that on a full
	// one the records can still be rewritten, which is what deleting takes.
	reserveFile = "reserve"
	// minReserve is its least size in bytes.
	minReserve = 1 << 20
	// reserveFactor is how often the records fit into it: each removal writes
	// several of them anew, and a file system gives freed blocks back late.
	reserveFactor = 4
)

// reserveSize is what deleting may need: a few times the records.
func (s *session) reserveSize() int64 {
	size := int64(0)
	for _, name := range []string{"overlay-images/images.json", "overlay-layers/layers.json"} {
		if info, err := os.Stat(filepath.Join(s.st.Graph(), name)); err == nil {
			size += info.Size()
		}
	}
	return max(minReserve, reserveFactor*size)
}

// useReserve lets go of the reserve if the file system is full, until
// fillReserve.
func (s *session) useReserve() {
	var fs unix.Statfs_t
	if err := unix.Statfs(s.st.Dir, &fs); err != nil || int64(fs.Bavail)*fs.Bsize > s.reserveSize() {
		return
	}
	// If it cannot be removed, what follows says what is wrong.
	_ = os.Remove(s.reservePath())
}

// fillReserve sets space aside, if there is some and it is not done yet. A file
// system that is full, or that cannot do it, goes without.
func (s *session) fillReserve() {
	want := s.reserveSize()
	path := s.reservePath()
	info, err := os.Stat(path)
	if err == nil && info.Size() >= want || err != nil && !errors.Is(err, os.ErrNotExist) {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, want); err != nil {
		// Half of it is no use to us, and may be to somebody else.
		_ = os.Remove(path)
	}
}

func (s *session) reservePath() string { return filepath.Join(s.st.Dir, reserveFile) }
