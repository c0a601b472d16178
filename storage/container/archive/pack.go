package archive

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
	"path"
	"time"

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
	p := packer{tar.NewWriter(w), map[inode]string{}}
	if err := p.add(int(parent.Fd()), base, as); err != nil {
		return err
	}
	return p.tar.Close()
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

type inode struct{ dev, ino uint64 }

type packer struct {
	tar   *tar.Writer
	links map[inode]string // files with several links: the name of the first
}

// add writes base, which lies in the directory dirfd, under the name as.
func (p *packer) add(dirfd int, base, as string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat %s: %w", as, err)
	}
	h := &tar.Header{
		Name: as, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: time.Unix(st.Mtim.Unix()), Format: tar.FormatPAX,
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return p.file(dirfd, base, h, &st)
	case unix.S_IFDIR:
		return p.directory(dirfd, base, h)
	case unix.S_IFLNK:
		link, err := readLink(dirfd, base)
		if err != nil {
			return err
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, link
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	default:
		return nil
	}
	return p.tar.WriteHeader(h)
}

func (p *packer) file(dirfd int, base string, h *tar.Header, st *unix.Stat_t) error {
	h.Typeflag = tar.TypeReg
	if st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, ok := p.links[id]; ok {
			h.Typeflag, h.Linkname = tar.TypeLink, first
			return p.tar.WriteHeader(h)
		}
		p.links[id] = h.Name
	}
	f, err := openAt(dirfd, base, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer f.Close()
	// It may have been replaced since: only what is open counts.
	var opened unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &opened); err != nil || opened.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("read %s: it changed meanwhile", h.Name)
	}
	h.Size = opened.Size
	if err := p.tar.WriteHeader(h); err != nil {
		return err
	}
	if n, err := io.CopyN(p.tar, f, h.Size); err != nil {
		return fmt.Errorf("read %s: it shrank to %d bytes meanwhile: %w", h.Name, n, err)
	}
	return nil
}

func (p *packer) directory(dirfd int, base string, h *tar.Header) error {
	h.Typeflag = tar.TypeDir
	name := h.Name
	h.Name += "/"
	if err := p.tar.WriteHeader(h); err != nil {
		return err
	}
	f, err := openAt(dirfd, base, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	for _, n := range names {
		if err := p.add(int(f.Fd()), n, path.Join(name, n)); err != nil {
			return err
		}
	}
	return nil
}

// openAt opens one name in a directory, never through a symbolic link.
func openAt(dirfd int, base string, flags int) (*os.File, error) {
	for {
		fd, err := unix.Openat(dirfd, base, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", base, err)
		}
		return os.NewFile(uintptr(fd), base), nil
	}
}
