package build

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"skiff/storage/beneath"

	"golang.org/x/sys/unix"
)

// tree is a root directory that files are put into. Every path is resolved
// beneath it (storage/beneath): links in it mean what they mean inside.
type tree struct{ root *os.File }

// owner is whom a file is given to.
type owner struct{ uid, gid int }

func (t *tree) open(name string, flags int) (*os.File, error) {
	return openIn(int(t.root.Fd()), name, flags, 0, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
}

// openIn opens name beneath the directory dirfd.
func openIn(dirfd int, name string, flags int, mode uint32, resolve uint64) (*os.File, error) {
	rel := strings.TrimLeft(path.Clean("/"+name), "/")
	fd, err := beneath.Open(dirfd, rel, flags, mode, resolve)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), rel), nil
}

// mkdirAll makes the directory name and those above it that are missing, and
// opens it.
func (t *tree) mkdirAll(name string, own owner, mode uint32) (*os.File, error) {
	return t.mkdirAllAt(name, own, mode, nil)
}

func (t *tree) mkdirAllAt(name string, own owner, mode uint32, epoch *time.Time) (*os.File, error) {
	at, err := t.open("/", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	done := "/"
	for _, part := range strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/") {
		if part == "" {
			break
		}
		done = path.Join(done, part)
		next, err := t.open(done, unix.O_PATH|unix.O_DIRECTORY)
		if errors.Is(err, unix.ENOENT) {
			if err = unix.Mkdirat(int(at.Fd()), part, mode); err == nil {
				next, err = t.open(done, unix.O_PATH|unix.O_DIRECTORY)
			}
			if err == nil {
				fd := int(next.Fd())
				err = errors.Join(unix.Fchownat(fd, "", own.uid, own.gid, unix.AT_EMPTY_PATH), chmodFD(fd, mode))
				if epoch != nil && err == nil {
					err = setTime(int(at.Fd()), part, unix.NsecToTimespec(epoch.UnixNano()))
				}
			}
		}
		at.Close()
		if err != nil {
			if next != nil {
				next.Close()
			}
			return nil, fmt.Errorf("make directory %s: %w", done, err)
		}
		at = next
	}
	return at, nil
}

// chmodFD changes the mode of an O_PATH descriptor.
func chmodFD(fd int, mode uint32) error {
	return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), mode)
}

func setTime(dirfd int, name string, when unix.Timespec) error {
	return unix.UtimesNanoAt(dirfd, name, []unix.Timespec{when, when}, unix.AT_SYMLINK_NOFOLLOW)
}

// putOptions say what files become.
type putOptions struct {
	owner *owner // nil: as they are
	mode  *modeChange
	epoch *time.Time
}

// put copies what was found to name: into it if that is a directory or is
// written like one; the contents of a directory become its contents.
func (t *tree) put(ctx context.Context, f *found, name string, o putOptions) error {
	var own owner
	if o.owner != nil {
		own = *o.owner
	}
	if f.dir {
		at, err := t.mkdirAllAt(name, own, 0o755, o.epoch)
		if err != nil {
			return err
		}
		defer at.Close()
		return putAll(ctx, f, at, o)
	}
	into := strings.HasSuffix(name, "/")
	if !into {
		if d, err := t.open(name, unix.O_PATH|unix.O_DIRECTORY); err == nil {
			d.Close()
			into = true
		}
	}
	dir, base := name, f.name
	if !into {
		dir, base = path.Split(name)
	}
	at, err := t.mkdirAllAt(dir, own, 0o755, o.epoch)
	if err != nil {
		return err
	}
	defer at.Close()
	return putOne(f, &f.entries[0], at, base, o)
}

// putAll copies the entries of a directory.
func putAll(ctx context.Context, f *found, at *os.File, o putOptions) error {
	var dirs []*entry
	for i := range f.entries {
		e := &f.entries[i]
		if i%64 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := putOne(f, e, at, e.path, o); err != nil {
			return err
		}
		if e.kind() == unix.S_IFDIR {
			dirs = append(dirs, e)
		}
	}
	// Last, because what is put into a directory changes its time.
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := setTime(int(at.Fd()), dirs[i].path, o.time(dirs[i])); err != nil {
			return fmt.Errorf("set time of %s: %w", dirs[i].path, err)
		}
	}
	return nil
}

func (o *putOptions) time(e *entry) unix.Timespec {
	if o.epoch != nil {
		return unix.NsecToTimespec(o.epoch.UnixNano())
	}
	return e.mtime
}

// putOne copies one entry to name below at.
func putOne(f *found, e *entry, at *os.File, name string, o putOptions) error {
	own := owner{e.uid, e.gid}
	if o.owner != nil {
		own = *o.owner
	}
	mode := e.mode & 0o7777
	if o.mode != nil && e.kind() != unix.S_IFLNK {
		mode = o.mode.apply(mode, e.kind() == unix.S_IFDIR)
	}
	dirfd := int(at.Fd())
	var err error
	switch e.kind() {
	case unix.S_IFDIR:
		err = unix.Mkdirat(dirfd, name, mode)
		if errors.Is(err, unix.EEXIST) {
			var st unix.Stat_t
			if err = unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
				return fmt.Errorf("cannot copy to non-directory: /%s", name)
			}
		}
		if err == nil {
			err = unix.Fchownat(dirfd, name, own.uid, own.gid, unix.AT_SYMLINK_NOFOLLOW)
		}
		if err == nil {
			err = unix.Fchmodat(dirfd, name, mode, 0)
		}
	case unix.S_IFREG:
		err = putFile(f, e, dirfd, name, own, mode, o.time(e))
	case unix.S_IFLNK:
		err = replacing(dirfd, name, func() error { return unix.Symlinkat(e.link, dirfd, name) })
		if err == nil {
			err = unix.Fchownat(dirfd, name, own.uid, own.gid, unix.AT_SYMLINK_NOFOLLOW)
		}
		if err == nil {
			err = setTime(dirfd, name, o.time(e))
		}
	case unix.S_IFIFO:
		err = replacing(dirfd, name, func() error { return unix.Mknodat(dirfd, name, unix.S_IFIFO|mode, 0) })
		if err == nil {
			err = unix.Fchownat(dirfd, name, own.uid, own.gid, unix.AT_SYMLINK_NOFOLLOW)
		}
	default:
		return nil // sockets and devices are not copied
	}
	if err == nil && e.xattrs != nil {
		err = e.setXattrs(dirfd, name)
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", e.path, err)
	}
	return nil
}

// replacing calls create, and once more without what was in its way.
func replacing(dirfd int, name string, create func() error) error {
	err := create()
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := unix.Unlinkat(dirfd, name, 0); err != nil {
		if errors.Is(err, unix.EISDIR) {
			return errors.New("cannot overwrite a directory with a file")
		}
		return err
	}
	return create()
}

func putFile(f *found, e *entry, dirfd int, name string, own owner, mode uint32, when unix.Timespec) error {
	in, err := f.openEntry(e)
	if err != nil {
		return err
	}
	defer in.Close()
	fd := -1
	err = replacing(dirfd, name, func() (err error) {
		fd, err = unix.Openat(dirfd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	out := os.NewFile(uintptr(fd), name)
	defer out.Close()
	n, err := copyData(out, in, e.size)
	if err != nil {
		return err
	}
	if n != e.size {
		return errors.New("it changed while it was copied")
	}
	if own.uid != 0 || own.gid != 0 {
		if err := unix.Fchown(fd, own.uid, own.gid); err != nil {
			return err
		}
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return err
	}
	return setTime(dirfd, name, when)
}

// copyData copies in the kernel where that can be, sharing blocks if the file
// system does.
func copyData(out, in *os.File, size int64) (int64, error) {
	if size == 0 {
		return 0, nil
	}
	if size > 64<<10 {
		return io.Copy(out, in)
	}
	buf := make([]byte, size+1)
	n, err := io.ReadFull(in, buf)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, err
	}
	_, err = out.Write(buf[:n])
	return int64(n), err
}

// owner reads user[:group] with the names of the root.
func (w *work) owner(text string) (owner, error) {
	var o owner
	if text == "" {
		return o, nil
	}
	user, group, hasGroup := strings.Cut(text, ":")
	var err error
	var primary int
	if o.uid, err = readID(user); errors.Is(err, errNoNumber) {
		if o.uid, primary, err = w.tree.lookup("etc/passwd", user); err != nil {
			return o, fmt.Errorf("invalid user index: -1: %w", err)
		}
		o.gid = primary
	} else if err != nil {
		return o, fmt.Errorf("invalid user %q: %w", user, err)
	} else if !hasGroup {
		o.gid = o.uid
	}
	if hasGroup {
		if o.gid, err = readID(group); err != nil && !errors.Is(err, errNoNumber) {
			return o, fmt.Errorf("invalid group %q: %w", group, err)
		} else if err != nil {
			if o.gid, _, err = w.tree.lookup("etc/group", group); err != nil {
				return o, fmt.Errorf("invalid group index: -1: %w", err)
			}
		}
	}
	return o, nil
}

var (
	errNoNumber = errors.New("it is no number")
	errNoID     = errors.New("ids are from 0 to 2147483647")
)

// readID reads the number of a user or a group. The kernel would cut a larger one
// off, and take -1 for "leave it".
func readID(text string) (int, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return 0, errNoNumber
	case err != nil || n < 0 || n > 1<<31-1:
		return 0, errNoID
	}
	return int(n), nil
}

// lookup finds a name in passwd(5) or group(5) and returns its number and, of a
// user, the primary group's.
func (t *tree) lookup(file, name string) (id, group int, err error) {
	f, err := t.open(file, unix.O_RDONLY)
	if err != nil {
		return 0, 0, fmt.Errorf("look up %q: %w", name, err)
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, 16<<20))
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) < 3 || fields[0] != name {
			continue
		}
		if id, err = readID(fields[2]); err != nil {
			continue
		}
		if len(fields) > 3 {
			if group, err = readID(fields[3]); errors.Is(err, errNoID) {
				return 0, 0, fmt.Errorf("%q in /%s: %w", name, file, err)
			}
		}
		return id, group, nil
	}
	return 0, 0, fmt.Errorf("%q is not in /%s", name, file)
}
