package stage

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
	"skiff/storage/container/state"
)

// keptChecks is how many are kept: docker's (moby, daemon/health.go).
const keptChecks = 5

// health runs a container's checks at their times.
type health struct {
	cfg     *message.Health
	now     state.Health
	since   time.Time // the container's start
	next    time.Time // of the next check
	busy    bool      // one runs
	startup bool      // the container has not come up yet
	good    int       // successes of the start-up, one after the other
}

// begin looks after a container that has just started.
func (h *health) begin(dir string) {
	if h.cfg == nil {
		return
	}
	_ = state.RemoveHealth(dir)
	h.now = state.Health{Status: state.Starting, Log: []state.Check{}}
	h.since, h.busy, h.good, h.startup = time.Now(), false, 0, h.cfg.Startup != nil
	h.next = h.since.Add(h.interval())
}

// check is the kind that is due now, nil for none any more.
func (h *health) check() *message.Check {
	switch {
	case h.cfg == nil:
		return nil
	case h.startup:
		return h.cfg.Startup
	}
	return h.cfg.Regular
}

// interval is the time until the next check.
func (h *health) interval() time.Duration {
	if h.inStart(time.Now()) {
		return h.check().StartInterval
	}
	return h.check().Interval
}

// inStart reports whether failures do not count yet.
func (h *health) inStart(at time.Time) bool {
	return h.now.Status == state.Starting && at.Sub(h.since) < h.check().StartPeriod
}

// timeout shortens how long the relay may sleep, in milliseconds, -1 for ever.
func (h *health) timeout(before int) int {
	if h.check() == nil || h.busy {
		return before
	}
	return sooner(before, h.next)
}

// tend does what is due.
func (h *health) tend(m *monitor) {
	check := h.check()
	if check == nil || h.busy || time.Now().Before(h.next) {
		return
	}
	begun := time.Now()
	if state.Paused(m.cfg.Dir, m.state) {
		h.next = begun.Add(h.interval())
		return
	}
	h.busy = true
	late := fmt.Sprintf("Health check exceeded timeout (%v)", check.Timeout)
	err := m.run(&check.Work, check.Timeout, late, func(c state.Check) {
		h.busy = false
		if !m.gone() {
			h.result(m, c)
		}
	})
	if err != nil {
		h.busy = false
		h.result(m, state.Check{Start: begun, End: time.Now(), ExitCode: -1, Output: err.Error()})
	}
}

// result counts a check and publishes what is thought now.
func (h *health) result(m *monitor, c state.Check) {
	if state.Paused(m.cfg.Dir, m.state) {
		h.next = time.Now().Add(h.interval())
		return // what is paused cannot answer: as docker, nobody asks
	}
	before, check, startup := h.now.Status, h.check(), h.startup
	h.now.Log = append(h.now.Log, c)
	h.now.Log = h.now.Log[max(len(h.now.Log)-keptChecks, 0):]
	switch {
	case c.ExitCode == 0 && startup:
		h.now.FailingStreak = 0
		if h.good++; h.good >= check.Successes {
			h.startup = false
		}
		if h.check() == nil {
			h.now.Status = state.Healthy
		}
	case c.ExitCode == 0:
		h.now.FailingStreak, h.now.Status = 0, state.Healthy
	case !h.inStart(c.Start):
		h.good = 0
		if h.now.FailingStreak++; check.Retries > 0 && h.now.FailingStreak >= check.Retries {
			h.now.Status = state.Unhealthy
		}
	}
	h.next = time.Now()
	if h.check() != nil && h.startup == startup {
		h.next = h.next.Add(h.interval())
	}
	_ = state.WriteHealth(m.cfg.Dir, h.now) // a full disk: the next one may be written
	if h.now.Status == before {
		return
	}
	m.record(m.happened("health_status: " + h.now.Status))
	if h.now.Status == state.Unhealthy {
		h.act(m)
	}
}

// act does what --health-on-failure says. What does not come up is started anew,
// where nothing is said.
func (h *health) act(m *monitor) {
	what := h.cfg.OnFailure
	if h.startup && what != "kill" && what != "stop" {
		what = "restart"
	}
	switch what {
	case "restart":
		m.once = true
		m.end()
	case "kill":
		m.last = true
		_ = unix.PidfdSendSignal(m.child.pidfd, unix.SIGKILL, nil, 0)
	case "stop":
		m.last = true
		m.end()
	}
}
