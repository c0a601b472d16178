package rootfs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
)

// OpenMount returns what m, of type "bind" or message.ImageMount, shows as a mount
// that is attached to nothing yet, with m's attributes. An image's Subpath is
// left to Mount: part of a mount can be shown only where that is attached.
func OpenMount(m *message.Mount) (int, error) {
	open := bind
	if m.Type == message.ImageMount {
		open = image
	}
	mfd, err := open(m)
	if err != nil {
		return -1, mountError(m, err)
	}
	return mfd, nil
}

// image mounts the layers of an image with a writable one of this mount's above.
// It may change the working directory, as Overlay does.
func image(m *message.Mount) (int, error) {
	for _, dir := range []string{m.Image.Upper, m.Image.Work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return -1, fmt.Errorf("make directory: %w", err)
		}
	}
	mfd, err := Overlay(m.Image)
	if errors.Is(err, ErrNoOverlay) {
		if older, failed := OldOverlay(m.Image); failed == nil {
			mfd, err = older, nil
		}
	}
	if err != nil {
		return -1, err
	}
	if err := dress(mfd, m); err != nil {
		unix.Close(mfd)
		return -1, err
	}
	return mfd, nil
}

// OpenFile returns f's file as a mount that is attached to nothing yet.
func OpenFile(f *message.File) (int, error) {
	mfd, err := unix.OpenTree(unix.AT_FDCWD, f.Source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", f.Source, err)
	}
	return mfd, nil
}

// OpenVolume opens the directory that c fills.
func OpenVolume(c *message.Copy) (int, error) {
	fd, err := unix.Open(c.To, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open volume: %w", err)
	}
	return fd, nil
}

// GiveVolume makes a volume that nobody has used yet the root's of a container
// that is the user uid and the group gid here.
func GiveVolume(fd, uid, gid int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("stat volume: %w", err)
	}
	names, err := entries(fd)
	if err != nil || len(names) > 0 || st.Uid != 0 || st.Gid != 0 {
		return err
	}
	if err := unix.Fchown(fd, uid, gid); err != nil {
		return fmt.Errorf("give volume to the container: %w", err)
	}
	return nil
}

func mountError(m *message.Mount, err error) error {
	return fmt.Errorf("mount %s on %s: %w", m.Type, m.Destination, err)
}
