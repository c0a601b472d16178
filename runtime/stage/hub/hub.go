// Package hub finds the network program of a user, or starts it: there is one
// at a time, and only while a container or a command is connected to it. The
// front and the monitors use it; what they say is package message. What the
// program does is in skiff/runtime/network. Standard library and x/sys only.
//
// Who holds the lock may replace the socket, and passes both to the program that
// it starts: so that the socket of a living program always answers, and one that
// nobody listens on is nobody's.
package hub

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
	"skiff/storage/sealed"
)

// Argv0 is the name that the program runs under.
const Argv0 = "skiff:network"

// Descriptors that the program is started with.
const (
	ListenFD = 3 // socket, listening
	LockFD   = 4 // lock, held
)

const (
	socketName = ".hub.sock"
	lockName   = ".hub.lock"
)

// patience bounds how long a request waits for a program that is just ending.
const patience = 10 * time.Second

// errRunning says that a program holds the lock.
var errRunning = errors.New("the network program runs")

// Ask sends one message to the program, which is started where it does not run,
// and returns its answer with the connection. The other side's *message.Failure
// comes back as the error.
func Ask(h *message.Hub, t message.Type, body []byte, answer message.Type, fds ...int) (message.Conn, []int, error) {
	return askUntil(h, t, body, answer, Start, fds...)
}

// AskRunning is Ask that leaves it to others to start the program.
func AskRunning(h *message.Hub, t message.Type, body []byte, answer message.Type) (message.Conn, []int, error) {
	return askUntil(h, t, body, answer, func(*message.Hub) error { return errRunning })
}

func askUntil(h *message.Hub, t message.Type, body []byte, answer message.Type, start func(*message.Hub) error, fds ...int) (message.Conn, []int, error) {
	deadline := time.Now().Add(patience)
	for pause := 500 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		conn, got, err := ask(h, t, body, answer, fds)
		var failure *message.Failure
		if err == nil || errors.As(err, &failure) {
			return conn, got, err
		}
		if absent(err) {
			err = start(h)
			if err == nil {
				continue
			}
		}
		if !retry(err) || time.Now().After(deadline) {
			return message.Conn{FD: -1}, nil, fmt.Errorf("network program: %w", err)
		}
		time.Sleep(pause)
	}
}

// Hold keeps the program alive as long as the connection is open. It starts it
// where it does not run, and does not wait for it.
func Hold(h *message.Hub) (message.Conn, error) {
	conn, err := dial(h.Dir)
	if absent(err) {
		if err = Start(h); err == nil {
			conn, err = dial(h.Dir)
		}
	}
	if err == nil {
		if err = conn.Send(message.NetworkHold, nil); err != nil {
			conn.Close()
		}
	}
	if err != nil {
		return message.Conn{FD: -1}, err
	}
	return conn, nil
}

func ask(h *message.Hub, t message.Type, body []byte, answer message.Type, fds []int) (message.Conn, []int, error) {
	conn, err := dial(h.Dir)
	if err != nil {
		return conn, nil, err
	}
	err = conn.Send(t, body, fds...)
	var got []int
	if err == nil {
		got, err = conn.Expect(answer, nil)
	}
	if err != nil {
		conn.Close()
		conn.FD = -1
	}
	return conn, got, err
}

// absent: nobody listens.
func absent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED)
}

// retry: it was just ending.
func retry(err error) bool {
	return absent(err) || errors.Is(err, errRunning) || errors.Is(err, io.EOF) ||
		errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// inDir names a file in dir shortly: a socket's path is bounded (unix(7)).
func inDir(dir, name string, use func(path string) error) error {
	d, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(d)
	return use(fmt.Sprintf("/proc/self/fd/%d/%s", d, name))
}

func dial(dir string) (message.Conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return message.Conn{FD: -1}, err
	}
	err = inDir(dir, socketName, func(path string) error { return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) })
	if err != nil {
		unix.Close(fd)
		return message.Conn{FD: -1}, fmt.Errorf("connect: %w", err)
	}
	return message.Conn{FD: fd}, nil
}

// Start starts the program unless it runs.
func Start(h *message.Hub) error {
	if err := os.Mkdir(h.Dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	held, err := os.OpenFile(filepath.Join(h.Dir, lockName), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer held.Close()
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return errRunning
		}
		return err
	}
	listen, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(listen)
	err = inDir(h.Dir, socketName, func(path string) error {
		_ = unix.Unlink(path) // of one that died; the lock is ours
		if err := unix.Bind(listen, &unix.SockaddrUnix{Name: path}); err != nil {
			return err
		}
		return errors.Join(unix.Chmod(path, 0o600), unix.Listen(listen, 128))
	})
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return spawn(h, listen, int(held.Fd()))
}

func spawn(h *message.Hub, listen, held int) error {
	program := "/proc/self/exe"
	if h.Program != "" {
		f, err := Readonly(h.Program)
		if errors.Is(err, ErrNoexec) {
			f, err = inMemory(h.Program)
		}
		if err != nil {
			return err
		}
		defer f.Close()
		program = fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	_, err = syscall.ForkExec(program, append([]string{Argv0}, h.Args...), &syscall.ProcAttr{
		// Collection early rather than late: it lives long and has little.
		Env:   []string{"GOGC=50", "GODEBUG=madvdontneed=1", "GOTRACEBACK=single"},
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), uintptr(listen), uintptr(held)},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", Argv0, err)
	}
	return nil
}

// inMemory is a copy of a program that lies where nothing may be executed.
func inMemory(name string) (*os.File, error) {
	program, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return sealed.File(Argv0, string(program))
}

// ErrNoexec says that the program lies where nothing may be executed.
var ErrNoexec = errors.New("mounted noexec")

// Readonly opens a program through a read-only mount of its own, so that nobody
// who gets hold of the descriptor can write to it (docs/decisions/0006). The
// file is close-on-exec and the caller's to close.
func Readonly(name string) (*os.File, error) {
	low, err := unix.OpenTree(unix.AT_FDCWD, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: name, Err: err}
	}
	defer unix.Close(low)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(low, &fs); err != nil {
		return nil, err
	}
	if fs.Flags&unix.ST_NOEXEC != 0 {
		return nil, ErrNoexec
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if err := unix.MountSetattr(low, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return nil, err
	}
	// Clear of the low descriptors that a child's are moved to.
	high, err := unix.FcntlInt(uintptr(low), unix.F_DUPFD_CLOEXEC, 64)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(high), name), nil
}
