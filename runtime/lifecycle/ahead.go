package lifecycle

import (
	"errors"
	"os"

	"skiff/rootless"
	"skiff/runtime/cgroup"
	"skiff/runtime/embedded"
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
	// hub brings a connection that keeps the network program alive until the
	// container does; nil where none is needed.
	hub chan message.Conn
}

// Prepare starts a monitor for a container that is about to be made with this
// configuration. It returns at once, and nil where nothing can be known ahead.
// The caller closes it; that is nothing once Start has used it.
func Prepare(st *storage.Store, p *container.Process, h *container.Host) *Ahead {
	flags, all := spec.CloneFlags(h)
	if own, _ := cgroup.Wanted(h); own {
		all = false // its cgroup namespace is made later
	}
	if passthrough(h) {
		all = false // its monitor has other streams
	}
	early, ordinary := rootless.TakeEarly()
	name, size := embedded.Identity()
	hint := stage.Ahead(flags, p.Tty, p.OpenStdin)
	what := name + " " + hint
	a := &Ahead{flags: flags, tty: p.Tty, stdin: p.OpenStdin, ready: make(chan struct{}), conn: message.Conn{FD: -1}}
	if all && bridged(h.NetworkMode) {
		a.hub = make(chan message.Conn, 1)
		go func() { a.hub <- warmHub(st) }()
	}
	if early.FD > 0 {
		conn := message.Conn{FD: early.FD}
		if all && early.What == what && early.Size == size && embedded.Checked(st.Cache()) {
			a.conn = conn
			close(a.ready)
			return a
		}
		conn.Close()
	}
	if !all {
		return nil
	}
	go func() {
		defer close(a.ready)
		if a.err = rootless.Await(); a.err != nil {
			return
		}
		a.conn, _, a.err = spawnMonitor(st.Cache(), hint, [3]*os.File{})
		if ordinary && name != "" && a.err == nil && early.What != what {
			// The next one is started early, or this is tried again.
			_ = rootless.SetEarly(st.Cache(), what)
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
	if a.hub != nil {
		if conn := <-a.hub; conn.FD >= 0 {
			conn.Close()
		}
		a.hub = nil
	}
	if a.err == nil && a.conn.FD >= 0 {
		a.conn.Close()
		a.conn.FD = -1
	}
}
