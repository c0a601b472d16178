package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Fill is Write for a file of a cache, of which a kill leaves nothing: until it is whole
// it has no name (O_TMPFILE, open(2)). Only where there is one already, it has another
// name for the moment of the rename.
func Fill(path string, data []byte, perm os.FileMode, d Durability) error {
	err := fill(path, data, perm, d)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENOENT) {
		// A file system, or a kernel, without such files, or no /proc.
		return Write(path, data, perm, d)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func fill(path string, data []byte, perm os.FileMode, d Durability) error {
	dir := filepath.Dir(path)
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, uint32(perm.Perm()))
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), path)
	nameless, err := hold(f, data, perm, d)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	defer nameless.Close()
	if err := f.Close(); err != nil {
		return err
	}
	name := func(as string) error {
		return unix.Linkat(unix.AT_FDCWD, held(nameless), unix.AT_FDCWD, as, unix.AT_SYMLINK_FOLLOW)
	}
	if err = name(path); errors.Is(err, unix.EEXIST) {
		attempt := attemptAt(path)
		if err = name(attempt); err == nil {
			err = os.Rename(attempt, path)
		}
	}
	if err == nil && d == Durable {
		err = SyncDir(dir)
	}
	return err
}

// hold fills the file and returns it opened for nothing but its name: a program must
// not be found while somebody has it open for writing, which would be ETXTBSY
// (execve(2)). The file itself is the caller's to close in any case.
func hold(f *os.File, data []byte, perm os.FileMode, d Durability) (*os.File, error) {
	if _, err := f.Write(data); err != nil {
		return nil, err
	}
	if err := f.Chmod(perm); err != nil {
		return nil, err
	}
	if d == Durable {
		if err := f.Sync(); err != nil {
			return nil, err
		}
	}
	fd, err := unix.Open(held(f), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func held(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }
