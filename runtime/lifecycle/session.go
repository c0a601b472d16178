package lifecycle

import (
	"errors"
	"io"
	"os"
	"syscall"
)

var (
	// ErrNotRunning says that the container has no running process.
	ErrNotRunning = errors.New("is not running")
	// ErrDetached is returned by Session.Wait after Detach.
	ErrDetached = errors.New("detached")
)

// StartError says that the container's process could not be started. Code is
// docker's exit code for it: 125 set-up, 126 not executable, 127 not found.
type StartError struct {
	Code int
	Err  error // docker's text, "OCI runtime create failed: ..." without that prefix
}

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

// Session is the front's end of the streams of one process in a container,
// started or attached to. It is safe for concurrent use except Wait, which is
// called once.
type Session interface {
	// Write sends bytes to the process's standard input. It fails with
	// io.ErrClosedPipe when the process does not read it any more.
	io.Writer
	// CloseStdin tells the process that its standard input ended. With a
	// terminal it does nothing, as docker.
	CloseStdin() error
	// Resize sets the size of the process's terminal.
	Resize(rows, cols uint16) error
	// Signal sends a signal to the process.
	Signal(sig syscall.Signal) error
	// Detach makes Wait return ErrDetached; the process goes on.
	Detach()
	// Wait copies output until the process has ended and all of it was written,
	// and returns the exit code as a shell would: 128+n for signal n.
	Wait(stdout, stderr io.Writer) (code int, err error)
	Close() error
}

// Attachment says which streams of a container a session takes.
type Attachment struct {
	Stdin, Stdout, Stderr bool
	// Rows and Cols are the terminal's first size; zero leaves it.
	Rows, Cols uint16
	// Logs asks for what the container has said before, too.
	Logs bool
}

// StartOptions are the options of Start.
type StartOptions struct {
	// Attach, when not nil, makes Start return a Session that misses no byte.
	Attach *Attachment
	// Preserve is how many descriptors, from 3 on, the process gets from this one
	// (--preserve-fds). A container that is started again gets them again.
	Preserve int
	// NotifySocket is where the container itself shall tell that it is ready
	// (--sdnotify=container); empty for nowhere.
	NotifySocket string
	// Ahead, when not nil, is a monitor that Prepare started; Start uses it up.
	Ahead *Ahead
	// Direct gives a container with the log driver passthrough this process's own
	// standard streams; without, it has none.
	Direct bool
	// Sockets are the first of those descriptors, before Preserve others, and come
	// with an environment as sd_listen_fds(3) has it.
	Sockets Sockets
}

// Sockets are what a service manager handed over: Count descriptors from 3 on,
// and their names if it gave them some (LISTEN_FDNAMES).
type Sockets struct {
	Count int
	Names string
}

// ExecOptions describe a process to add to a running container. Empty fields
// take the container's own values.
type ExecOptions struct {
	Args       []string
	Env        []string // KEY=value, in addition to the container's
	User       string   // as -u
	WorkingDir string
	Privileged bool
	Tty        bool
	Stdin      bool // pass on standard input
	Detach     bool // start only; Exec returns a nil Session
	// ID is the exec's in the record of events; none is recorded without.
	ID         string
	Rows, Cols uint16
	// Preserve is as in StartOptions.
	Preserve int
	// Stdio, when set, become the process's descriptors themselves instead of
	// copied pipes. Only for the OCI runtime command line.
	Stdio *[3]*os.File
}
