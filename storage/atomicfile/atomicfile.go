// Package atomicfile publishes files: a reader sees the old contents or the
// new, never a part. It uses little beyond the standard library, so that the
// stage program may link it.
package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
)

// Durability says what must outlive a power cut.
type Durability bool

const (
	// Volatile publishes atomically but leaves the moment of writing to the
	// kernel: after a power cut the old contents may be back, or an empty file
	// on file systems that order data after metadata.
	Volatile Durability = false
	// Durable syncs the file before, and its directory after the rename.
	Durable Durability = true
)

var sequence atomic.Uint64

// Write publishes data as path with the given permissions (not subject to the
// umask). On error path is as it was and no temporary file is left.
func Write(path string, data []byte, perm os.FileMode, d Durability) error {
	return WriteBy(attemptAt(path), path, data, perm, d)
}

// attemptAt returns a new name beside path. It starts with a dot and carries the
// pid: a reader of the directory skips it, and Reclaim can tell whose it was.
func attemptAt(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+
		strconv.Itoa(os.Getpid())+"."+strconv.FormatUint(sequence.Add(1), 10)+".tmp")
}

// WriteBy is Write by a temporary file that the caller names: in the same file
// system, where somebody sweeps what a kill leaves.
func WriteBy(temp, path string, data []byte, perm os.FileMode, d Durability) (err error) {
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(temp))
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil && d == Durable {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err = os.Rename(temp, path); err != nil {
		return err
	}
	if d == Durable {
		return SyncDir(filepath.Dir(path))
	}
	return nil
}

// SyncDir makes the names in dir outlive a power cut.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}
