// Package rootfs makes a container's root file system inside its own mount
// namespace. Everything below the root is under the image's control, so that
// every path is resolved beneath the root (storage/beneath) and every mount is made
// detached and attached to a descriptor, never to a path
// (runc CVE-2021-30465, CVE-2025-31133 and their family).
package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"skiff/storage/beneath"
)

// Root is an open root directory. The zero value is not usable.
type Root struct{ fd int }

// FromMount attaches a detached mount (fsmount(2)) on the directory mountpoint
// and returns it as the root. It owns mfd then.
func FromMount(mfd int, mountpoint string) (*Root, error) {
	if err := unix.MoveMount(mfd, "", unix.AT_FDCWD, mountpoint, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return nil, fmt.Errorf("attach root on %s: %w", mountpoint, err)
	}
	return &Root{mfd}, nil
}

// CloneDir returns a detached mount of the directory dir with what is mounted
// below it. The caller attaches or closes it.
func CloneDir(dir string) (int, error) {
	mfd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return -1, fmt.Errorf("bind root %s: %w", dir, err)
	}
	return mfd, nil
}

// FromDir binds the directory dir, with what is mounted below it, on itself
// and returns it as the root. pivot_root(2) wants a mount.
func FromDir(dir string) (*Root, error) {
	mfd, err := CloneDir(dir)
	if err != nil {
		return nil, err
	}
	r, err := FromMount(mfd, dir)
	if err != nil {
		unix.Close(mfd)
	}
	return r, err
}

// Open returns the directory dir as the root, where nothing may be mounted.
func Open(dir string) (*Root, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open root %s: %w", dir, err)
	}
	return &Root{fd}, nil
}

// Chroot makes the root the process's root in the mount namespace that it is in,
// and closes r. Who has CAP_SYS_CHROOT can leave it.
func (r *Root) Chroot() error {
	if err := unix.Fchdir(r.fd); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return unix.Close(r.fd)
}

// SetPropagation sets the root mount's propagation (MS_SHARED and so on).
func (r *Root) SetPropagation(flags uintptr) error {
	attr := unix.MountAttr{Propagation: uint64(flags &^ unix.MS_REC)}
	return setattr(r.fd, flags&unix.MS_REC != 0, &attr)
}

// SetReadonly makes the root mount itself read-only, not what is mounted on it.
func (r *Root) SetReadonly() error {
	return setattr(r.fd, false, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// Pivot makes the root the process's root, detaches the old one with all that
// was mounted there, and closes r.
func (r *Root) Pivot() error {
	old, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open old root: %w", err)
	}
	defer unix.Close(old)
	if err := unix.Fchdir(r.fd); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	// Stacking the old root on the new one needs no directory for it
	// (pivot_root(2), "pivot_root(".", ".")").
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Fchdir(old); err != nil {
		return fmt.Errorf("enter old root: %w", err)
	}
	// Slave, so that the unmount is not seen in the namespace we came from.
	if err := unix.Mount("", ".", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make old root slave: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	return unix.Close(r.fd)
}

// open resolves p beneath the root: links and .. cannot leave it, and the magic
// links of procfs are not followed. It retries while somebody renames below us.
func (r *Root) open(p string, flags int) (int, error) {
	return beneath.Open(r.fd, p, flags, 0, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
}

// openPlain is open that refuses symbolic links altogether, for places where
// the kernel's own file systems go.
func (r *Root) openPlain(p string, flags int) (int, error) {
	return beneath.Open(r.fd, p, flags, 0, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_SYMLINKS)
}

// ensure opens the directory or file p beneath the root with O_PATH and makes
// what is missing of it: directories 0755, an empty file 0644. Dangling links
// are followed beneath the root, as a missing /etc/resolv.conf target wants.
func (r *Root) ensure(p string, dir bool) (int, error) {
	for range 40 { // as many links as the kernel follows, path_resolution(7)
		fd, err := r.open(p, unix.O_PATH)
		if !errors.Is(err, unix.ENOENT) {
			return fd, err
		}
		if p, err = r.grow(p, dir); err != nil {
			return -1, err
		}
	}
	return -1, unix.ELOOP
}

// grow makes the first missing component of p and returns p, or what p becomes
// when that component is a dangling link.
func (r *Root) grow(p string, dir bool) (string, error) {
	parts := strings.Split(strings.Trim(p, "/"), "/")
	for i, name := range parts {
		if name == "" || name == "." || name == ".." {
			continue
		}
		parent := strings.Join(parts[:i], "/")
		if fd, err := r.open(parent+"/"+name, unix.O_PATH); err == nil {
			unix.Close(fd)
			continue
		} else if !errors.Is(err, unix.ENOENT) {
			return "", err
		}
		at, err := r.open(parent, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return "", err
		}
		defer unix.Close(at)
		buf := make([]byte, unix.PathMax)
		if n, err := unix.Readlinkat(at, name, buf); err == nil {
			target := string(buf[:n])
			if !path.IsAbs(target) {
				target = parent + "/" + target
			}
			return target + "/" + strings.Join(parts[i+1:], "/"), nil
		}
		if dir || i < len(parts)-1 {
			err = unix.Mkdirat(at, name, 0o755)
		} else {
			err = unix.Mknodat(at, name, unix.S_IFREG|0o644, 0)
		}
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return "", fmt.Errorf("make %s: %w", p, err)
		}
		return p, nil
	}
	return p, nil
}

func setattr(fd int, recursive bool, attr *unix.MountAttr) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	if err := unix.MountSetattr(fd, "", flags, attr); err != nil {
		return fmt.Errorf("mount_setattr: %w", err)
	}
	return nil
}

// isDir reports whether an open descriptor is a directory.
func isDir(fd int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, os.NewSyscallError("fstat", err)
	}
	return st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}
