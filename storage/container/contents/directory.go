package contents

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"skiff/storage/container/archive"
)

const (
	// whiteoutPrefix marks a name as absent where the file system does not let
	// us make overlay's own mark, a device 0/0.
	// https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts
	whiteoutPrefix = ".wh."
	opaqueMark     = whiteoutPrefix + whiteoutPrefix + ".opq"
)

// opaqueNames are the attributes that hide the directories below.
var opaqueNames = []string{"user.overlay.opaque", "trusted.overlay.opaque", "user.fuseoverlayfs.opaque"}

// part is a directory of one layer, its names read once.
type part struct {
	dir   *os.File
	names map[string]bool
}

// directory is a directory of the merged layers: one part a layer that has it,
// topmost first.
type directory []part

// node is a file of the merged layers.
type node struct {
	stat unix.Stat_t
	at   *os.File   // the directory that has it
	in   []*os.File // of a directory: the directories that have a part of it
}

func (n *node) isDir() bool { return isDir(&n.stat) }

func isDir(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFDIR }

// isWhiteout tells overlay's mark for a name that is absent.
func isWhiteout(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 }

// openParts reads the directories dirs, which it owns from now on. The caller
// closes the result.
func openParts(dirs []*os.File) (directory, error) {
	var d directory
	for i, f := range dirs {
		names, err := f.Readdirnames(-1)
		if err != nil {
			closeAll(dirs[i:])
			d.close()
			return nil, fmt.Errorf("read directory %s: %w", f.Name(), err)
		}
		set := make(map[string]bool, len(names))
		for _, n := range names {
			set[n] = true
		}
		d = append(d, part{f, set})
	}
	return d, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func (d directory) close() {
	for _, p := range d {
		p.dir.Close()
	}
}

// names are the names of the directory, sorted; some may turn out to be absent.
func (d directory) names() []string {
	seen := make(map[string]bool)
	var all []string
	for _, p := range d {
		for n := range p.names {
			if !seen[n] && !strings.HasPrefix(n, whiteoutPrefix) {
				seen[n] = true
				all = append(all, n)
			}
		}
	}
	slices.Sort(all)
	return all
}

// find returns what name is, or nil if there is no such file.
func (d directory) find(name string) (*node, error) {
	var found *node
	for _, p := range d {
		if p.names[whiteoutPrefix+name] {
			return found, nil
		}
		if !p.names[name] {
			continue
		}
		var st unix.Stat_t
		err := unix.Fstatat(int(p.dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			continue // it went meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("stat %s: %w", name, err)
		}
		if isWhiteout(&st) || found != nil && !isDir(&st) {
			return found, nil
		}
		if found == nil {
			found = &node{stat: st, at: p.dir}
		}
		if !isDir(&st) {
			return found, nil
		}
		found.in = append(found.in, p.dir)
		if opaque(p.dir, name) {
			return found, nil
		}
	}
	return found, nil
}

// open opens the merged directory that n is.
func (n *node) open(name string) (directory, error) {
	var dirs []*os.File
	for _, at := range n.in {
		f, err := openDir(int(at.Fd()), name)
		if err != nil {
			closeAll(dirs)
			return nil, err
		}
		dirs = append(dirs, f)
	}
	return openParts(dirs)
}

// opaque reports whether the directory name, which lies in at, hides those of
// the layers below.
func opaque(at *os.File, name string) bool {
	path := archive.PathAt(int(at.Fd()), name)
	for _, attribute := range opaqueNames {
		var value [1]byte
		if n, err := unix.Lgetxattr(path, attribute, value[:]); err == nil && n == 1 && value[0] == 'y' {
			return true
		}
	}
	var st unix.Stat_t
	return unix.Lstat(path+"/"+opaqueMark, &st) == nil
}

func openDir(at int, name string) (*os.File, error) {
	for {
		fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open directory %s: %w", name, err)
		}
		return os.NewFile(uintptr(fd), name), nil
	}
}
