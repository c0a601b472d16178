// Package archive copies files between a tree and a tar stream. The tree may be
// a container's root whose owner is hostile and changes it meanwhile: every
// path is resolved by the kernel beneath the tree's descriptor (openat2(2)), and
// what was found is used through its descriptor only, never by path again.
// It knows no command; docker's rules for cp are in Plan.
package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"skiff/storage/beneath"

	"golang.org/x/sys/unix"
)

// Tree is a directory beneath which all paths are resolved.
type Tree struct {
	dir     *os.File
	resolve uint64
	owners  *Owners
}

// InRoot returns a tree whose symbolic links mean what they mean inside of it,
// as after chroot(2). The caller keeps dir open, which may be an O_PATH one.
func InRoot(dir *os.File) Tree {
	return Tree{dir: dir, resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
}

// Beneath returns a tree in which a symbolic link that leads out of it is an
// error: a directory of the user's that a foreign archive is unpacked into.
func Beneath(dir *os.File) Tree {
	return Tree{dir: dir, resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
}

// Open opens name, with flags of open(2); what it is the caller finds out. A
// tree's own rules say where symbolic links lead.
func (t Tree) Open(name string, flags int) (*os.File, error) { return t.open(name, flags) }

// open resolves name in the tree. The empty name is the tree itself.
func (t Tree) open(name string, flags int) (*os.File, error) {
	name = strings.TrimLeft(path.Clean("/"+name), "/")
	fd, err := beneath.Open(int(t.dir.Fd()), name, flags, 0, t.resolve)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: "/" + name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// parent opens the directory that name lies in and returns it with name's last
// part, which is "." for the tree itself.
func (t Tree) parent(name string) (*os.File, string, error) {
	dir, base := path.Split(path.Clean("/" + name))
	if base == "" {
		base = "."
	}
	f, err := t.open(dir, unix.O_PATH|unix.O_DIRECTORY)
	return f, base, err
}

// Info is what cp needs to know of a file.
type Info struct {
	Exists bool
	Dir    bool
	// Link is where a symbolic link leads, if it is one.
	Link string
}

// Stat tells what name is; a missing one is no error. With follow a symbolic
// link is what it leads to.
func (t Tree) Stat(name string, follow bool) (Info, error) {
	flags := unix.O_PATH
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	f, err := t.open(name, flags)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return Info{}, nil
	}
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return Info{}, fmt.Errorf("stat %s: %w", name, err)
	}
	info := Info{Exists: true, Dir: st.Mode&unix.S_IFMT == unix.S_IFDIR}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		info.Link, err = readLink(int(f.Fd()), "")
	}
	return info, err
}

func readLink(dirfd int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dirfd, name, buf)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(buf[:n]), nil
}
