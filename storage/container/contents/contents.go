package contents

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"skiff/storage/container/archive"
)

// Root is a container's root: the directory of its writable layer and those of
// its image's layers.
type Root struct {
	upper string
	lower []string // topmost first
}

// Open returns the root with the writable layer upper over the layers lower,
// topmost first. It opens nothing yet.
func Open(upper string, lower []string) *Root { return &Root{upper, lower} }

// ours are the mount points that are made for every container, if its image
// does not have them. They are no change of the user's; docker keeps them in a
// layer of their own.
var ours = []string{
	"dev", "dev/console", "dev/mqueue", "dev/pts", "dev/shm", "etc", "etc/hostname", "etc/hosts", "etc/resolv.conf", "proc", "sys",
}

// roots opens the topmost directories of layers.
func roots(layers []string) (directory, error) {
	var dirs []*os.File
	for _, layer := range layers {
		f, err := openDir(unix.AT_FDCWD, layer)
		if err != nil {
			closeAll(dirs)
			return nil, err
		}
		dirs = append(dirs, f)
	}
	return openParts(dirs)
}

// Export writes the whole root to w as a tar stream: what docker's export
// writes.
func (r *Root) Export(w io.Writer) error { return Export(w, map[string]*Root{"": r}) }

// Export writes roots to w as one tar stream, each below the directory that is its
// key.
func Export(w io.Writer, below map[string]*Root) error {
	p := archive.NewPacker(w)
	p.Xattrs = true
	for _, dir := range slices.Sorted(maps.Keys(below)) {
		r := below[dir]
		all, err := roots(append([]string{r.upper}, r.lower...))
		if err != nil {
			return err
		}
		if err := export(p, all, dir); err != nil {
			return err
		}
	}
	return p.Close()
}

func export(p *archive.Packer, d directory, at string) error {
	defer d.close()
	for _, name := range d.names() {
		n, err := d.find(name)
		if err != nil {
			return err
		}
		if n == nil {
			continue
		}
		full := path.Join(at, name)
		if err := p.Add(int(n.at.Fd()), name, full, &n.stat); err != nil {
			return err
		}
		if !n.isDir() {
			continue
		}
		sub, err := n.open(name)
		if err != nil {
			return err
		}
		if err := export(p, sub, full); err != nil {
			return err
		}
	}
	return nil
}

// walk calls visit for each name of the writable layer and, of what was removed,
// for the topmost one, parents before children, siblings sorted.
//
// A directory that holds nothing but mount points of ours is not visited.
func (r *Root) walk(visit func(*change) error) error {
	upper, err := openDir(unix.AT_FDCWD, r.upper)
	if err != nil {
		return err
	}
	lower, err := roots(r.lower)
	if err != nil {
		upper.Close()
		return err
	}
	_, err = walk(upper, lower, "", false, visit)
	return err
}

// change is a name in the writable layer as against the layers below.
type change struct {
	path string // without a slash in front
	at   *os.File
	stat unix.Stat_t
	// before is what the name was in the layers below, nil if nothing.
	before *node
	// opaque: a directory that hides what the layers below have in it.
	opaque bool
	// hidden: it lies in an opaque directory.
	hidden bool
	// removed: the name is absent now.
	removed bool
}

// walk visits what lies in upper and returns how much that was. It owns upper
// and lower. hidden says that lower is not seen any more through upper.
func walk(upper *os.File, lower directory, at string, hidden bool, visit func(*change) error) (int, error) {
	defer lower.close()
	parts, err := openParts([]*os.File{upper})
	if err != nil {
		return 0, err
	}
	defer parts.close()
	visited := 0
	for _, name := range changedNames(parts[0], lower, hidden) {
		c, err := compare(parts[0], lower, name, path.Join(at, name), hidden)
		if err != nil {
			return visited, err
		}
		if c == nil {
			continue
		}
		n, err := visitTree(c, lower, name, visit)
		visited += n
		if err != nil {
			return visited, err
		}
	}
	return visited, nil
}

// changedNames are the names that upper says something about, and, hidden, all
// that it hides.
func changedNames(upper part, lower directory, hidden bool) []string {
	all := directory{upper}.names()
	for name := range upper.names {
		if strings.HasPrefix(name, whiteoutPrefix) && name != opaqueMark {
			all = append(all, name[len(whiteoutPrefix):])
		}
	}
	if hidden {
		all = append(all, lower.names()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// compare says what upper did to a name, nil if that is nothing.
func compare(upper part, lower directory, name, full string, hidden bool) (*change, error) {
	c := &change{path: full, at: upper.dir, hidden: hidden}
	before, err := lower.find(name)
	if err != nil {
		return nil, err
	}
	c.before = before
	c.removed = upper.names[whiteoutPrefix+name] || !upper.names[name]
	if !c.removed {
		err := unix.Fstatat(int(upper.dir.Fd()), name, &c.stat, unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			return nil, nil // it went meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("stat %s: %w", full, err)
		}
		c.removed = isWhiteout(&c.stat)
	}
	switch {
	case c.removed && before == nil:
		return nil, nil // a mark over nothing
	case c.removed:
		return c, nil
	case before == nil && !isDir(&c.stat) && c.stat.Size == 0 && slices.Contains(ours, full):
		return nil, nil
	}
	if isDir(&c.stat) {
		c.opaque = hidden || opaque(upper.dir, name)
	}
	return c, nil
}

// visitTree visits c and what is below it.
func visitTree(c *change, lower directory, name string, visit func(*change) error) (int, error) {
	if c.removed || !isDir(&c.stat) {
		return 1, visit(c)
	}
	var below directory
	if c.before != nil && c.before.isDir() {
		var err error
		if below, err = c.before.open(name); err != nil {
			return 0, err
		}
	}
	dir, err := openDir(int(c.at.Fd()), name)
	if err != nil {
		below.close()
		return 0, err
	}
	// A mount point of ours counts only when something else is in it, which is
	// known behind it.
	if slices.Contains(ours, c.path) && (c.before == nil || !c.differs()) {
		said := false
		n, err := walk(dir, below, c.path, c.opaque, func(inner *change) error {
			if !said {
				said = true
				if err := visit(c); err != nil {
					return err
				}
			}
			return visit(inner)
		})
		if said {
			n++
		}
		return n, err
	}
	if err := visit(c); err != nil {
		dir.Close()
		below.close()
		return 1, err
	}
	n, err := walk(dir, below, c.path, c.opaque, visit)
	return n + 1, err
}

// differs reports whether the file is another one than before, by docker's
// rule: mode, owner, device; of other files than directories size and time too.
func (c *change) differs() bool {
	a, b := &c.stat, &c.before.stat
	if a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid || a.Rdev != b.Rdev {
		return true
	}
	return !isDir(a) && (a.Size != b.Size || a.Mtim != b.Mtim)
}
