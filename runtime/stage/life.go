package stage

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
	"skiff/storage/atomicfile"
	"skiff/storage/container/state"
)

// life is what goes on in the container after its start and before its end:
// Kubernetes' lifecycle hooks, and its stop where that is the monitor's own wish.
// https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/
type life struct {
	post, pre hook
	stop      stopping
}

// hook is one of the two, and how it went in the container's present run.
type hook struct {
	name    string
	work    *message.Work // nil without
	running bool
	// until is when it has ended as verdict says: a sleep, or one of
	// doubt; zero for others.
	until   time.Time
	verdict state.Check
	failed  string // why the last one did not go well
}

// stopping is a stop by the monitor itself.
type stopping struct {
	wanted bool
	begun  time.Time // zero: it has not
	asked  bool      // the signal was sent
}

// minimumGrace is what a container gets after its hook, however long that took:
// the kubelet's.
const minimumGrace = 2 * time.Second

// killed is the exit code of what SIGKILL has ended. That, or that it could not be
// executed, is most likely the container's end: its process, the last of all in its
// pid namespace (pid_namespaces(7)), ends within lastToEnd then.
const (
	killed    = 128 + int(unix.SIGKILL)
	lastToEnd = time.Second
)

func newLife(cfg *message.Monitor) life {
	return life{post: hook{name: message.PostStart, work: cfg.PostStart}, pre: hook{name: message.PreStop, work: cfg.PreStop}}
}

// begin is called when the container has just started.
func (l *life) begin(m *monitor) {
	*l = newLife(&m.cfg)
	l.post.start(m)
}

// over is called when the container has ended, and with it what ran there.
func (l *life) over(m *monitor) {
	for _, h := range []*hook{&l.post, &l.pre} {
		if h.running {
			h.ended(m, state.Check{ExitCode: -1})
		}
	}
	l.stop = stopping{}
}

// timeout shortens how long the relay may sleep, in milliseconds, -1 for ever.
func (l *life) timeout(m *monitor, before int) int {
	if l.stop.wanted {
		return 0
	}
	return sooner(sooner(sooner(before, l.post.until), l.pre.until), l.hookEnds(m))
}

// hookEnds is when a stop does not wait for its hook any longer, zero for never or
// for no such wait.
func (l *life) hookEnds(m *monitor) time.Time {
	if l.stop.begun.IsZero() || l.stop.asked || m.cfg.Grace < 0 {
		return time.Time{}
	}
	return l.stop.begun.Add(m.cfg.Grace)
}

// tend does what is due.
func (l *life) tend(m *monitor) {
	for _, h := range []*hook{&l.post, &l.pre} {
		if !h.until.IsZero() && !time.Now().Before(h.until) {
			h.ended(m, h.verdict)
		}
	}
	s := &l.stop
	if s.wanted && s.begun.IsZero() && !m.gone() {
		s.begun = time.Now()
		if m.cfg.Grace != 0 {
			l.pre.start(m)
		}
	}
	s.wanted = false
	if s.begun.IsZero() || s.asked {
		return
	}
	ends := l.hookEnds(m)
	if l.pre.running && (ends.IsZero() || time.Now().Before(ends)) {
		return
	}
	s.asked = true
	_ = unix.PidfdSendSignal(m.child.pidfd, unix.Signal(m.cfg.StopSignal), nil, 0)
	if m.cfg.Grace < 0 {
		return
	}
	at := ends
	if l.pre.work != nil && m.cfg.Grace > 0 && time.Until(at) < minimumGrace {
		at = time.Now().Add(minimumGrace)
	}
	if m.killAt.IsZero() || at.Before(m.killAt) {
		m.killAt = at
	}
}

// end stops the container as its users do, in the relay's next round.
func (m *monitor) end() { m.life.stop.wanted = true }

// start begins the hook unless there is none, or it runs.
func (h *hook) start(m *monitor) {
	if h.work == nil || h.running {
		return
	}
	h.running, h.failed, h.verdict = true, "", state.Check{}
	if h.work.Sleep > 0 {
		h.until = time.Now().Add(h.work.Sleep)
		return
	}
	doubt := func(c state.Check) { h.verdict, h.until = c, time.Now().Add(lastToEnd) }
	err := m.run(h.work, 0, "", func(c state.Check) {
		switch {
		case !h.running:
		case c.ExitCode == killed, c.ExitCode < 0:
			doubt(c)
		default:
			h.ended(m, c)
		}
	})
	if err != nil {
		doubt(state.Check{ExitCode: -1, Output: err.Error()})
	}
}

var errEnded = errors.New("the container ended before")

// ended counts how the hook went, tells of it and, where the container must not
// live without it, stops that.
func (h *hook) ended(m *monitor, c state.Check) {
	h.running, h.until = false, time.Time{}
	gone := m.gone()
	switch output := strings.TrimSpace(c.Output); {
	case c.ExitCode == 0:
	case gone:
		h.failed = errEnded.Error()
	case c.ExitCode < 0:
		h.failed = output
	default:
		h.failed = "exit code " + strconv.Itoa(c.ExitCode)
		if output != "" {
			h.failed += ": " + output
		}
	}
	for _, client := range m.relay.clients {
		if client.hook == h.name {
			h.tell(client)
		}
	}
	// A container may well end by its PreStop.
	if h.failed == "" || gone && h.name == message.PreStop {
		return
	}
	m.record(m.happened("hook_failed", "hook", h.name, "error", h.failed))
	if h.name != message.PostStart {
		return
	}
	m.state.Error = fmt.Sprintf("%s hook: %s", h.name, h.failed)
	if !gone {
		_ = state.Write(m.cfg.Dir, m.state, atomicfile.Volatile) // at its end it is written again
		m.end()
	}
}

// wanted answers a client that wants to know of a hook, now or at its end.
func (l *life) wanted(m *monitor, c *client, body []byte) {
	var run message.HookRun
	if json.Unmarshal(body, &run) != nil || c.guest != nil || c.attach != nil {
		c.gone = true
		return
	}
	h := &l.post
	if run.Name == message.PreStop {
		h = &l.pre
		if m.gone() {
			h.failed = errEnded.Error()
			h.tell(c)
			return
		}
		h.start(m)
	}
	if c.hook = h.name; !h.running {
		h.tell(c)
	}
}

func (h *hook) tell(c *client) {
	c.hook = ""
	c.tell(message.HookDone, message.HookEnd{Failed: h.failed})
}
