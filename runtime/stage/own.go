package stage

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
)

// own gives the file or directory name, with all that is below it on the same
// file system, to uid and gid. Other containers may change it meanwhile: no
// symbolic link is followed.
func own(name string, uid, gid int) error {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return give(fd, uid, gid)
}

// give is own for a descriptor, which may be an O_PATH one.
func give(fd, uid, gid int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if err := chown(fd, "", &st, uid, gid); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	dir, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return giveBelow(os.NewFile(uintptr(dir), "."), st.Dev, uid, gid)
}

// giveBelow closes dir.
func giveBelow(dir *os.File, device uint64, uid, gid int) error {
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(256)
		for _, name := range names {
			if err := giveEntry(int(dir.Fd()), name, device, uid, gid); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if len(names) == 0 || err != nil {
			return nil // the end
		}
	}
}

func giveEntry(dir int, name string, device uint64, uid, gid int) error {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) || err == nil && st.Dev != device {
		return nil // gone meanwhile, or mounted there
	}
	if err != nil {
		return err
	}
	if err := chown(dir, name, &st, uid, gid); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return err
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil // another one by now
	}
	if err != nil {
		return err
	}
	return giveBelow(os.NewFile(uintptr(fd), name), device, uid, gid)
}

// chown leaves alone what is right, so that its times stay.
func chown(dir int, name string, st *unix.Stat_t, uid, gid int) error {
	if int(st.Uid) == uid && int(st.Gid) == gid {
		return nil
	}
	flags := unix.AT_SYMLINK_NOFOLLOW
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	err := unix.Fchownat(dir, name, uid, gid, flags)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// giveSource is own by the parent, for a container that has none of the ids of
// what it mounts. Names of users are in the image: only numbers are known here.
func giveSource(mfd int, p *message.Process, l *message.Launch) error {
	user, group, _ := strings.Cut(p.UserSpec, ":")
	var ids [2]int
	for i, s := range [2]string{user, group} {
		n, err := strconv.Atoi(s)
		if err != nil && s != "" {
			return fmt.Errorf("option U needs the user by number here, not %q", p.UserSpec)
		}
		var ok bool
		if ids[i], ok = outsideOf([][]message.IDMap{l.UIDMap, l.GIDMap}[i], n); !ok {
			return fmt.Errorf("the container has no id %d", n)
		}
	}
	return give(mfd, ids[0], ids[1])
}

// outsideOf is a container's id in our namespace.
func outsideOf(list []message.IDMap, id int) (int, bool) {
	for _, m := range list {
		if n := id - m.Container; n >= 0 && n < m.Size {
			return m.Host + n, true
		}
	}
	return 0, false
}
