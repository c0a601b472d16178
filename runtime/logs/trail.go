package logs

import (
	"fmt"
	"os"
	"slices"
	"time"

	"skiff/runtime/stage/logdriver"
)

// watchStep is how often a reader that has something to read looks whether the
// log was rotated; maxAhead bounds how many files it holds for later, and with
// them the room on the disk that rotation cannot give back.
const (
	watchStep = 2 * time.Millisecond
	maxAhead  = 256
)

// trail are the files that rotation started after the one that is read, held
// open: a program that writes fast rotates them away before a reader comes to
// them. It is not safe for concurrent use.
type trail struct {
	path   string
	known  *os.File    // the newest that is held, or is being read
	newest os.FileInfo // of known
	queue  []*os.File  // oldest first
}

// newTrail begins behind newest, the log's newest file, which stays the caller's
// to close.
func newTrail(path string, newest *os.File) (*trail, error) {
	info, err := newest.Stat()
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	logdriver.Follow(newest, nil)
	return &trail{path: path, known: newest, newest: info}, nil
}

// look opens the files that are newer than all it knows.
func (t *trail) look() {
	if len(t.queue) >= maxAhead {
		return
	}
	for try := 1; ; try++ {
		fresh, infos, whole := t.scan()
		if !whole && try < scanTries {
			// Perhaps the oldest that is known was deleted just now.
			closeFiles(fresh)
			continue
		}
		if len(fresh) > 0 {
			logdriver.Follow(fresh[0], t.known)
			t.known, t.newest = fresh[0], infos[0]
		}
		slices.Reverse(fresh)
		t.queue = append(t.queue, fresh...)
		return
	}
}

// scanTries is how often look tries to find what it knows.
const scanTries = 3

// scan opens the newer files, newest first; whole says that there was none
// between them and those that are known.
func (t *trail) scan() (fresh []*os.File, infos []os.FileInfo, whole bool) {
	missing := 0
	for i := 0; ; i++ {
		f, err := os.Open(logdriver.Rotated(t.path, i))
		if err != nil {
			// Rotation renames from the oldest on: one name at a time is missing.
			if missing++; missing == 2 {
				return fresh, infos, false
			}
			continue
		}
		missing = 0
		info, err := f.Stat()
		if err == nil && os.SameFile(info, t.newest) {
			f.Close()
			return fresh, infos, true
		}
		if n := len(infos); err != nil || n > 0 && os.SameFile(info, infos[n-1]) {
			f.Close() // rotated between the two looks
			continue
		}
		fresh, infos = append(fresh, f), append(infos, info)
	}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// during looks again and again while do runs.
func (t *trail) during(do func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(watchStep)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				t.look()
			}
		}
	}()
	do()
	close(stop)
	<-done
}

// next takes the oldest file that is held, nil when there is none.
func (t *trail) next() *os.File {
	if len(t.queue) == 0 {
		return nil
	}
	f := t.queue[0]
	t.queue = t.queue[1:]
	return f
}

// close gives up what was not read.
func (t *trail) close() {
	closeFiles(t.queue)
	t.queue = nil
}
