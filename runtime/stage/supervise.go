package stage

import (
	"encoding/json"
	"time"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
	"skiff/storage/atomicfile"
	"skiff/storage/container/state"
)

// How long a restart waits: docker's figures (moby, restartmanager). The time
// doubles with each, and begins anew once a container has lived for a while.
const (
	firstDelay = 100 * time.Millisecond
	mostDelay  = time.Minute
	livedLong  = 10 * time.Second
)

// again decides whether the container, which has ended, is started again.
func (m *monitor) again() bool {
	once := m.once
	m.once = false
	if m.last || m.cfg.AutoRemove {
		return false
	}
	if once {
		return true
	}
	switch p := m.cfg.Restart; p.Name {
	case "always", "unless-stopped":
		return true
	case "on-failure":
		return m.state.ExitCode != 0 && (p.Max == 0 || m.restarts < p.Max)
	}
	return false
}

// backOff publishes that the container will be started again, tells its clients
// that it has ended, and waits. It reports whether nobody stopped it meanwhile.
func (m *monitor) backOff() bool {
	m.relay.shut()
	m.delay = nextDelay(m.delay, m.state.FinishedAt.Sub(m.state.StartedAt))
	m.restarts++
	m.state.Restarts, m.state.Restarting = m.restarts, true
	// Nothing is lost with it: a reader finds the monitor alive or the end.
	_ = state.Write(m.cfg.Dir, m.state, atomicfile.Volatile)
	for _, c := range m.relay.clients {
		if !c.over {
			c.tell(message.Exited, message.Exit{Code: m.state.ExitCode})
			c.over, c.last = true, true
		}
	}
	for end := time.Now().Add(m.delay); !m.last; {
		left := time.Until(end)
		if left <= 0 {
			return true
		}
		m.relay.idle(m, left)
	}
	return false
}

func nextDelay(before, lived time.Duration) time.Duration {
	if before == 0 || lived >= livedLong {
		return firstDelay
	}
	return min(2*before, mostDelay)
}

// idle serves clients while there is no container, for one round.
func (r *relay) idle(m *monitor, limit time.Duration) {
	r.polls = append(r.polls[:0], unix.PollFd{Fd: int32(m.listen), Events: unix.POLLIN})
	for _, c := range r.clients {
		events := int16(unix.POLLIN)
		if len(c.out) > 0 {
			events |= unix.POLLOUT
		}
		r.polls = append(r.polls, unix.PollFd{Fd: int32(c.fd), Events: events})
	}
	// Rounded up, or the last millisecond would be spent spinning.
	if _, err := unix.Poll(r.polls, int(limit.Milliseconds())+1); err != nil {
		return // EINTR; anything else shows again
	}
	if r.polls[0].Revents != 0 {
		r.accept(m.listen)
	}
	for _, c := range r.clients {
		r.service(m, c)
	}
	r.sweep()
}

// noteEnd is told by whoever stops the container: its next end is the last.
func (m *monitor) noteEnd(c *client) {
	m.last = true
	if !m.state.Stopped {
		m.state.Stopped = true
		_ = state.Write(m.cfg.Dir, m.state, atomicfile.Volatile)
	}
	c.tell(message.EndNoted, struct{}{})
}

// expire kills a container whose time is over.
func (m *monitor) expire() {
	if !m.killAt.IsZero() && !time.Now().Before(m.killAt) {
		m.killAt = time.Time{}
		_ = unix.PidfdSendSignal(m.child.pidfd, unix.SIGKILL, nil, 0)
	}
}

func (m *monitor) changePolicy(body []byte) {
	var p message.Restart
	if json.Unmarshal(body, &p) == nil {
		m.cfg.Restart = p
	}
}
