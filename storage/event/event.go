// Package event is the record of what happened to containers, images, volumes
// and networks: what `events` prints. There is no daemon that could tell it, so
// every process that changes something appends one line to a file that all
// share. The record is a convenience and never a truth: a full disk loses
// events and fails no command, nothing is synced, and only the newest are kept.
// Standard library only, because the monitor links it.
package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The types of docker's that we have.
const (
	Container = "container"
	Image     = "image"
	Volume    = "volume"
	Network   = "network"
	Daemon    = "daemon"
)

// Event is one thing that happened. The short JSON names are those of the
// lines on disk.
type Event struct {
	Time   time.Time `json:"-"`
	Type   string    `json:"y"`
	Action string    `json:"a"` // docker's word: create, die, "exec_start: sh"
	ID     string    `json:"i"` // of the actor; an image's or a volume's name
	// Attributes are docker's: name, image, exitCode, labels, ...
	Attributes map[string]string `json:"m,omitempty"`
}

// Pruned is the event of a prune that has freed so many bytes.
func Pruned(of string, freed int64) Event {
	return Event{Type: of, Action: "prune", Attributes: map[string]string{"reclaimed": strconv.FormatInt(freed, 10)}}
}

// line is an event on disk.
type line struct {
	Nano int64 `json:"t"` // nanoseconds since the epoch
	Event
}

const (
	newest = "log"
	older  = "log.1"
	// limit is the size in bytes at which the newest file becomes the older one,
	// which it replaces: both together are what is kept.
	limit = 1 << 20
	// longest is the size in bytes of the longest line; an event with more loses
	// the attributes that are labels or whatever else makes it so long.
	longest = 32 << 10
)

// Append records events at the end of the record in dir, which is made when
// it is absent. An event without Time happened now. It never fails: nobody's
// container is stopped because a record could not be written. The lines of one
// call stay together. Safe for any number of processes at once.
func Append(dir string, events ...Event) {
	if dir == "" || len(events) == 0 {
		return
	}
	var b bytes.Buffer
	for _, e := range events {
		if e.Time.IsZero() {
			e.Time = time.Now()
		}
		data, err := json.Marshal(line{e.Time.UnixNano(), e})
		if len(data) > longest {
			e.Attributes = shortened(e.Attributes)
			data, err = json.Marshal(line{e.Time.UnixNano(), e})
		}
		if err != nil || len(data) > longest {
			continue
		}
		// The newline in front ends what a full disk may have cut short.
		b.WriteByte('\n')
		b.Write(data)
		b.WriteByte('\n')
	}
	path := filepath.Join(dir, newest)
	fd, err := open(path)
	if errors.Is(err, syscall.ENOENT) {
		if os.Mkdir(dir, 0o700) != nil && !exists(dir) {
			return
		}
		fd, err = open(path)
	}
	if err != nil {
		return
	}
	defer syscall.Close(fd)
	// One write: the kernel keeps the appends of several processes apart.
	if _, err := syscall.Write(fd, b.Bytes()); err != nil {
		return
	}
	if end, err := syscall.Seek(fd, 0, 1); err == nil && end > limit {
		rotate(dir, fd)
	}
}

func open(path string) (int, error) {
	for {
		fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_APPEND|syscall.O_CREAT|syscall.O_CLOEXEC|syscall.O_NOFOLLOW, 0o600)
		if err != syscall.EINTR {
			return fd, err
		}
	}
}

func exists(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}

// rotate makes the newest file, open as fd, the older one, unless another
// process has done so or is at it.
func rotate(dir string, fd int) {
	if syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return
	}
	path := filepath.Join(dir, newest)
	var ours, there syscall.Stat_t
	if syscall.Fstat(fd, &ours) != nil || syscall.Lstat(path, &there) != nil || ours.Ino != there.Ino {
		return
	}
	_ = os.Rename(path, filepath.Join(dir, older))
}

// shortened leaves only short attributes, and few of them.
func shortened(all map[string]string) map[string]string {
	few := map[string]string{}
	for _, key := range []string{"name", "image", "exitCode", "signal", "container", "execID"} {
		if v, ok := all[key]; ok && len(v) < 1<<10 {
			few[key] = v
		}
	}
	return few
}

// parse reads a line; ok is false for what is none.
func parse(data []byte) (e Event, ok bool) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return e, false
	}
	var l line
	if json.Unmarshal(data, &l) != nil || l.Nano == 0 || l.Type == "" {
		return e, false
	}
	l.Time = time.Unix(0, l.Nano)
	return l.Event, true
}

// Verb is the action without what is behind the colon: "exec_start" of
// "exec_start: sh -c true".
func (e *Event) Verb() string {
	verb, _, _ := strings.Cut(e.Action, ":")
	return verb
}
