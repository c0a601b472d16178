//go:build embed

package embedded

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"skiff/storage/atomicfile"
	"skiff/storage/sealed"
)

// program and its sum are built before the front; see doc.go.
var (
	//go:embed stage.bin
	program string
	//go:embed stage.sum
	sum string
)

// Dispatch does nothing in this build: the stage is a program of its own.
func Dispatch() {}

// Stage returns the path to execute the stage from, and the file behind it,
// which the caller closes after that. cache is a directory to keep a copy in.
//
// The copy is executed through a read-only mount that nothing else can reach:
// a container that opens it as /proc/PID/exe cannot write to it (EROFS), as it
// could not to sealed memory, but nothing is copied at a start, and all
// monitors share its pages (docs/decisions/0006). Where that cannot be, sealed
// memory it is.
func Stage(cache string) (path string, file *os.File, err error) {
	if f, err := fromDisk(cache); err == nil {
		return sealed.Path(f), f, nil
	}
	f, err := sealed.File("skiff:stage", program)
	if err != nil {
		return "", nil, fmt.Errorf("unpack stage: %w", err)
	}
	return sealed.Path(f), f, nil
}

var errNoexec = errors.New("mounted noexec")

// Identity returns the name that the stage's file has in the cache, and its
// size in bytes.
func Identity() (name string, size int64) {
	return "stage-" + strings.TrimSpace(sum), int64(len(program))
}

func fromDisk(cache string) (*os.File, error) {
	base, _ := Identity()
	name := filepath.Join(cache, base)
	f, err := readonly(name)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, errDamaged) {
		if err := os.MkdirAll(cache, 0o700); err != nil {
			return nil, err
		}
		// Durable: after a power cut it is whole or absent.
		if err := atomicfile.Write(name, []byte(program), 0o555, atomicfile.Durable); err != nil {
			return nil, err
		}
		f, err = readonly(name)
	}
	return f, err
}

var errDamaged = errors.New("damaged")

// readonly opens the file through a read-only mount of its own.
func readonly(name string) (*os.File, error) {
	low, err := unix.OpenTree(unix.AT_FDCWD, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	defer unix.Close(low)
	var st unix.Stat_t
	var fs unix.Statfs_t
	if err := errors.Join(unix.Fstat(low, &st), unix.Fstatfs(low, &fs)); err != nil {
		return nil, err
	}
	if st.Size != int64(len(program)) || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errDamaged
	}
	if fs.Flags&unix.ST_NOEXEC != 0 {
		return nil, errNoexec
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if err := unix.MountSetattr(low, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return nil, err
	}
	return sealed.Raise(low, name)
}
