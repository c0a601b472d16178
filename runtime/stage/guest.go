package stage

import (
	"encoding/json"
	"strconv"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
)

// guest is a process that a client had started in the container (exec). It is
// the monitor's child: whatever becomes of the client, somebody waits for it,
// and the container's pid namespace can end (pid_namespaces(7)).
type guest struct {
	pid, pidfd int
	client     *client // nil when it does not care any more
	ended      func(code int)
	// refused says that the client ended it: it was never executed.
	refused bool
}

// maxDescriptors is how many descriptors one message brings at most: a program,
// three streams, a socket, and two for a nested user namespace.
const maxDescriptors = 8

// admit starts what a client wants started.
func (r *relay) admit(m *monitor, c *client, body []byte) {
	fds := c.fds
	c.fds = nil
	defer closeAll(fds)
	var s message.Spawn
	if json.Unmarshal(body, &s) != nil || m.child.pidfd < 0 || c.attach != nil || c.guest != nil || len(fds) < 5 || len(s.Args) == 0 {
		c.gone = true
		return
	}
	in := &Inside{
		Pidfd: m.child.pidfd, Pid: m.child.pid, Program: fds[0], Args: s.Args, NetOnly: s.NetOnly,
	}
	for _, fd := range fds[1:] {
		in.Files = append(in.Files, uintptr(fd))
	}
	enter := func(pid int) error {
		if err := EnterCgroups(m.cfg.Cgroups, pid); err != nil || s.OOMScore == nil {
			return err
		}
		return SetOOMScore(strconv.Itoa(pid), *s.OOMScore)
	}
	if s.Direct != nil {
		in.Direct, in.OpenFiles = s.Direct, m.cfg.OpenFiles
		if s.OOMScore != nil || len(m.cfg.Cgroups) > 0 {
			in.Enter = enter
		}
	}
	pid, pidfd, err := in.Spawn()
	if err == nil && !s.NetOnly && s.Direct == nil {
		// It still waits for its configuration.
		if err = enter(pid); err != nil {
			_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
			(&guest{pid: pid, pidfd: pidfd}).end()
		}
	}
	if err != nil {
		c.tell(message.StepFailed, message.Failure{Code: 126, Text: err.Error()})
		return
	}
	c.guest = &guest{pid: pid, pidfd: pidfd, client: c}
	if s.ExecID != "" {
		g := c.guest
		g.ended = func(code int) {
			if !g.refused {
				m.record(m.happened("exec_die", "execID", s.ExecID, "exitCode", strconv.Itoa(code)))
			}
		}
	}
	r.guests = append(r.guests, c.guest)
	// What it came with is some 100 kB, which are given back when there is time.
	r.settled, r.moved = false, 0
	c.tell(message.Started, message.Running{Pid: pid})
}

// signal goes to what the client has to do with.
func (r *relay) signal(m *monitor, c *client, sig unix.Signal) {
	switch {
	case c.guest == nil:
		_ = unix.PidfdSendSignal(m.child.pidfd, sig, nil, 0)
	case c.guest.pidfd >= 0:
		c.guest.refused = c.guest.refused || sig == unix.SIGKILL
		_ = unix.PidfdSendSignal(c.guest.pidfd, sig, nil, 0)
	}
}

// bury collects the guests that have ended and tells their clients.
func (r *relay) bury(m *monitor) {
	kept := r.guests[:0]
	for _, g := range r.guests {
		ended := []unix.PollFd{{Fd: int32(g.pidfd), Events: unix.POLLIN}}
		if n, err := unix.Poll(ended, 0); n == 0 || err != nil {
			kept = append(kept, g)
			continue
		}
		if g.client != nil && !g.client.gone {
			// It may have said meanwhile that nothing was executed.
			r.service(m, g.client)
		}
		g.end()
	}
	clear(r.guests[len(kept):])
	r.guests = kept
}

// dismiss ends the guests of a container that has ended. Most have already: only
// those without a pid namespace of the container's own outlive it.
func (r *relay) dismiss() {
	for _, g := range r.guests {
		_ = unix.PidfdSendSignal(g.pidfd, unix.SIGKILL, nil, 0)
		g.end()
	}
	r.guests = nil
}

// end waits for the guest.
func (g *guest) end() {
	code := wait(g.pid)
	unix.Close(g.pidfd)
	g.pidfd = -1
	if g.ended != nil {
		g.ended(code)
	}
	if g.client != nil && !g.client.gone {
		g.client.tell(message.Exited, message.Exit{Code: code})
		g.client.over = true
	}
}

// tell sends the client a message.
func (c *client) tell(t message.Type, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		return
	}
	head := message.Header(t, len(body))
	c.send(append(head[:], body...))
}

// close forgets the client, and what it sent without use.
func (c *client) close() {
	unix.Close(c.fd)
	closeAll(c.fds)
	c.fds = nil
	if c.guest != nil {
		c.guest.client = nil
	}
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
