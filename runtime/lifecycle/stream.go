package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
	"skiff/storage/container"
)

// stream is a Session over a connection to a monitor.
type stream struct {
	conn      message.Conn
	container *container.Container
	send      sync.Mutex
	closed    bool
	detached  bool
	mu        sync.Mutex // closed, detached
}

func newStream(conn message.Conn, c *container.Container) *stream {
	return &stream{conn: conn, container: c}
}

// Attach joins the streams of a running container.
func Attach(_ context.Context, c *container.Container, a Attachment) (Session, error) {
	conn, err := dial(c)
	if err != nil {
		return nil, err
	}
	err = conn.SendJSON(message.AttachWanted, message.Attach{
		Stdin: a.Stdin, Stdout: a.Stdout, Stderr: a.Stderr, Rows: a.Rows, Cols: a.Cols,
	})
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("attach: %w", err)
	}
	return newStream(conn, c), nil
}

// dial connects to the container's monitor, or returns ErrNotRunning.
func dial(c *container.Container) (message.Conn, error) {
	none := message.Conn{FD: -1}
	dir, err := unix.Open(c.Dir(), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return none, fmt.Errorf("container %s %w", c.Config.ID, ErrNotRunning)
	}
	defer unix.Close(dir)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return none, fmt.Errorf("connect to monitor: %w", err)
	}
	// By descriptor: a socket's path is bounded by 108 bytes (unix(7)).
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir, container.SocketFile)})
	if err != nil {
		unix.Close(fd)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
			return none, fmt.Errorf("container %s %w", c.Config.ID, ErrNotRunning)
		}
		return none, fmt.Errorf("connect to monitor: %w", err)
	}
	return message.Conn{FD: fd}, nil
}

// maxFrame bounds one piece of input.
const maxFrame = 32 << 10

func (s *stream) Write(p []byte) (int, error) {
	done := 0
	for len(p) > 0 {
		piece := p[:min(len(p), maxFrame)]
		if err := s.tell(message.Stdin, piece); err != nil {
			return done, io.ErrClosedPipe
		}
		done, p = done+len(piece), p[len(piece):]
	}
	return done, nil
}

func (s *stream) CloseStdin() error { return s.tell(message.StdinClosed, nil) }

func (s *stream) Resize(rows, cols uint16) error {
	return s.tellJSON(message.Resized, message.Size{Rows: rows, Cols: cols})
}

func (s *stream) Signal(sig syscall.Signal) error {
	return s.tellJSON(message.SignalWanted, message.Signal{Number: int(sig)})
}

func (s *stream) tellJSON(t message.Type, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.tell(t, body)
}

func (s *stream) tell(t message.Type, body []byte) error {
	s.send.Lock()
	defer s.send.Unlock()
	return s.conn.Send(t, body)
}

func (s *stream) Detach() {
	s.mu.Lock()
	s.detached = true
	s.mu.Unlock()
	// Wakes Wait up; the descriptor stays until Close.
	_ = unix.Shutdown(s.conn.FD, unix.SHUT_RDWR)
}

func (s *stream) Wait(stdout, stderr io.Writer) (int, error) {
	for {
		t, body, _, err := s.conn.Recv()
		if err != nil {
			return s.lost(err)
		}
		switch t {
		case message.Stdout:
			_, err = stdout.Write(body)
		case message.Stderr:
			_, err = stderr.Write(body)
		case message.Exited:
			var e message.Exit
			if err := json.Unmarshal(body, &e); err != nil {
				return 0, fmt.Errorf("read exit: %w", err)
			}
			return e.Code, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// lost decides what the end of a connection without an exit code means.
func (s *stream) lost(err error) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.detached {
		return 0, ErrDetached
	}
	if s.closed {
		return 0, io.ErrClosedPipe
	}
	if st, serr := s.container.Status(); serr == nil && !st.Running() && st.State == "exited" {
		// Its monitor was killed, which would have removed it.
		if s.container.Config.Host.AutoRemove {
			sweep(s.container.Store)
		}
		return st.Recorded.ExitCode, nil
	}
	return 0, fmt.Errorf("connection to the monitor lost: %w", err)
}

func (s *stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	_ = unix.Shutdown(s.conn.FD, unix.SHUT_RDWR)
	return s.conn.Close()
}
