package build

import (
	"bytes"
	"encoding/binary"
	"os"
	"sync"
	"time"
)

// young is the age from which on a file is remembered: a younger one could
// change without its times changing.
const young = 2 * time.Second

// sumSize is the length of a record: device, inode, size, modification and
// change time, and a SHA-256.
const sumSize = 5*8 + 32

// sums remembers the digests of a context's files by what stat(2) says.
type sums struct {
	cache   *cache
	name    string
	known   map[[sumSize - 32]byte][32]byte
	used    map[[sumSize - 32]byte][32]byte
	now     time.Time
	changed bool
	mu      sync.Mutex // of the maps; stages are built side by side
}

func (c *cache) sums(context string) *sums {
	s := &sums{
		cache: c, name: c.path(contextDir, keyOf(context)), now: time.Now(),
		known: map[[sumSize - 32]byte][32]byte{}, used: map[[sumSize - 32]byte][32]byte{},
	}
	data, err := os.ReadFile(s.name)
	if err != nil {
		return s
	}
	for len(data) >= sumSize {
		s.known[[sumSize - 32]byte(data)] = [32]byte(data[sumSize-32:])
		data = data[sumSize:]
	}
	return s
}

func identity(e *entry) (id [sumSize - 32]byte) {
	b := binary.LittleEndian
	b.PutUint64(id[0:], e.dev)
	b.PutUint64(id[8:], e.ino)
	b.PutUint64(id[16:], uint64(e.size))
	b.PutUint64(id[24:], uint64(e.mtime.Nano()))
	b.PutUint64(id[32:], uint64(e.ctime.Nano()))
	return id
}

func (s *sums) get(e *entry) []byte {
	id := identity(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	sum, ok := s.known[id]
	if !ok {
		return nil
	}
	s.used[id] = sum
	return sum[:]
}

func (s *sums) put(e *entry, sum []byte) {
	if s.now.Sub(time.Unix(0, e.ctime.Nano())) < young {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used[identity(e)] = [32]byte(sum)
	s.changed = true
}

// save keeps what this build has used. It is a cache: that it cannot be written
// is no failure.
func (s *sums) save() {
	if !s.changed && len(s.used) == len(s.known) {
		return
	}
	var out bytes.Buffer
	for id, sum := range s.used {
		out.Write(id[:])
		out.Write(sum[:])
	}
	dir := s.name[:len(s.name)-len("/")-64]
	_ = os.Mkdir(dir, 0o700)
	_ = s.cache.write(s.name, out.Bytes())
}
