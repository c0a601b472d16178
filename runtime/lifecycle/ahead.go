package lifecycle

import (
	"errors"

	"skiff/rootless"
	"skiff/runtime/spec"
	"skiff/runtime/stage"
	"skiff/runtime/stage/message"
	"skiff/storage"
	"skiff/storage/container"
)

// Ahead is a monitor that is started, and has cloned an init, while the front
// still works out what they shall do: two processes less to wait for.
type Ahead struct {
	flags      uintptr
	tty, stdin bool
	ready      chan struct{}
	conn       message.Conn
	err        error
}

// Prepare starts a monitor for a container that is about to be made with this
// configuration. It returns at once, and nil where nothing can be known ahead.
// The caller closes it; that is nothing once Start has used it.
func Prepare(st *storage.Store, p *container.Process, h *container.Host) *Ahead {
	flags, all := spec.CloneFlags(h)
	if !all {
		return nil
	}
	a := &Ahead{flags: flags, tty: p.Tty, stdin: p.OpenStdin, ready: make(chan struct{}), conn: message.Conn{FD: -1}}
	go func() {
		defer close(a.ready)
		if a.err = rootless.Await(); a.err == nil {
			a.conn, a.err = spawnMonitor(st.Cache(), stage.Ahead(a.flags, a.tty, a.stdin))
		}
	}()
	return a
}

var errNotAhead = errors.New("not prepared")

// take returns the connection to the monitor if it fits the configuration.
func (a *Ahead) take(m *message.Monitor) (message.Conn, error) {
	if a == nil {
		return message.Conn{FD: -1}, errNotAhead
	}
	<-a.ready
	if a.err != nil {
		return a.conn, a.err
	}
	l := &m.Launch
	if l.CloneFlags != a.flags || l.PidNS != "" || len(l.UIDMap) > 0 || m.Tty != a.tty || m.OpenStdin != a.stdin {
		return a.conn, errNotAhead
	}
	conn := a.conn
	a.conn.FD = -1
	return conn, nil
}

// Close ends a monitor that was not used. It is safe on nil.
func (a *Ahead) Close() {
	if a == nil {
		return
	}
	<-a.ready
	if a.err == nil && a.conn.FD >= 0 {
		a.conn.Close()
		a.conn.FD = -1
	}
}
