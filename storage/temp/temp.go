// Package temp hands out directories for unpublished work inside the store.
// Each holds a lock file that its maker keeps locked, so that the next command
// can tell the living from the dead and sweep what the dead left behind.
package temp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"skiff/storage"
	"skiff/storage/atomicfile"
	"skiff/storage/lock"
)

const (
	// lockName is the lock file within each temporary directory.
	lockName = "lock"
	// sweepName guards the moment between making a directory and locking it:
	// makers hold it shared, a sweeper exclusive. It sorts before all others.
	sweepName = ".sweep.lock"
	// transferPrefix begins the name of a transfer's directory. What such a
	// directory's maker left elsewhere in the store has to go first, so Sweep
	// lets it lie: it says that the store wants healing.
	transferPrefix = "transfer-"
	// notePrefix begins the name of a directory that says what its maker was doing.
	// Sweep lets it lie: who understands it finishes that first (Finish).
	notePrefix = "note-"
)

// Dir is one temporary directory. The zero value is not usable; see Make.
type Dir struct {
	// Path is absolute. The entry "lock" in it belongs to this package.
	Path string
	lock *lock.Lock
}

// Make returns a new empty directory that lives until Remove or the end of the
// process. The caller removes it.
func Make(ctx context.Context, st *storage.Store) (*Dir, error) {
	return makeNamed(ctx, st, "")
}

// MakeTransfer is Make for a process that adds layers and images to the store.
// If that process dies, its directory stays until SweepTransfers.
func MakeTransfer(ctx context.Context, st *storage.Store) (*Dir, error) {
	return makeNamed(ctx, st, transferPrefix)
}

// MakeNote is Make for a process that writes there what is to be finished if it dies:
// the directory stays until Finish.
func MakeNote(ctx context.Context, st *storage.Store) (*Dir, error) {
	return makeNamed(ctx, st, notePrefix)
}

func makeNamed(ctx context.Context, st *storage.Store, prefix string) (*Dir, error) {
	if err := os.MkdirAll(st.Temp(), 0o700); err != nil {
		return nil, fmt.Errorf("make temporary directory: %w", err)
	}
	guard, err := lock.Shared(ctx, filepath.Join(st.Temp(), sweepName))
	if err != nil {
		return nil, fmt.Errorf("make temporary directory: %w", err)
	}
	defer guard.Release()
	path, err := os.MkdirTemp(st.Temp(), prefix)
	if err != nil {
		return nil, fmt.Errorf("make temporary directory: %w", err)
	}
	held, err := lock.TryExclusive(filepath.Join(path, lockName))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make temporary directory: %w", err), os.RemoveAll(path))
	}
	return &Dir{Path: path, lock: held}, nil
}

// Remove deletes the directory and what is in it. It is safe on nil and more
// than once.
func (d *Dir) Remove() error {
	if d == nil || d.lock == nil {
		return nil
	}
	err := os.RemoveAll(d.Path)
	d.lock.Release()
	d.lock = nil
	return err
}

// Leave ends the maker's hold of the directory without deleting it, as its death
// would.
func (d *Dir) Leave() {
	if d != nil {
		d.lock.Release()
		d.lock = nil
	}
}

// WriteFile publishes data as path in a directory of the store that
// nobody sweeps: what a kill leaves of the attempt lies in a temporary directory.
func WriteFile(ctx context.Context, st *storage.Store, path string, data []byte, perm os.FileMode, how atomicfile.Durability) (err error) {
	d, err := Make(ctx, st)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Remove()) }()
	return atomicfile.WriteBy(filepath.Join(d.Path, "file"), path, data, perm, how)
}

// Published says that the directory was renamed into its place, where it is not
// swept any more. It returns the maker's lock of its file "lock", which the
// caller releases.
func (d *Dir) Published() *lock.Lock {
	l := d.lock
	d.lock = nil
	return l
}

// Dirty reports whether there is anything that Sweep or SweepTransfers would
// look at. In a clean store it costs one stat on most file systems: a directory
// has a link for each directory in it.
func Dirty(st *storage.Store) bool {
	info, err := os.Lstat(st.Temp())
	if err != nil {
		return false
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok && sys.Nlink == 2 {
		return false
	}
	entries, err := os.ReadDir(st.Temp())
	return err == nil && !clean(entries)
}

func clean(entries []os.DirEntry) bool {
	return len(entries) == 0 || len(entries) == 1 && entries[0].Name() == sweepName
}

// Abandoned reports whether dead processes left directories for Sweep and for
// SweepTransfers. Both are false while another process is sweeping or making
// one.
func Abandoned(st *storage.Store) (work, transfers bool) {
	// What cannot be looked at now is looked at by the next command.
	_ = eachAbandoned(st, func(path string, _ *lock.Lock) (kept bool) {
		if isTransfer(path) {
			transfers = true
		} else {
			work = true
		}
		return false
	})
	return work, transfers
}

// Sweep deletes the directories whose makers are dead, except those of
// transfers and notes. It returns at once when there is none, or when another process
// is sweeping or making one.
func Sweep(st *storage.Store) error {
	return sweep(st, func(path string) bool { return !isTransfer(path) && !isNote(path) }, os.RemoveAll)
}

// Finish calls do with the directory of each note whose maker is dead, and deletes it
// unless do fails.
func Finish(st *storage.Store, do func(dir string) error) error {
	return sweep(st, isNote, func(path string) error {
		if err := do(path); err != nil {
			return err
		}
		return os.RemoveAll(path)
	})
}

// sweep lets remove delete the abandoned directories that are wanted.
func sweep(st *storage.Store, wanted func(path string) bool, remove func(path string) error) error {
	// Under the guard the dead are only told from the living; deleting them may
	// take long, and makers wait for the guard.
	var dead []string
	var held []*lock.Lock
	failed := eachAbandoned(st, func(path string, l *lock.Lock) (kept bool) {
		if !wanted(path) {
			return false
		}
		dead, held = append(dead, path), append(held, l)
		return true
	})
	for i, path := range dead {
		failed = errors.Join(failed, remove(path))
		held[i].Release()
	}
	return failed
}

// SweepTransfers deletes the directories of all transfers. The caller makes
// sure that none is alive, and has undone what they left elsewhere.
func SweepTransfers(st *storage.Store) (err error) {
	for _, dir := range storage.Glob(st.Temp(), transferPrefix+"*") {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

func isNote(path string) bool { return strings.HasPrefix(filepath.Base(path), notePrefix) }

func isTransfer(path string) bool { return strings.HasPrefix(filepath.Base(path), transferPrefix) }

// eachAbandoned calls found for each directory whose maker is dead, with its
// lock, which found may keep. The guard is held meanwhile.
func eachAbandoned(st *storage.Store, found func(path string, held *lock.Lock) (kept bool)) error {
	entries, err := os.ReadDir(st.Temp())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep temporary directories: %w", err)
	}
	if clean(entries) {
		return nil
	}
	guard, err := lock.TryExclusive(filepath.Join(st.Temp(), sweepName))
	if errors.Is(err, lock.ErrBusy) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep temporary directories: %w", err)
	}
	defer guard.Release()
	for _, entry := range entries {
		if entry.Name() == sweepName {
			continue
		}
		path := filepath.Join(st.Temp(), entry.Name())
		if l, ok := abandoned(path); ok && !found(path, l) {
			l.Release()
		}
	}
	return nil
}

// Quiet reports whether no living process has a directory, transfers aside. It is
// false while another process is sweeping or making one.
func Quiet(st *storage.Store) bool {
	living := false
	entries, err := os.ReadDir(st.Temp())
	if errors.Is(err, os.ErrNotExist) || err == nil && clean(entries) {
		return true
	}
	guard, err := lock.TryExclusive(filepath.Join(st.Temp(), sweepName))
	if err != nil {
		return false
	}
	defer guard.Release()
	for _, entry := range entries {
		if entry.Name() == sweepName || isTransfer(entry.Name()) {
			continue
		}
		l, dead := abandoned(filepath.Join(st.Temp(), entry.Name()))
		l.Release()
		living = living || !dead
	}
	return !living
}

// abandoned reports whether path has no living maker, and takes its lock so that
// only one sweeper deletes it. What is not a directory with a lock has none:
// makers lock before they let go of the guard.
func abandoned(path string) (*lock.Lock, bool) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, false
	}
	if !info.IsDir() {
		return nil, true
	}
	held, err := lock.TryExisting(filepath.Join(path, lockName))
	// On a full disk the lock file may not open; the directory is then still
	// removed, which is what a full disk needs most.
	return held, !errors.Is(err, lock.ErrBusy)
}
