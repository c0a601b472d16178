package build

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"skiff/build/dockerfile"
	"skiff/rootless"
	"skiff/storage"
	"skiff/storage/atomicfile"
	"skiff/storage/container"
	"skiff/storage/lock"
	"skiff/storage/temp"
)

// Names in the store's directory build/; see docs/state.md.
const (
	recordsDir = "records"
	layersDir  = "layers"
	parsedDir  = "parsed"
	contextDir = "context"
	mountsDir  = "mounts"
	usersLock  = "lock"
	anchorLock = "anchor"
	tidiedFile = "tidied"
	layerFile  = "layer.json"
	diffDir    = "diff"
)

// cacheVersion is the format of the records that this program writes. Others
// are not found.
const cacheVersion = 1

// Dir is the store's directory of the build cache.
func Dir(st *storage.Store) string { return filepath.Join(st.Dir, "build") }

// Begin lets the commands that start from now on join this process's user
// namespace: the network program serves one, and the steps' containers will be on
// the same network as all others. It is called once, before anything that takes
// long.
func Begin(st *storage.Store) error {
	defer rootless.EndTurn()
	if err := rootless.Await(); err != nil {
		return err
	}
	if err := os.Mkdir(Dir(st), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("open build cache: %w", err)
	}
	return lock.HoldAnchor(filepath.Join(Dir(st), anchorLock))
}

// cache remembers what steps made. Everything in it may vanish at any time: then
// it is made again.
type cache struct {
	st    *storage.Store
	dir   string
	users *lock.Lock
	// attempts is where files lie until they are published: what a kill leaves there
	// the next command sweeps. Nil until something is written.
	attempts *temp.Dir
	mu       sync.Mutex // of attempts and number; stages are built side by side
	number   int
}

// record says which layer the step with a key made.
type record struct {
	Version int
	Layer   string
	// Text is the instruction, for du.
	Text string `json:",omitempty"`
}

// layer is the result of one step.
type layer struct {
	Version int
	ID      string
	Created time.Time
	// DiffID and Store are known once the layer was published: its digest, and
	// its id in the store of images, where its files are from then on.
	DiffID string `json:",omitempty"`
	Store  string `json:",omitempty"`
	// Boot is when it was made. Files that were never published are not synced,
	// so that after a power cut they may be empty: only this boot's count.
	Boot string `json:",omitempty"`
	dir  string // absolute; where the files are
}

// openCache opens the cache for a build, which closes it: until then nobody
// removes what it uses.
func openCache(ctx context.Context, st *storage.Store) (*cache, error) {
	c := &cache{st: st, dir: Dir(st)}
	for _, dir := range []string{c.dir, c.path(recordsDir), c.path(layersDir)} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("open build cache: %w", err)
		}
	}
	var err error
	if c.users, err = lock.Shared(ctx, c.path(usersLock)); err != nil {
		return nil, fmt.Errorf("open build cache: %w", err)
	}
	return c, nil
}

func (c *cache) close() {
	c.dropAttempts()
	c.users.Release()
}

// dropAttempts ends what write needed; a later one begins anew.
func (c *cache) dropAttempts() {
	c.mu.Lock()
	defer c.mu.Unlock()
	// What stays is swept by the next command.
	_ = c.attempts.Remove()
	c.attempts = nil
}

func (c *cache) path(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}

// find returns the layer that a step with this key made, or nil.
func (c *cache) find(key string) *layer {
	var r record
	name := c.path(recordsDir, key)
	if !readJSON(name, &r) || r.Version != cacheVersion {
		return nil
	}
	l := c.layer(r.Layer)
	if l != nil {
		now := time.Now()
		_ = os.Chtimes(name, now, now) // when it was last of use
	}
	return l
}

// layer returns the layer with the id if its files are there, or nil.
func (c *cache) layer(id string) *layer {
	l := &layer{}
	if !readJSON(c.path(layersDir, id, layerFile), l) || l.Version != cacheVersion {
		return nil
	}
	l.dir = c.path(layersDir, id, diffDir)
	if l.Store != "" {
		stored := filepath.Join(c.st.Layers(), l.Store, "diff")
		if _, err := os.Lstat(stored); err == nil {
			l.dir = stored
			return l
		}
		l.Store = ""
	}
	if _, err := os.Lstat(l.dir); err != nil || l.Boot != container.BootID() {
		return nil
	}
	return l
}

// keep publishes the directory work, whose "diff" a step has filled, as a layer,
// and remembers it under the keys.
func (c *cache) keep(work, text string, created time.Time, keys ...string) (*layer, error) {
	l := &layer{Version: cacheVersion, ID: randomID(), Created: created, Boot: container.BootID()}
	if err := c.writeJSON(filepath.Join(work, layerFile), l); err != nil {
		return nil, err
	}
	if err := os.Rename(work, c.path(layersDir, l.ID)); err != nil {
		return nil, fmt.Errorf("keep layer: %w", err)
	}
	l.dir = c.path(layersDir, l.ID, diffDir)
	return l, c.remember(l, text, keys...)
}

// remember makes the keys mean the layer.
func (c *cache) remember(l *layer, text string, keys ...string) error {
	for _, key := range keys {
		if err := c.writeJSON(c.path(recordsDir, key), record{Version: cacheVersion, Layer: l.ID, Text: text}); err != nil {
			return err
		}
	}
	return nil
}

// published notes where the layer is in the store of images.
func (c *cache) published(l *layer) error {
	err := c.writeJSON(c.path(layersDir, l.ID, layerFile), l)
	if errors.Is(err, os.ErrNotExist) {
		return nil // pruned; nothing to note
	}
	return err
}

// created returns the time that the key was first asked for.
func (c *cache) created(key string, now time.Time) time.Time {
	var l layer
	name := c.path(recordsDir, key)
	if readJSON(name, &l) && l.Version == cacheVersion && !l.Created.IsZero() {
		return l.Created
	}
	_ = c.writeJSON(name, layer{Version: cacheVersion, Created: now})
	return now
}

func (c *cache) parsedName(q dockerfile.Question) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %v %s\n", parsedVersion, q.Triggers, programStamp())
	h.Write(q.Text)
	return hex.EncodeToString(h.Sum(nil))
}

// parsedVersion is the form of dockerfile.File.
const parsedVersion = 2

// programStamp tells one program from another: what an older parser made of a
// text is not what this one does.
func programStamp() string {
	var path string
	var err error
	if path, err = os.Readlink("/proc/self/exe"); err != nil {
		return ""
	}
	info, err := os.Stat("/proc/self/exe")
	if err != nil {
		return ""
	}
	return fmt.Sprint(path, info.Size(), info.ModTime().UnixNano())
}

func (c *cache) parsed(name string) *dockerfile.File {
	f := &dockerfile.File{}
	if !readJSON(c.path(parsedDir, name), f) {
		return nil
	}
	return f
}

func (c *cache) keepParsed(name string, f *dockerfile.File) {
	// A cache that cannot be written costs time, nothing else.
	_ = os.Mkdir(c.path(parsedDir), 0o700)
	_ = c.writeJSON(c.path(parsedDir, name), f)
}

func readJSON(name string, v any) bool {
	data, err := os.ReadFile(name)
	return err == nil && json.Unmarshal(data, v) == nil
}

func (c *cache) writeJSON(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.write(name, data)
}

// write publishes a file of the cache, not synced.
func (c *cache) write(name string, data []byte) error {
	attempt, err := c.attempt()
	if err != nil {
		return err
	}
	return atomicfile.WriteBy(attempt, name, data, 0o600, atomicfile.Volatile)
}

// attempt returns a new name for a file that is not published yet.
func (c *cache) attempt() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attempts == nil {
		work, err := temp.Make(context.Background(), c.st)
		if err != nil {
			return "", err
		}
		c.attempts = work
	}
	c.number++
	return filepath.Join(c.attempts.Path, "record-"+strconv.Itoa(c.number)), nil
}

func randomID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
