// Package reserve keeps some space of the store's file system, so that on a full
// one, or over a quota, the store can still be emptied with skiff itself: what
// deletes has to write records anew, and to rename. Use gives the space up, Fill
// takes it again.
package reserve

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"skiff/storage"
)

const (
	// file is the reserve's name in the store.
	file = "reserve"
	// least is its least size in bytes, where there is room for that; scant what is
	// still worth having.
	least = 1 << 20
	scant = 64 << 10
	// factor is how often the records fit into it: each removal writes several of
	// them anew, and a file system gives freed blocks back late.
	factor = 4
	// fewInodes is how many free ones are none: on some file systems others than
	// the owner may take the last ones.
	fewInodes = 16
)

// IsFull reports whether err says that a disk is full or a quota used up.
func IsFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// size is what deleting may need: a few times the records.
func size(st *storage.Store) int64 {
	records := int64(0)
	for _, name := range []string{"overlay-images/images.json", "overlay-layers/layers.json"} {
		if info, err := os.Stat(filepath.Join(st.Graph(), name)); err == nil {
			records += info.Size()
		}
	}
	return max(least, factor*records)
}

// Use gives the reserve up and reports whether there was one.
func Use(st *storage.Store) bool { return os.Remove(path(st)) == nil }

// UseIfFull is Use if the file system has no bytes or no inodes left. A quota it
// does not see: Retry does.
func UseIfFull(st *storage.Store) {
	var fs unix.Statfs_t
	if err := unix.Statfs(st.Dir, &fs); err != nil {
		return
	}
	if int64(fs.Bavail)*fs.Bsize <= size(st) || fs.Files > 0 && fs.Ffree < fewInodes {
		Use(st)
	}
}

// Retry does something again, with the reserve given up, that found no room.
func Retry(st *storage.Store, do func() error) error {
	err := do()
	if IsFull(err) && Use(st) {
		err = do()
	}
	return err
}

// Fill sets space aside, if there is some and it is not done yet. Where some of what
// Use gave up is needed by now, for a file system's own records, it becomes smaller;
// a file system that is full, or that cannot do it, goes without.
func Fill(st *storage.Store) {
	want := size(st)
	info, err := os.Stat(path(st))
	if err == nil && info.Size() >= want || err != nil && !errors.Is(err, os.ErrNotExist) {
		return
	}
	f, err := os.OpenFile(path(st), os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	for synced := false; want >= scant; {
		if err := unix.Fallocate(int(f.Fd()), 0, 0, want); !IsFull(err) {
			break
		}
		if synced {
			want -= want / 8
		} else {
			// What was just deleted may count until the file system has written that.
			_ = unix.Syncfs(int(f.Fd()))
			synced = true
		}
	}
	if info, err := f.Stat(); err != nil || info.Size() < scant {
		Use(st)
	}
}

// Discard renames from, which is to be deleted, to a name in the same file system
// under which it is; some file systems take even that only where there is room. If
// there is no reserve, what is in the directory contents of it goes first. What was
// used of the reserve the caller fills again when it has deleted.
func Discard(st *storage.Store, from, to, contents string) (used bool, err error) {
	err = os.Rename(from, to)
	if IsFull(err) && Use(st) {
		used, err = true, os.Rename(from, to)
	}
	if IsFull(err) {
		err = errors.Join(os.RemoveAll(filepath.Join(from, contents)), os.Rename(from, to))
	}
	return used, err
}

func path(st *storage.Store) string { return filepath.Join(st.Dir, file) }
