package lock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrBusy says that another process holds the lock.
var ErrBusy = errors.New("locked by another process")

// Lock is a held flock. The zero value holds nothing.
type Lock struct{ f *os.File }

// Shared takes the lock in path together with other shared holders and waits
// for an exclusive holder to finish or ctx to end.
func Shared(ctx context.Context, path string) (*Lock, error) {
	return acquire(ctx, path, unix.LOCK_SH)
}

// Exclusive takes the lock in path alone and waits for other holders to
// finish or ctx to end.
func Exclusive(ctx context.Context, path string) (*Lock, error) {
	return acquire(ctx, path, unix.LOCK_EX)
}

// TryExclusive takes the lock in path alone or returns ErrBusy at once.
func TryExclusive(path string) (*Lock, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	return try(f)
}

func try(f *os.File) (*Lock, error) {
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrBusy
		}
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return &Lock{f}, nil
}

// TryExisting is TryExclusive for a file that must be there: it returns
// os.ErrNotExist instead of making one, which would keep somebody who removes the
// directory from doing so.
func TryExisting(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	return try(f)
}

// Dir takes the lock of the directory path itself alone, and waits for another
// holder to finish or ctx to end. It never makes anything.
func Dir(ctx context.Context, path string) (*Lock, error) {
	f, err := openDir(path)
	if err != nil {
		return nil, err
	}
	return wait(ctx, f, unix.LOCK_EX)
}

// TryDir takes the lock of the directory path alone or returns ErrBusy at once.
func TryDir(path string) (*Lock, error) {
	f, err := openDir(path)
	if err != nil {
		return nil, err
	}
	return try(f)
}

func openDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	return f, nil
}

func acquire(ctx context.Context, path string, how int) (*Lock, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	return wait(ctx, f, how)
}

// wait takes the lock of f, which it owns then.
func wait(ctx context.Context, f *os.File, how int) (*Lock, error) {
	var err error
	// Non-blocking first: the common case costs one system call. Waiting polls,
	// because a blocked flock cannot be told that ctx has ended.
	for wait := time.Millisecond; ; wait = min(wait*2, 50*time.Millisecond) {
		err = flock(f, how|unix.LOCK_NB)
		if err == nil {
			return &Lock{f}, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for lock %s: %w", f.Name(), context.Cause(ctx))
		case <-time.After(wait):
		}
	}
	f.Close()
	return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
}

// File is the locked file, for readers and writers that need it; it is closed by
// Release.
func (l *Lock) File() *os.File { return l.f }

// Release gives the lock up. It is safe on nil and more than once.
func (l *Lock) Release() {
	if l != nil && l.f != nil {
		l.f.Close()
		l.f = nil
	}
}

func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		// A shared reader of a read-only or full store still may lock what exists.
		full := err
		if f, err = os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0); errors.Is(err, os.ErrNotExist) {
			err = full
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	return f, nil
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
