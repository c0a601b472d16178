package env

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrToTerminal says, as docker does, that an archive does not belong on a
// terminal.
var ErrToTerminal = errors.New("cowardly refusing to save to a terminal. Use the -o flag or redirect")

// Output is where a command writes an archive: standard output, or a file that
// appears whole with Commit or not at all.
type Output struct {
	io.Writer
	path string
	file *os.File // without a name yet; nil for standard output
	temp string   // its name, on a file system that does not do without
}

// Output opens the file at path for writing, or standard output if path is
// empty. Errors are in docker's words. The caller closes it.
func (e *Env) Output(path string) (*Output, error) {
	if path == "" {
		if Terminal(e.Out) {
			return nil, ErrToTerminal
		}
		return &Output{Writer: e.Out}, nil
	}
	path = filepath.Clean(path)
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("invalid output path: %w", err)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("cannot write to a %s", kindOf(info.Mode()))
	}
	o := &Output{path: path}
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		o.file = os.NewFile(uintptr(fd), path)
	} else if o.file, err = os.CreateTemp(dir, ".skiff-*"); err == nil {
		o.temp = o.file.Name()
	}
	if err != nil {
		return nil, err
	}
	o.Writer = o.file
	return o, nil
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "directory"
	case mode&fs.ModeCharDevice != 0:
		return "character device file"
	case mode&fs.ModeDevice != 0:
		return "block device file"
	case mode&fs.ModeNamedPipe != 0:
		return "named pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	}
	return "irregular file"
}

// Commit makes the file appear under its name, in place of one that had it.
func (o *Output) Commit() error {
	if o.file == nil {
		return nil
	}
	// As docker's client does: who saves an image in order to remove it must
	// have it.
	if err := o.file.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", o.path, err)
	}
	if o.temp == "" {
		link := func(name string) error {
			return unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(int(o.file.Fd())), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
		}
		err := link(o.path)
		if err == nil {
			return nil
		}
		// A link replaces nothing, a rename does.
		if temp := filepath.Join(filepath.Dir(o.path), ".skiff-"+strconv.Itoa(os.Getpid())); errors.Is(err, unix.EEXIST) {
			if err = link(temp); err == nil {
				o.temp = temp
			}
		}
		if err != nil {
			return fmt.Errorf("name %s: %w", o.path, err)
		}
	}
	if err := os.Rename(o.temp, o.path); err != nil {
		return err
	}
	o.temp = ""
	return nil
}

// Close lets go of the file. Without Commit nothing is left of it.
func (o *Output) Close() error {
	if o.file == nil {
		return nil
	}
	err := o.file.Close()
	if o.temp != "" {
		err = errors.Join(err, os.Remove(o.temp))
	}
	return err
}
