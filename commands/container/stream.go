package container

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"syscall"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/terminal"
	"skiff/runtime/lifecycle"
	"skiff/storage/container"
)

// streams says how the user's terminal and a process's streams are tied.
type streams struct {
	Stdin, Stdout, Stderr bool
	Tty                   bool // the process has a terminal
	SigProxy              bool
	DetachKeys            string
	// Stop, when not nil, is what SIGTERM does instead of being passed on.
	Stop func()
}

// check refuses to tie a stdin that is no terminal to one: docker's text.
func (s streams) check(e *env.Env) error {
	if s.Tty && s.Stdin && !env.Terminal(e.In) {
		return failure.Local("the input device is not a TTY")
	}
	return nil
}

// give leaves the streams to a container with the log driver passthrough. A
// terminal is not given away: who has it can type into it (ioctl_tty(2), TIOCSTI).
func (s *streams) give(e *env.Env, h *container.Host) error {
	if h.LogConfig.Type != "passthrough" {
		return nil
	}
	if env.Terminal(e.Out) || env.Terminal(e.Err) || s.Stdin && env.Terminal(e.In) {
		return failure.Local("the log driver passthrough gives the streams to the container, and those are a terminal: redirect them")
	}
	s.Stdin, s.Stdout, s.Stderr = false, false, false
	return nil
}

// attachment is what lifecycle is asked for, with the terminal's present size.
func (s streams) attachment(e *env.Env) *lifecycle.Attachment {
	a := &lifecycle.Attachment{Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr}
	if s.Tty {
		a.Rows, a.Cols = env.Size(e.Out)
	}
	return a
}

// tie copies between the user and the process until it ends or the user
// detaches, and returns its exit code; lifecycle.ErrDetached after detaching.
// The terminal is as before when it returns.
func (s streams) tie(ctx context.Context, e *env.Env, session lifecycle.Session) (code int, err error) {
	keys, err := terminal.ParseDetachKeys(s.DetachKeys)
	if err != nil {
		return 0, err
	}
	if s.Tty && s.Stdin {
		restore, err := terminal.Raw(e.In)
		if err != nil {
			return 0, err
		}
		defer restore()
	}
	if s.Tty {
		resize := func() {
			// The process may have ended meanwhile; Wait will tell.
			if rows, cols := env.Size(e.Out); rows > 0 {
				_ = session.Resize(rows, cols)
			}
		}
		defer terminal.WatchSize(resize)()
		resize()
	}
	if s.SigProxy {
		defer terminal.ProxySignals(func(n syscall.Signal) {
			if n == syscall.SIGTERM && s.Stop != nil {
				go s.Stop() // it takes the grace time, and other signals come meanwhile
				return
			}
			_ = session.Signal(n)
		})()
	}
	var detached atomic.Bool
	if s.Stdin {
		if !s.Tty {
			keys = nil
		}
		go func() {
			_, err := io.Copy(session, terminal.NewReader(e.In, keys))
			if errors.Is(err, terminal.ErrDetach) {
				detached.Store(true)
				session.Detach()
				return
			}
			// The process does not read any more, or input has ended.
			_ = session.CloseStdin()
		}()
	}
	stdout, stderr := io.Discard, io.Discard
	if s.Stdout {
		stdout = e.Out
	}
	if s.Stderr {
		stderr = e.Err
	}
	// Without a proxy a signal ends this program, not the process.
	defer context.AfterFunc(ctx, func() { session.Close() })()
	code, err = session.Wait(stdout, stderr)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if detached.Load() {
		return 0, lifecycle.ErrDetached
	}
	return code, err
}
