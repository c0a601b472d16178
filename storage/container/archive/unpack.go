package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Unpack writes the files of a tar stream into the directory dir of the tree.
// Files replace files, directories are joined; a directory never replaces a
// file nor the other way round. With owners they keep their uid and gid,
// otherwise they are the caller's. Modification times and modes are kept.
func (t Tree) Unpack(r io.Reader, dir string, owners bool) error {
	u := unpacker{tree: t, dir: dir, owners: owners}
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return u.finish()
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		if err := u.add(h, in); err != nil {
			return err
		}
	}
}

type unpacker struct {
	tree   Tree
	dir    string
	owners bool
	// dirs get their modes and times last: a read-only one could not be filled,
	// and filling changes its time.
	dirs []*tar.Header
}

// inside is the place of an archive's name in the tree: ".." cannot leave dir.
func (u *unpacker) inside(name string) string { return path.Join(u.dir, path.Clean("/"+name)) }

func (u *unpacker) add(h *tar.Header, contents io.Reader) error {
	parent, base, err := u.tree.parent(u.inside(h.Name))
	if err != nil {
		return err
	}
	defer parent.Close()
	fd := int(parent.Fd())
	if h.Typeflag == tar.TypeDir {
		return u.directory(fd, base, h)
	}
	if base == "." || strings.HasSuffix(h.Name, "/") {
		return fmt.Errorf("unpack %q: a file cannot have this name", h.Name)
	}
	if err := makeRoom(fd, base, h.Name); err != nil {
		return err
	}
	if err := u.create(fd, base, h, contents); err != nil {
		return fmt.Errorf("unpack %s: %w", h.Name, err)
	}
	return nil
}

// makeRoom removes the file that is replaced.
func makeRoom(fd int, base, name string) error {
	var st unix.Stat_t
	err := unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return fmt.Errorf("unpack %s: %w", name, err)
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return fmt.Errorf("cannot overwrite directory %q with non-directory %q", name, name)
	}
	if err := unix.Unlinkat(fd, base, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unpack %s: %w", name, err)
	}
	return nil
}

func (u *unpacker) create(fd int, base string, h *tar.Header, contents io.Reader) error {
	mode := uint32(h.Mode & 0o7777)
	switch h.Typeflag {
	case tar.TypeReg:
		return u.file(fd, base, h, contents)
	case tar.TypeSymlink:
		if err := unix.Symlinkat(h.Linkname, fd, base); err != nil {
			return err
		}
		return u.own(fd, base, h)
	case tar.TypeLink:
		old, oldBase, err := u.tree.parent(u.inside(h.Linkname))
		if err != nil {
			return err
		}
		defer old.Close()
		return unix.Linkat(int(old.Fd()), oldBase, fd, base, 0)
	case tar.TypeFifo:
		mode |= unix.S_IFIFO
	case tar.TypeChar:
		mode |= unix.S_IFCHR
	case tar.TypeBlock:
		mode |= unix.S_IFBLK
	default:
		return fmt.Errorf("unknown type %q", h.Typeflag)
	}
	if err := unix.Mknodat(fd, base, mode, int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)))); err != nil {
		return err
	}
	return u.own(fd, base, h)
}

func (u *unpacker) file(fd int, base string, h *tar.Header, contents io.Reader) error {
	raw, err := unix.Openat(fd, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(raw), base)
	err = copySparse(f, contents)
	if err == nil && u.owned() {
		var uid, gid int
		if uid, gid, err = u.owner(h); err == nil {
			err = f.Chown(uid, gid)
		}
	}
	// After the owner: changing it takes setuid away.
	if err == nil {
		err = unix.Fchmod(raw, uint32(h.Mode&0o7777))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return setTime(fd, base, h)
}

func (u *unpacker) directory(fd int, base string, h *tar.Header) error {
	if base == "." {
		// The destination itself: its mode and owner are not the archive's.
		return nil
	}
	err := unix.Mkdirat(fd, base, 0o700)
	if err == nil {
		u.dirs = append(u.dirs, h)
		return u.own(fd, base, h)
	}
	if !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("unpack %s: %w", h.Name, err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("unpack %s: %w", h.Name, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("cannot overwrite non-directory %q with directory %q", base, h.Name)
	}
	return nil
}

func (u *unpacker) own(fd int, base string, h *tar.Header) error {
	if !u.owned() {
		return nil
	}
	uid, gid, err := u.owner(h)
	if err == nil {
		err = unix.Fchownat(fd, base, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return fmt.Errorf("change owner of %s: %w", h.Name, err)
	}
	return nil
}

// owned reports whether a file gets another owner than who makes it.
func (u *unpacker) owned() bool { return u.owners || u.tree.owners != nil }

// owner is whose a file becomes: the archive's, or else root's.
func (u *unpacker) owner(h *tar.Header) (uid, gid int, err error) {
	if u.owners {
		uid, gid = h.Uid, h.Gid
	}
	return u.tree.owners.outside(uid, gid)
}

func (u *unpacker) finish() error {
	for i := len(u.dirs) - 1; i >= 0; i-- {
		h := u.dirs[i]
		parent, base, err := u.tree.parent(u.inside(h.Name))
		if err != nil {
			return err
		}
		f, err := openAt(int(parent.Fd()), base, unix.O_RDONLY|unix.O_DIRECTORY)
		if err == nil {
			err = errors.Join(unix.Fchmod(int(f.Fd()), uint32(h.Mode&0o7777)), f.Close())
		}
		if err == nil {
			err = setTime(int(parent.Fd()), base, h)
		}
		parent.Close()
		if err != nil {
			return fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
	return nil
}

// setTime sets the modification time of base itself, not of what it leads to.
func setTime(dirfd int, base string, h *tar.Header) error {
	when := unix.NsecToTimespec(h.ModTime.UnixNano())
	return unix.UtimesNanoAt(dirfd, base, []unix.Timespec{when, when}, unix.AT_SYMLINK_NOFOLLOW)
}
