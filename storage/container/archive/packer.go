package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// xattrRecord is the prefix of the PAX records that hold extended attributes,
// as docker, GNU tar and bsdtar write them.
const xattrRecord = "SCHILY.xattr."

type inode struct{ dev, ino uint64 }

// Packer writes files into a tar stream, one by one. Hard links stay links;
// sockets are left out; times keep their nanoseconds.
type Packer struct {
	tar *tar.Writer
	// links are the names of files with several links that were written already.
	links map[inode]string
	// Xattrs asks for extended attributes, without those of overlay.
	Xattrs bool
	owners *Owners
	// Entries counts what was written.
	Entries int
}

// NewPacker returns a packer that writes to w. The caller closes it.
func NewPacker(w io.Writer) *Packer {
	return &Packer{tar: tar.NewWriter(w), links: make(map[inode]string)}
}

// Close ends the archive; w stays open.
func (p *Packer) Close() error { return p.tar.Close() }

// Add writes the file base of the directory dirfd, whose status is st, under
// the name as, with its contents; of a directory only itself.
func (p *Packer) Add(dirfd int, base, as string, st *unix.Stat_t) error {
	uid, gid := p.owners.inside(int(st.Uid), int(st.Gid))
	h := &tar.Header{
		Name: as, Mode: int64(st.Mode & 0o7777), Uid: uid, Gid: gid,
		ModTime: time.Unix(st.Mtim.Unix()), Format: tar.FormatPAX,
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && st.Nlink > 1 && kind != unix.S_IFSOCK {
		id := inode{st.Dev, st.Ino}
		if first, ok := p.links[id]; ok {
			h.Typeflag, h.Linkname = tar.TypeLink, first
			return p.header(h)
		}
		p.links[id] = as
	}
	switch kind {
	case unix.S_IFREG:
		return p.file(dirfd, base, h)
	case unix.S_IFDIR:
		h.Typeflag = tar.TypeDir
		h.Name += "/"
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
		if kind == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	default:
		return nil
	}
	if err := p.attributes(dirfd, base, h); err != nil {
		return err
	}
	return p.header(h)
}

// Empty writes a file without contents: a mark for whoever unpacks.
func (p *Packer) Empty(as string) error {
	return p.header(&tar.Header{Name: as, Typeflag: tar.TypeReg, Mode: 0o600, ModTime: time.Unix(0, 0), Format: tar.FormatPAX})
}

func (p *Packer) header(h *tar.Header) error {
	p.Entries++
	if err := p.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("pack %.200q: %w", h.Name, err)
	}
	return nil
}

func (p *Packer) file(dirfd int, base string, h *tar.Header) error {
	h.Typeflag = tar.TypeReg
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
	if err := p.attributes(dirfd, base, h); err != nil {
		return err
	}
	if err := p.header(h); err != nil {
		return err
	}
	if n, err := io.CopyN(p.tar, f, h.Size); err != nil {
		return fmt.Errorf("read %s: it shrank to %d bytes meanwhile: %w", h.Name, n, err)
	}
	return nil
}

// attributes puts the file's extended attributes into its header.
func (p *Packer) attributes(dirfd int, base string, h *tar.Header) error {
	if !p.Xattrs {
		return nil
	}
	path := PathAt(dirfd, base)
	names, err := Xattrs(path)
	for _, name := range names {
		// What overlay notes for itself; posix_acl and selinux mean something on
		// this machine only.
		class, rest, _ := strings.Cut(name, ".")
		if strings.HasPrefix(rest, "overlay.") || strings.HasPrefix(rest, "fuseoverlayfs.") ||
			class == "system" || name == "security.selinux" {
			continue
		}
		value, verr := Xattr(path, name)
		if errors.Is(verr, unix.ENODATA) {
			continue
		}
		if verr != nil {
			return fmt.Errorf("read attribute %s of %s: %w", name, h.Name, verr)
		}
		if h.PAXRecords == nil {
			h.PAXRecords = make(map[string]string)
		}
		h.PAXRecords[xattrRecord+name] = string(value)
	}
	if err != nil {
		return fmt.Errorf("read attributes of %s: %w", h.Name, err)
	}
	return nil
}

// PathAt is a path that means base in the directory dirfd to calls that take no
// descriptor. They must not follow a link at its end.
func PathAt(dirfd int, base string) string { return fmt.Sprintf("/proc/self/fd/%d/%s", dirfd, base) }

// Xattrs lists the extended attributes of a file, which may be a symbolic link.
// A file system without any has none.
func Xattrs(path string) ([]string, error) {
	for {
		size, err := unix.Llistxattr(path, nil)
		if err != nil || size == 0 {
			if errors.Is(err, unix.ENOTSUP) {
				err = nil
			}
			return nil, err
		}
		list := make([]byte, size)
		size, err = unix.Llistxattr(path, list)
		if errors.Is(err, unix.ERANGE) {
			continue // one was added meanwhile
		}
		if err != nil {
			return nil, err
		}
		names := strings.Split(strings.TrimSuffix(string(list[:size]), "\x00"), "\x00")
		slices.Sort(names)
		return names, nil
	}
}

// Xattr returns the value of an extended attribute.
func Xattr(path, name string) ([]byte, error) {
	for {
		size, err := unix.Lgetxattr(path, name, nil)
		if err != nil {
			return nil, err
		}
		value := make([]byte, size)
		n, err := unix.Lgetxattr(path, name, value)
		if errors.Is(err, unix.ERANGE) {
			continue
		}
		return value[:max(n, 0)], err
	}
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
