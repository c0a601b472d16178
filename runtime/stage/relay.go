package stage

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/logdriver"
	"skiff/runtime/stage/message"
)

// Bounds of what the relay keeps in memory for others, in bytes. A client that
// does not read holds the container back, as with docker; nothing is dropped.
const (
	readSize   = 64 << 10
	clientHigh = 256 << 10
	stdinHigh  = 64 << 10
)

// When settle is called: after that many milliseconds without anything to do,
// or that many bytes, which leave some garbage each.
const (
	settleAfter = 300
	settleBytes = 8 << 20
)

// relay moves bytes between the container, its log and the attached clients.
type relay struct {
	in, out, err int // the container's streams, -1 when closed or absent
	console      bool
	stdin        []byte // not yet taken by the container
	stdinEnds    bool   // close in when stdin is empty
	stdinOnce    bool
	clients      []*client
	guests       []*guest
	oob          []byte // for descriptors that clients send
	buf          []byte
	moved        int // bytes, until settled
	settled      bool
	polls        []unix.PollFd
}

// client is one connection to the control socket.
type client struct {
	fd     int
	attach *message.Attach // nil until it said what it wants
	guest  *guest          // what it had started instead
	hook   string          // or the hook whose end it waits for
	in     []byte          // an incomplete message
	fds    []int           // that came with it
	out    []byte          // not yet taken
	gone   bool
	over   bool // it knows the end of what it came for
	last   bool // what it has not got yet is all that it gets
}

func (r *relay) init(m *monitor) {
	r.in, r.out, r.err = m.ours[0], m.ours[1], m.ours[2]
	r.oob = make([]byte, unix.CmsgSpace(maxDescriptors*4))
	r.stdinOnce = m.cfg.StdinOnce
	r.stdin, r.stdinEnds, r.console = nil, false, false
	if m.child.console >= 0 {
		r.console = true
		_ = unix.SetNonblock(m.child.console, true)
		r.out, r.in = m.child.console, m.child.console
		m.child.console = -1
	}
}

// shut closes the ends of a container that will have others.
func (r *relay) shut() {
	for _, fd := range []int{r.in, r.out, r.err} {
		if fd >= 0 && (fd != r.in || !r.console) {
			unix.Close(fd)
		}
	}
	r.in, r.out, r.err = -1, -1, -1
}

// adopt makes a connection a client that has said what it wants.
func (r *relay) adopt(fd int, a *message.Attach) {
	_ = unix.SetNonblock(fd, true)
	r.clients = append(r.clients, &client{fd: fd, attach: a})
}

// run relays until the container's first process has ended and its output is
// read.
func (r *relay) run(m *monitor) {
	if r.buf == nil {
		r.buf = make([]byte, message.HeaderSize+readSize)
	}
	for {
		ended := r.wait(m)
		for _, c := range r.clients {
			r.service(m, c)
		}
		r.bury(m)
		m.tendTasks()
		m.health.tend(m)
		m.life.tend(m)
		m.expire()
		r.feed()
		if r.mayRead() || ended {
			r.read(m, &r.out, message.Stdout, logdriver.Stdout, ended)
			r.read(m, &r.err, message.Stderr, logdriver.Stderr, ended)
		}
		r.sweep()
		if ended {
			return
		}
	}
}

// wait sleeps until something can be done, and reports the container's end.
func (r *relay) wait(m *monitor) bool {
	r.polls = r.polls[:0]
	add := func(fd int, events int16) {
		if fd >= 0 && events != 0 {
			r.polls = append(r.polls, unix.PollFd{Fd: int32(fd), Events: events})
		}
	}
	add(m.child.pidfd, unix.POLLIN)
	add(m.listen, unix.POLLIN)
	at := len(r.polls)
	add(m.child.hub.FD, unix.POLLIN)
	hubs := len(r.polls) - at
	if r.mayRead() {
		add(r.out, unix.POLLIN)
		add(r.err, unix.POLLIN)
	}
	if len(r.stdin) > 0 {
		add(r.in, unix.POLLOUT)
	}
	for _, c := range r.clients {
		var events int16
		if !r.full(c) {
			events = unix.POLLIN
		}
		if len(c.out) > 0 {
			events |= unix.POLLOUT
		}
		if events == 0 {
			events = unix.POLLRDHUP
		}
		add(c.fd, events)
	}
	oom := len(r.polls)
	add(m.oom.fd(), unix.POLLPRI)
	for _, g := range r.guests {
		add(g.pidfd, unix.POLLIN)
	}
	timeout := -1
	if !r.settled {
		timeout = settleAfter
	}
	for _, t := range m.tasks {
		add(t.out, unix.POLLIN)
		timeout = sooner(timeout, t.until)
	}
	timeout = sooner(m.life.timeout(m, m.health.timeout(timeout)), m.killAt)
	n, err := unix.Poll(r.polls, timeout)
	if err == nil && !r.settled && (n == 0 || r.moved > settleBytes) {
		r.settled = true
		settle()
	}
	if err != nil || n == 0 {
		return false // EINTR or the timeout; anything else shows again
	}
	if r.polls[1].Revents != 0 {
		r.accept(m.listen)
	}
	if hubs > 0 && r.polls[at].Revents != 0 && r.polls[0].Revents == 0 {
		m.child.rejoin(m.cfg.Launch.Hub)
	}
	if m.oom.file != nil && r.polls[oom].Revents != 0 {
		m.noteOOM()
	}
	return r.polls[0].Revents != 0
}

func (r *relay) accept(listen int) {
	fd, _, err := unix.Accept4(listen, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	if err == nil {
		r.clients = append(r.clients, &client{fd: fd})
	}
}

// mayRead reports whether no client is too far behind.
func (r *relay) mayRead() bool {
	for _, c := range r.clients {
		if len(c.out) > clientHigh {
			return false
		}
	}
	return true
}

// read takes one piece of output, or with all everything there is, and passes
// it on.
func (r *relay) read(m *monitor, fd *int, t message.Type, kind byte, all bool) {
	for *fd >= 0 {
		n, err := unix.Read(*fd, r.buf[message.HeaderSize:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if n <= 0 {
			// End of file, or EIO when nobody has the terminal open.
			if r.console {
				r.in = -1
			}
			unix.Close(*fd)
			*fd = -1
			return
		}
		// A full disk must not stop the container; the log has a hole then.
		_ = m.log.Write(kind, time.Now(), r.buf[message.HeaderSize:message.HeaderSize+n])
		r.moved += n
		head := message.Header(t, n)
		copy(r.buf, head[:])
		for _, c := range r.clients {
			if c.attach != nil && (t == message.Stdout && c.attach.Stdout || t == message.Stderr && c.attach.Stderr) {
				c.send(r.buf[:message.HeaderSize+n])
			}
		}
		if !all {
			return
		}
	}
}

// full reports whether the client has to wait until the container has read what
// it was given.
func (r *relay) full(c *client) bool {
	return len(r.stdin) >= stdinHigh && c.attach != nil && c.attach.Stdin
}

// send writes what the socket takes now and keeps the rest.
func (c *client) send(p []byte) {
	if len(c.out) == 0 {
		n, err := unix.SendmsgN(c.fd, p, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			c.gone = true
			return
		}
		p = p[max(n, 0):]
	}
	c.out = append(c.out, p...)
}

// flush writes what is kept.
func (c *client) flush() {
	if len(c.out) == 0 || c.gone {
		return
	}
	p := c.out
	c.out = nil
	c.send(p)
}

// service reads a client's messages and writes what it has not got yet.
func (r *relay) service(m *monitor, c *client) {
	c.flush()
	if r.full(c) {
		return
	}
	// buf is free between two reads of the container's output.
	n, oobn, _, _, err := unix.Recvmsg(c.fd, r.buf, r.oob, unix.MSG_CMSG_CLOEXEC)
	if oobn > 0 {
		c.fds = append(c.fds, message.Rights(r.oob[:oobn])...)
	}
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return
	case n <= 0:
		c.gone = true
		return
	}
	c.in = append(c.in, r.buf[:n]...)
	for len(c.in) >= message.HeaderSize {
		t, size, err := message.ParseHeader(c.in)
		if err != nil {
			c.gone = true
			return
		}
		if len(c.in) < message.HeaderSize+size {
			return
		}
		r.handle(m, c, t, c.in[message.HeaderSize:message.HeaderSize+size])
		c.in = c.in[message.HeaderSize+size:]
	}
	if len(c.in) == 0 {
		c.in = nil
	}
}

// handle does what one message of a client asks for. What a client must not say
// is not done.
func (r *relay) handle(m *monitor, c *client, t message.Type, body []byte) {
	switch t {
	case message.AttachWanted:
		a := &message.Attach{}
		if json.Unmarshal(body, a) == nil && c.attach == nil {
			c.attach = a
			r.resize(message.Size{Rows: a.Rows, Cols: a.Cols})
		}
	case message.Stdin:
		if c.attach != nil && c.attach.Stdin && r.in >= 0 && !r.stdinEnds {
			r.stdin = append(r.stdin, body...)
		}
	case message.ExecWanted:
		r.admit(m, c, body)
	case message.HookWanted:
		m.life.wanted(m, c, body)
	case message.EndWanted:
		m.noteEnd(c)
	case message.PolicyChanged:
		m.changePolicy(body)
	case message.StdinClosed:
		r.inputEnded(c)
	case message.Resized:
		var s message.Size
		if json.Unmarshal(body, &s) == nil {
			r.resize(s)
			m.record(m.happened("resize", "height", strconv.Itoa(int(s.Rows)), "width", strconv.Itoa(int(s.Cols))))
		}
	case message.SignalWanted:
		var s message.Signal
		if json.Unmarshal(body, &s) == nil {
			r.signal(m, c, unix.Signal(s.Number))
		}
	}
}

// inputEnded closes the container's standard input when the client that fed it
// is done, unless others may still want to (docker's StdinOnce).
func (r *relay) inputEnded(c *client) {
	if c.attach != nil && c.attach.Stdin && r.stdinOnce && !r.console {
		r.stdinEnds = true
	}
}

func (r *relay) resize(s message.Size) {
	if r.console && r.out >= 0 {
		setSize(r.out, s)
	}
}

// feed gives the container what clients typed.
func (r *relay) feed() {
	for len(r.stdin) > 0 && r.in >= 0 {
		n, err := unix.Write(r.in, r.stdin)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil {
			r.stdin, r.stdinEnds = nil, true // it does not read any more
			break
		}
		r.stdin = r.stdin[n:]
	}
	if len(r.stdin) == 0 {
		r.stdin = nil
		if r.stdinEnds && r.in >= 0 && !r.console {
			unix.Close(r.in)
			r.in = -1
		}
	}
}

// sweep forgets clients that went.
func (r *relay) sweep() {
	kept := r.clients[:0]
	for _, c := range r.clients {
		if !c.gone && !(c.last && len(c.out) == 0) {
			kept = append(kept, c)
			continue
		}
		r.inputEnded(c)
		c.close()
	}
	clear(r.clients[len(kept):])
	r.clients = kept
	r.feed()
}

// exited tells every client the exit code and waits until they have read all.
func (r *relay) exited(code int) {
	for _, c := range r.clients {
		if !c.over {
			c.tell(message.Exited, message.Exit{Code: code})
		}
		_ = unix.SetNonblock(c.fd, false)
		for p := c.out; len(p) > 0 && !c.gone; {
			n, err := unix.SendmsgN(c.fd, p, nil, nil, unix.MSG_NOSIGNAL)
			if err != nil && !errors.Is(err, unix.EINTR) {
				break
			}
			p = p[max(n, 0):]
		}
		c.close()
	}
	r.clients = nil
}
