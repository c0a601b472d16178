package archive

import (
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Pack writes the file or directory called name to w as tar, its own name in it
// replaced by as. Hard links stay links; sockets are left out. With follow a
// symbolic link called name is what it leads to.
func (t Tree) Pack(w io.Writer, name, as string, follow bool) error {
	parent, base, err := t.parent(name)
	if err != nil {
		return err
	}
	defer parent.Close()
	if follow {
		target, err := t.open(name, unix.O_PATH)
		if err != nil {
			return err
		}
		target.Close()
		if parent, base, err = t.target(name); err != nil {
			return err
		}
		defer parent.Close()
	}
	p := NewPacker(w)
	p.owners = t.owners
	if err := p.tree(int(parent.Fd()), base, as); err != nil {
		return err
	}
	return p.Close()
}

// target follows the symbolic links at the end of name and returns the
// directory and the name of what they lead to.
func (t Tree) target(name string) (*os.File, string, error) {
	// The kernel's own limit (path_resolution(7)).
	for range 40 {
		parent, base, err := t.parent(name)
		if err != nil {
			return nil, "", err
		}
		link, err := readLink(int(parent.Fd()), base)
		if err != nil {
			return parent, base, nil
		}
		parent.Close()
		if path.IsAbs(link) {
			name = link
		} else {
			name = path.Join(path.Dir(path.Clean("/"+name)), link)
		}
	}
	return nil, "", fmt.Errorf("open %s: %w", name, unix.ELOOP)
}

// tree writes base, which lies in the directory dirfd, under the name as, with
// all that is below it.
func (p *Packer) tree(dirfd int, base, as string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat %s: %w", as, err)
	}
	if err := p.Add(dirfd, base, as, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return err
	}
	f, err := openAt(dirfd, base, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("read %s: %w", as, err)
	}
	for _, n := range names {
		if err := p.tree(int(f.Fd()), n, path.Join(as, n)); err != nil {
			return err
		}
	}
	return nil
}
