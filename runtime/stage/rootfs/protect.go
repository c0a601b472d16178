package rootfs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Mask hides paths: files behind /dev/null, directories behind one empty
// read-only tmpfs. What does not exist needs no hiding.
func (r *Root) Mask(paths []string) error {
	null, empty := -1, -1
	defer func() {
		for _, fd := range []int{null, empty} {
			if fd >= 0 {
				unix.Close(fd)
			}
		}
	}()
	for _, p := range paths {
		target, err := r.openPlain(p, unix.O_PATH)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("mask %s: %w", p, err)
		}
		dir, err := isDir(target)
		if err == nil {
			switch {
			case !dir && null < 0:
				if null, err = nullDevice(); err == nil {
					err = cloneOnto(null, target)
				}
			case !dir:
				err = cloneOnto(null, target)
			case empty < 0:
				// Attached itself: before Linux 6.15 a mount that is attached to
				// nothing cannot be cloned.
				if empty, err = emptyDir(); err == nil {
					err = attach(empty, target)
				}
			default:
				err = cloneOnto(empty, target)
			}
		}
		unix.Close(target)
		if err != nil {
			return fmt.Errorf("mask %s: %w", p, err)
		}
	}
	return nil
}

// Protect makes paths read-only, with all that is mounted below them. What
// does not exist needs no protection.
func (r *Root) Protect(paths []string) error {
	for _, p := range paths {
		target, err := r.openPlain(p, unix.O_PATH)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("protect %s: %w", p, err)
		}
		err = protect(target)
		unix.Close(target)
		if err != nil {
			return fmt.Errorf("protect %s: %w", p, err)
		}
	}
	return nil
}

func protect(target int) error {
	mfd, err := unix.OpenTree(target, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	defer unix.Close(mfd)
	if err := setattr(mfd, true, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return err
	}
	return attach(mfd, target)
}

func cloneOnto(source, target int) error {
	mfd, err := unix.OpenTree(source, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	defer unix.Close(mfd)
	return attach(mfd, target)
}

// nullDevice opens this machine's /dev/null and makes sure that it is one: we
// are not pivoted yet, so no image can have put it there.
func nullDevice() (int, error) {
	fd, err := unix.Open("/dev/null", unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open /dev/null: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3) {
		unix.Close(fd)
		return -1, fmt.Errorf("/dev/null is not the null device")
	}
	return fd, nil
}

func emptyDir() (int, error) {
	return New("tmpfs", "tmpfs", []string{"size=0", "nr_inodes=1", "mode=0555"}, unix.MOUNT_ATTR_RDONLY|
		unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
}

// WriteProc writes a value to a file of the container's own procfs, named
// beneath /proc. It refuses anything that is not procfs
// (runc CVE-2025-52881: the write must not land in another file).
func (r *Root) WriteProc(name, value string) error {
	fd, err := r.openPlain("/proc/"+name, unix.O_WRONLY|unix.O_NOCTTY)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer unix.Close(fd)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.PROC_SUPER_MAGIC {
		return fmt.Errorf("/proc is not a procfs")
	}
	if _, err := unix.Write(fd, []byte(value)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
