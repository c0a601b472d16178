// Package storage is everything that survives the process: the user's images
// and layers, containers' directories and volumes, the locks that guard them
// and the way they are published. docs/state.md lists every file. The package
// itself only knows where things lie; the subpackages know what they mean.
// Start reading at Open.
package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"skiff/storage/atomicfile"
)

// ErrForeignOwner says that the store's directory belongs to another user.
var ErrForeignOwner = errors.New("belongs to another user")

// ErrNoHome says that neither XDG_DATA_HOME nor HOME tells where to store.
var ErrNoHome = errors.New("neither XDG_DATA_HOME nor HOME is set")

// Store is the place of one user's images, containers and volumes.
type Store struct {
	// Dir is the absolute path of the store, 0700 and owned by the user.
	Dir string
	// Additional are the graph directories of other stores whose images are used
	// in place, never written; see AdditionalStores.
	Additional []string
	// AdditionalErr is why they are not known. It is a matter of who reads images,
	// not of every command.
	AdditionalErr error
}

// Locate returns the directory that a store with this environment lives in:
// $XDG_DATA_HOME/skiff, else ~/.local/share/skiff; /var/lib/skiff for root
// without either variable pointing elsewhere. uid is the caller's outside of
// any namespace of ours. The C entry (rootless/entry.c) computes the same path
// to find an anchor; keep them alike.
func Locate(getenv func(string) string, uid int) (string, error) {
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "skiff"), nil
	}
	if uid == 0 {
		return "/var/lib/skiff", nil
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local/share/skiff"), nil
	}
	return "", ErrNoHome
}

// Open returns the store in dir, which it creates with mode 0700 when absent.
// uid is the owner as seen from inside the current user namespace. It refuses
// a directory of another user with ErrForeignOwner: whoever owns it could put
// setuid files into our layers.
func Open(dir string, uid int) (*Store, error) {
	st := &Store{Dir: dir}
	info, err := os.Lstat(dir)
	if errors.Is(err, os.ErrNotExist) {
		if err = os.MkdirAll(dir, 0o700); err == nil {
			info, err = os.Lstat(dir)
		} else if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS) {
			err = fmt.Errorf("%w: set XDG_DATA_HOME to a directory that may be written (in a unit with StateDirectory=NAME: Environment=XDG_DATA_HOME=%%S/NAME)", err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	sys := info.Sys().(*syscall.Stat_t)
	if int(sys.Uid) != uid && int(sys.Uid) != os.Getuid() {
		return nil, fmt.Errorf("open store %s: %w", dir, ErrForeignOwner)
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
	}
	return st, nil
}

// Graph is the directory of containers/storage: images and layers only.
func (s *Store) Graph() string { return filepath.Join(s.Dir, "storage") }

// Layers is the directory whose <layer id>/diff directories are the layers'
// contents, and the base that overlay's relative lower directories start from.
func (s *Store) Layers() string { return filepath.Join(s.Dir, "storage", "overlay") }

// Containers is the directory with one subdirectory a container.
func (s *Store) Containers() string { return filepath.Join(s.Dir, "containers") }

// Names is the directory of symbolic links <name> -> container id.
func (s *Store) Names() string { return filepath.Join(s.Dir, "containers", "by-name") }

// Running is the directory of symbolic links <id> -> the lock file of a
// container whose monitor was alive when it made the link. It is a hint that
// saves reading every container's lock, never a truth.
func (s *Store) Running() string { return filepath.Join(s.Dir, "running") }

// Volumes is the directory with one subdirectory a volume.
func (s *Store) Volumes() string { return filepath.Join(s.Dir, "volumes") }

// Secrets is the directory with one file a secret.
func (s *Store) Secrets() string { return filepath.Join(s.Dir, "secrets") }

// Events is the directory of the record of what happened (storage/event).
func (s *Store) Events() string { return filepath.Join(s.Dir, "events") }

// Cache is the directory of what can be made again at any time.
func (s *Store) Cache() string { return filepath.Join(s.Dir, "cache") }

// Temp is the directory of unpublished work; every entry in it is locked by
// its maker, and an unlocked one is swept by the next command that looks.
func (s *Store) Temp() string { return filepath.Join(s.Dir, "tmp") }

// Damaged is the directory of what `system check --repair` set aside. Nothing in
// the store looks there.
func (s *Store) Damaged() string { return filepath.Join(s.Dir, "damaged") }

// SetAside moves a file or a directory of the store to Damaged, durably, and
// returns its path there: the moment, then what.
func (s *Store) SetAside(what, path string) (string, error) {
	dir := filepath.Join(s.Damaged(), time.Now().UTC().Format("20060102T150405.000000Z-")+what)
	to := filepath.Join(dir, filepath.Base(path))
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = os.Rename(path, to)
	}
	if err == nil {
		err = atomicfile.SyncDir(dir)
	}
	if err != nil {
		return "", fmt.Errorf("set %s aside: %w", path, err)
	}
	return to, nil
}

// ImagesLock is the lock file that creating a container takes shared and
// deleting an image takes exclusive, so that no image goes from under a
// container that is just being made.
func (s *Store) ImagesLock() string { return filepath.Join(s.Dir, "images.lock") }

// IDsLock is the lock file that creating a container with --userns auto takes, so
// that no two choose the same ids. It is taken after ImagesLock.
func (s *Store) IDsLock() string { return filepath.Join(s.Dir, "ids.lock") }

// Glob returns the paths in dir that a pattern matches ([path.Match], with slashes
// between its parts). Unlike [filepath.Glob] it takes dir as it is: that is the user's to
// choose, and may be called [work]. A directory that cannot be read has no files, and
// so has a malformed pattern.
func Glob(dir, pattern string) []string {
	names, _ := fs.Glob(os.DirFS(dir), pattern)
	for i, name := range names {
		names[i] = filepath.Join(dir, name)
	}
	return names
}
