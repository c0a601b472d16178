// Package beneath opens files in trees that somebody else has made, so that links and
// .. in them do not lead out: openat2(2), and where that is refused the same by hand.
// A unit of systemd's with RestrictSUIDSGID=yes, which DynamicUser=yes implies, refuses
// it: its filter cannot read what the call points to.
package beneath

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxTries bounds how often a rename beside us may begin the search anew.
	maxTries = 1000
	// maxLinks is as many as the kernel follows, path_resolution(7).
	maxLinks = 40
)

// Open opens name in the directory dir. Leading slashes are dropped, nothing left is
// the directory itself; flags and mode are those of open(2), O_CLOEXEC is added;
// resolve has RESOLVE_IN_ROOT or RESOLVE_BENEATH, and may have RESOLVE_NO_SYMLINKS and
// RESOLVE_NO_MAGICLINKS. Errors are the kernel's.
func Open(dir int, name string, flags int, mode uint32, resolve uint64) (int, error) {
	if name = strings.TrimLeft(name, "/"); name == "" {
		name = "."
	}
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Mode: uint64(mode), Resolve: resolve}
	open := func() (int, error) { return unix.Openat2(dir, name, &how) }
	for tries := 0; ; tries++ {
		fd, err := open()
		switch {
		case errors.Is(err, unix.ENOSYS):
			open = func() (int, error) { return byHand(dir, name, &how) }
		// EAGAIN: a rename raced with a .. (openat2(2)).
		case (errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR)) && tries < maxTries:
		default:
			return fd, err
		}
	}
}

// walk is a search from directory to directory. It goes back by the descriptors that
// it came by, never by .., so that whoever moves directories meanwhile cannot lead it
// out.
type walk struct {
	root  int
	dirs  []int // below the root, the last is where we are
	rest  []string
	links int
}

func (w *walk) at() int {
	if len(w.dirs) == 0 {
		return w.root
	}
	return w.dirs[len(w.dirs)-1]
}

// back returns to the directory that was entered after keep others.
func (w *walk) back(keep int) {
	for _, fd := range w.dirs[keep:] {
		unix.Close(fd)
	}
	w.dirs = w.dirs[:keep]
}

// byHand is openat2(2) by others. EAGAIN says that something changed meanwhile.
func byHand(root int, name string, how *unix.OpenHow) (int, error) {
	w := &walk{root: root, rest: parts(name)}
	defer w.back(0)
	flags, mode := int(how.Flags), uint32(how.Mode)
	if flags&unix.O_CREAT != 0 && strings.HasSuffix(name, "/") {
		return -1, unix.EISDIR
	}
	for len(w.rest) > 0 {
		part := w.rest[0]
		w.rest = w.rest[1:]
		switch {
		case part == ".":
			continue
		case part == ".." && len(w.dirs) > 0:
			w.back(len(w.dirs) - 1)
			continue
		case part == ".." && how.Resolve&unix.RESOLVE_BENEATH != 0:
			return -1, unix.EXDEV
		case part == "..":
			continue
		}
		last := len(w.rest) == 0
		fd, err := unix.Openat(w.at(), part, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if last && flags&unix.O_CREAT != 0 && (errors.Is(err, unix.ENOENT) || err == nil && flags&unix.O_EXCL != 0) {
			if err == nil {
				unix.Close(fd)
			}
			return w.open(part, flags, mode)
		}
		if err != nil {
			return -1, err
		}
		var is unix.Stat_t
		if err := unix.Fstat(fd, &is); err != nil {
			unix.Close(fd)
			return -1, err
		}
		switch kind := is.Mode & unix.S_IFMT; {
		case kind == unix.S_IFLNK && (!last || flags&unix.O_NOFOLLOW == 0):
			err := w.follow(fd, how.Resolve)
			unix.Close(fd)
			if err == nil && last && flags&unix.O_CREAT != 0 && w.rest[len(w.rest)-1] == "." {
				err = unix.EISDIR
			}
			if err != nil {
				return -1, err
			}
		case !last && kind != unix.S_IFDIR:
			unix.Close(fd)
			return -1, unix.ENOTDIR
		case !last:
			w.dirs = append(w.dirs, fd)
		case flags&unix.O_PATH != 0 && (flags&unix.O_DIRECTORY == 0 || kind == unix.S_IFDIR):
			return fd, nil
		default:
			unix.Close(fd)
			return w.open(part, flags, mode)
		}
	}
	// The directory that we are in.
	return unix.Openat(w.at(), ".", flags, mode)
}

// open opens what is no link, or was none a moment ago.
func (w *walk) open(part string, flags int, mode uint32) (int, error) {
	fd, err := unix.Openat(w.at(), part, flags|unix.O_NOFOLLOW, mode)
	if errors.Is(err, unix.ELOOP) && flags&unix.O_NOFOLLOW == 0 {
		err = unix.EAGAIN
	}
	return fd, err
}

// follow puts where a link leads before the rest of the way.
func (w *walk) follow(link int, resolve uint64) error {
	w.links++
	if resolve&unix.RESOLVE_NO_SYMLINKS != 0 || w.links > maxLinks {
		return unix.ELOOP
	}
	// Which of procfs's links are magic nobody tells: none is followed.
	var fs unix.Statfs_t
	if err := unix.Fstatfs(link, &fs); err != nil {
		return err
	}
	if resolve&unix.RESOLVE_NO_MAGICLINKS != 0 && fs.Type == unix.PROC_SUPER_MAGIC {
		return unix.ELOOP
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(link, "", buf)
	if err != nil {
		return err
	}
	target := string(buf[:n])
	if strings.HasPrefix(target, "/") {
		if resolve&unix.RESOLVE_BENEATH != 0 {
			return unix.EXDEV
		}
		w.back(0)
	}
	w.rest = append(parts(target), w.rest...)
	return nil
}

// parts are a path's; a slash at its end wants a directory.
func parts(name string) (all []string) {
	for _, part := range strings.Split(name, "/") {
		if part != "" {
			all = append(all, part)
		}
	}
	if strings.HasSuffix(name, "/") {
		all = append(all, ".")
	}
	return all
}
