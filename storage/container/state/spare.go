package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"skiff/storage/atomicfile"
)

const (
	// SpareFile is, beside File, a file with room for another state: on a full disk
	// that is written in place, and the two change names.
	SpareFile = "state.spare"
	// spareSize is the spare's size in bytes: a block of most file systems, and several
	// times a state without a long error.
	spareSize = 4096
	// copyingSpareSize is that on file systems that write nothing in place: there the
	// spare is given up for the room that a name and a few records need.
	copyingSpareSize = 1 << 20
)

// Reserve makes the spare of a container that is about to run, so that its end can be
// recorded on a disk that is full by then. Where there is no room even now, or the
// file system cannot set any aside, it goes without.
//
// Requires what Write requires.
func Reserve(dir string) {
	f, err := os.OpenFile(filepath.Join(dir, SpareFile), os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	size := int64(spareSize)
	if copies(dir) {
		size = copyingSpareSize
	}
	if unix.Fallocate(int(f.Fd()), 0, 0, size) == nil {
		return
	}
	// What there is may do.
	if info, err := f.Stat(); err != nil || info.Size() == 0 {
		Release(dir)
	}
}

// Release deletes the spare.
func Release(dir string) { _ = os.Remove(filepath.Join(dir, SpareFile)) }

// writeSpare publishes data as the state without taking any room. Before the exchange
// a reader finds the old state, after it the new one. The old one's room is the next
// spare: who has opened it before and reads slowly finds a part of the next state, and
// looks again (Read), or all of it a moment early.
func writeSpare(dir string, data []byte, d atomicfile.Durability) error {
	spare := filepath.Join(dir, SpareFile)
	f, err := os.OpenFile(spare, os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("write spare state: %w", err)
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Truncate(int64(len(data)))
	}
	if err == nil && d == atomicfile.Durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write spare state: %w", err)
	}
	path := filepath.Join(dir, File)
	err = unix.Renameat2(unix.AT_FDCWD, spare, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE)
	if err != nil { // no state yet, or a file system without it
		err = os.Rename(spare, path)
	}
	if err != nil {
		return fmt.Errorf("write spare state: %w", err)
	}
	Reserve(dir) // the old state's room may be less than a spare's
	if d == atomicfile.Durable {
		return atomicfile.SyncDir(dir)
	}
	return nil
}

// copies reports whether dir is on a file system that writes nothing in place.
func copies(dir string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && fs.Type == unix.BTRFS_SUPER_MAGIC
}

// giveUp deletes the spare, and lets the file system write that it has.
func giveUp(dir string) {
	Release(dir)
	if f, err := os.Open(dir); err == nil {
		_ = unix.Syncfs(int(f.Fd()))
		f.Close()
	}
}

// noRoom reports whether err says that a disk is full or a quota used up.
func noRoom(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
