package build

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/storage"
	"skiff/storage/lock"
)

// Entry is one thing that the build cache holds.
type Entry struct {
	ID   string
	Kind string // regular, or exec.cachemount
	Text string // the instruction, or the id of the cache mount
	// Size is in bytes; Shared says that the files are an image's, and that
	// deleting the entry frees nothing.
	Size          int64
	Shared        bool
	Created, Used time.Time
}

// Usage lists what the build cache holds, the least recently used first.
func Usage(st *storage.Store) ([]Entry, error) {
	if err := rootless.Await(); err != nil {
		return nil, err
	}
	c := &cache{st: st, dir: Dir(st)}
	return c.entries()
}

func (c *cache) entries() ([]Entry, error) {
	records, err := os.ReadDir(c.path(recordsDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read build cache: %w", err)
	}
	texts, used := map[string]string{}, map[string]time.Time{}
	for _, r := range records {
		var rec record
		info, err := r.Info()
		if err != nil || !readJSON(c.path(recordsDir, r.Name()), &rec) || rec.Layer == "" {
			continue
		}
		texts[rec.Layer] = rec.Text
		if info.ModTime().After(used[rec.Layer]) {
			used[rec.Layer] = info.ModTime()
		}
	}
	var all []Entry
	dirs, err := os.ReadDir(c.path(layersDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read build cache: %w", err)
	}
	for _, d := range dirs {
		e := Entry{ID: d.Name(), Kind: "regular", Text: texts[d.Name()], Used: used[d.Name()]}
		if l := c.layer(d.Name()); l != nil {
			e.Created, e.Shared = l.Created, l.Store != ""
			e.Size = treeSize(l.dir)
		}
		all = append(all, e)
	}
	mounts, err := os.ReadDir(c.path(mountsDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read build cache: %w", err)
	}
	for _, d := range mounts {
		if !d.IsDir() {
			continue
		}
		e := Entry{ID: d.Name(), Kind: "exec.cachemount", Size: treeSize(c.path(mountsDir, d.Name()))}
		if id, err := os.ReadFile(c.path(mountsDir, d.Name()) + ".id"); err == nil {
			e.Text = string(id)
		}
		if info, err := os.Stat(c.path(mountsDir, d.Name()) + ".lock"); err == nil {
			e.Used, e.Created = info.ModTime(), info.ModTime()
		}
		all = append(all, e)
	}
	slices.SortStableFunc(all, func(a, b Entry) int { return a.Used.Compare(b.Used) })
	return all, nil
}

// treeSize is the sum of the sizes of the files in a directory, in bytes; a file
// with several links counts once.
func treeSize(dir string) int64 {
	var sum int64
	seen := map[uint64]bool{}
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil // it went meanwhile
		}
		if sys, ok := info.Sys().(*syscall.Stat_t); ok && sys.Nlink > 1 {
			if seen[sys.Ino] {
				return nil
			}
			seen[sys.Ino] = true
		}
		sum += info.Size()
		return nil
	})
	return sum
}

const (
	// budgetShare is the part of its file system that the cache may fill, as
	// docker's: one in so many.
	budgetShare = 10
	// tidyEvery is how often a build looks whether it does.
	tidyEvery = 24 * time.Hour
)

// tidy keeps the cache within its budget: what was used longest ago goes, and what
// a power cut may have damaged. A build that made something calls it, once a day,
// and not while another one works.
func (c *cache) tidy(now time.Time) error {
	marker := c.path(tidiedFile)
	if info, err := os.Stat(marker); err == nil && now.Sub(info.ModTime()) < tidyEvery {
		return nil
	}
	held, err := lock.TryExclusive(c.path(usersLock))
	if errors.Is(err, lock.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	defer held.Release()
	defer c.dropAttempts()
	if err := c.write(marker, nil); err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(c.dir, &fs); err != nil {
		return err
	}
	return c.shrink(int64(fs.Blocks) * fs.Bsize / budgetShare)
}

// shrink deletes what is of no use, then the oldest until the rest takes no more
// than budget bytes. The caller has the cache for itself.
func (c *cache) shrink(budget int64) error {
	all, err := c.entries()
	if err != nil {
		return err
	}
	var total int64
	for _, e := range all {
		if !e.Shared {
			total += e.Size
		}
	}
	for i := range all {
		e := &all[i]
		lost := e.Kind == "regular" && c.layer(e.ID) == nil
		if !lost && (e.Shared || total <= budget) {
			continue
		}
		if err := c.remove(e); err != nil {
			return err
		}
		total -= e.Size
	}
	return c.sweepRecords()
}

// Pruning says what to delete from the build cache.
type Pruning struct {
	All   bool      // what images have taken over, and what was parsed, too
	Until time.Time // only what was last used before; zero is any
	Keep  int64     // bytes that may stay
}

// ErrInUse says that a build runs: it may stand on anything in the cache.
var ErrInUse = errors.New("the build cache is in use by a build that runs: nothing was removed from it, repeat this when that has ended")

// Prune deletes what p lets go, unless a build runs (ErrInUse), and returns the IDs
// and the bytes that were freed.
func Prune(st *storage.Store, p Pruning) (ids []string, freed int64, err error) {
	if err := rootless.Await(); err != nil {
		return nil, 0, err
	}
	c := &cache{st: st, dir: Dir(st)}
	if _, err := os.Lstat(c.dir); errors.Is(err, os.ErrNotExist) {
		return nil, 0, nil
	}
	held, err := lock.TryExclusive(c.path(usersLock))
	if errors.Is(err, lock.ErrBusy) {
		return nil, 0, ErrInUse
	}
	if err != nil {
		return nil, 0, fmt.Errorf("prune build cache: %w", err)
	}
	defer held.Release()
	all, err := c.entries()
	if err != nil {
		return nil, 0, err
	}
	var total int64
	for _, e := range all {
		if !e.Shared {
			total += e.Size
		}
	}
	for _, e := range all {
		switch {
		case e.Shared && !p.All, !p.Until.IsZero() && e.Used.After(p.Until), p.Keep > 0 && total <= p.Keep:
			continue
		}
		if err := c.remove(&e); err != nil {
			return ids, freed, err
		}
		ids = append(ids, e.ID)
		if !e.Shared {
			freed, total = freed+e.Size, total-e.Size
		}
	}
	if err := c.sweepRecords(); err != nil {
		return ids, freed, err
	}
	if p.All && p.Until.IsZero() && p.Keep == 0 {
		err = errors.Join(os.RemoveAll(c.path(parsedDir)), os.RemoveAll(c.path(contextDir)))
	}
	return ids, freed, err
}

func (c *cache) remove(e *Entry) error {
	dir := c.path(layersDir, e.ID)
	if e.Kind != "regular" {
		dir = c.path(mountsDir, e.ID)
	}
	err := os.RemoveAll(dir)
	if e.Kind != "regular" {
		for _, beside := range []string{".id", ".lock"} {
			if failed := os.Remove(dir + beside); failed != nil && !errors.Is(failed, os.ErrNotExist) {
				err = errors.Join(err, failed)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("prune build cache: %w", err)
	}
	return nil
}

// sweepRecords deletes the records of layers that are gone.
func (c *cache) sweepRecords() error {
	records, err := os.ReadDir(c.path(recordsDir))
	for _, r := range records {
		var rec record
		name := c.path(recordsDir, r.Name())
		if strings.HasPrefix(r.Name(), ".") || !readJSON(name, &rec) || rec.Layer != "" && c.layer(rec.Layer) == nil {
			if failed := os.Remove(name); failed != nil && !errors.Is(failed, os.ErrNotExist) {
				err = errors.Join(err, failed)
			}
		}
	}
	return err
}
