package atomicfile

import (
	"errors"
	"os"
	"syscall"
)

// smallFile is what a first read is ready for.
const smallFile = 4096

// Read returns the contents of a file that Write published. It is os.ReadFile for
// small files without what a file needs that may be waited for: half its system
// calls. Errors are *os.PathError.
func Read(path string) (data []byte, err error) {
	err = read(path, func(fd int) error {
		data, err = readAll(fd, make([]byte, 0, smallFile))
		return err
	})
	return data, err
}

// read opens a file for use, whose errors are the file's.
func read(path string, use func(fd int) error) error {
	fd, err := retry(func() (int, error) { return syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0) })
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer syscall.Close(fd)
	if err := use(fd); err != nil {
		return &os.PathError{Op: "read", Path: path, Err: err}
	}
	return nil
}

// readAll reads to the end of a file into data, which is empty, or a larger buffer where
// that is too small.
func readAll(fd int, data []byte) ([]byte, error) {
	for {
		n, err := retry(func() (int, error) { return syscall.Read(fd, data[len(data):cap(data)]) })
		if n == 0 || err != nil {
			return data, err
		}
		data = data[:len(data)+n]
		if len(data) == cap(data) {
			data = append(make([]byte, 0, 2*cap(data)), data...)
		}
	}
}

// retry repeats a system call that a signal interrupted (signal(7)).
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}
