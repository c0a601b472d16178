package rootfs

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
	"skiff/storage/beneath"
)

// Fill copies what the root has at c.Path into the directory c.To of this
// machine if that is empty: docker's rule for a new volume. Nothing in the root
// is an error, and neither is a file there. The volume is locked meanwhile, so
// that two first users do not mix. to is what OpenVolume returned, -1 to open it
// here.
func (r *Root) Fill(c *message.Copy, to int) error {
	if to < 0 {
		var err error
		if to, err = OpenVolume(c); err != nil {
			return err
		}
	}
	defer unix.Close(to)
	if err := unix.Flock(to, unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock volume: %w", err)
	}
	from, err := r.open(c.Path, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", c.Path, err)
	}
	defer unix.Close(from)
	names, err := entries(to)
	if err != nil || len(names) > 0 {
		return err
	}
	return copyTree(from, to)
}

// copyUp fills the new mount mfd with what target has; keepMode leaves the mode
// that the mount was asked to have.
func copyUp(target, mfd int, keepMode bool) error {
	from, err := beneath.Open(target, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0, unix.RESOLVE_BENEATH)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	to, err := beneath.Open(mfd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0, unix.RESOLVE_BENEATH)
	if err != nil {
		return err
	}
	defer unix.Close(to)
	var st unix.Stat_t
	if err := unix.Fstat(to, &st); err != nil {
		return err
	}
	if err := copyTree(from, to); err != nil || !keepMode {
		return err
	}
	return unix.Fchmod(to, st.Mode&0o7777)
}

// copyTree copies the directory from onto the directory to: owners, modes,
// times and extended attributes with it. No link is followed.
func copyTree(from, to int) error {
	names, err := entries(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := copyEntry(from, to, name); err != nil {
			return fmt.Errorf("copy %.255s: %w", name, err)
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(from, &st); err != nil {
		return err
	}
	if err := copyXattrs(from, to); err != nil {
		return err
	}
	if err := unix.Fchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Fchmod(to, st.Mode&0o7777); err != nil {
		return err
	}
	return unix.UtimesNanoAt(to, ".", []unix.Timespec{st.Atim, st.Mtim}, 0)
}

func copyEntry(from, to int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(from, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return copyDir(from, to, name)
	case unix.S_IFREG:
		return copyFile(from, to, name, &st)
	case unix.S_IFLNK:
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(from, name, buf)
		if err != nil {
			return err
		}
		if err := unix.Symlinkat(string(buf[:n]), to, name); err != nil {
			return err
		}
	case unix.S_IFIFO:
		if err := unix.Mknodat(to, name, st.Mode, 0); err != nil {
			return err
		}
	default:
		return nil // devices and sockets mean nothing in a copy
	}
	if err := unix.Fchownat(to, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	return unix.UtimesNanoAt(to, name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

func copyDir(from, to int, name string) error {
	if err := unix.Mkdirat(to, name, 0o700); err != nil {
		return err
	}
	flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	src, err := unix.Openat(from, name, flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	dst, err := unix.Openat(to, name, flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dst)
	return copyTree(src, dst)
}

func copyFile(from, to int, name string, st *unix.Stat_t) error {
	src, err := unix.Openat(from, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	dst, err := unix.Openat(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(dst)
	if err := copyBytes(dst, src); err != nil {
		return err
	}
	if err := copyXattrs(src, dst); err != nil {
		return err
	}
	if err := unix.Fchown(dst, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Fchmod(dst, st.Mode&0o7777); err != nil {
		return err
	}
	times := [2]unix.Timespec{st.Atim, st.Mtim}
	return unix.UtimesNanoAt(to, name, times[:], unix.AT_SYMLINK_NOFOLLOW)
}

func copyBytes(dst, src int) error {
	for {
		n, err := unix.CopyFileRange(src, nil, dst, nil, 1<<30, 0)
		if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
			break
		}
		if err != nil || n == 0 {
			return err
		}
	}
	buf := make([]byte, 128<<10)
	for {
		n, err := unix.Read(src, buf)
		if err != nil || n == 0 {
			return err
		}
		for p := buf[:n]; len(p) > 0; {
			w, err := unix.Write(dst, p)
			if err != nil {
				return err
			}
			if w == 0 {
				return io.ErrShortWrite
			}
			p = p[w:]
		}
	}
}

// copyXattrs copies user and security attributes; one that the file system or
// an ordinary user cannot set is left out.
func copyXattrs(from, to int) error {
	size, err := unix.Flistxattr(from, nil)
	if err != nil || size == 0 {
		return nil
	}
	list := make([]byte, size)
	if size, err = unix.Flistxattr(from, list); err != nil {
		return nil
	}
	for start, i := 0, 0; i < size; i++ {
		if list[i] != 0 {
			continue
		}
		name := string(list[start:i])
		start = i + 1
		value := make([]byte, 64<<10)
		if n, err := unix.Fgetxattr(from, name, value); err == nil {
			err = unix.Fsetxattr(to, name, value[:n], 0)
			if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
				return err
			}
		}
	}
	return nil
}

// entries returns the names in a directory, without . and .. .
func entries(fd int) ([]string, error) {
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return nil, err
	}
	var names []string
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}
