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
	regular due
	ready   due
	startup bool // the container has not come up yet
	good    int  // successes of the start-up, one after the other
}

// due is when a kind of check comes next.
type due struct {
	at   time.Time
	busy bool // one runs
}

// begin looks after a container that has just started.
func (h *health) begin(dir string) {
	if h.cfg == nil {
		return
	}
	_ = state.RemoveHealth(dir)
	h.now = state.Health{Status: state.Starting, Log: []state.Check{}}
	h.since, h.good, h.startup = time.Now(), 0, h.cfg.Startup != nil
	h.regular, h.ready = due{}, due{}
	if h.check() != nil {
		h.regular.at = h.since.Add(h.interval())
	}
	if h.cfg.Ready != nil {
		h.now.Readiness = &state.Readiness{Log: []state.Check{}}
		h.ready.at = h.since.Add(h.cfg.Ready.StartPeriod)
	}
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

// readyCheck is how it is asked now whether the container is ready, nil for not yet,
// or not at all.
func (h *health) readyCheck() *message.Check {
	if h.cfg == nil || h.startup {
		return nil
	}
	return h.cfg.Ready
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
	if h.check() != nil && !h.regular.busy {
		before = sooner(before, h.regular.at)
	}
	if h.readyCheck() != nil && !h.ready.busy {
		before = sooner(before, h.ready.at)
	}
	return before
}

// tend does what is due.
func (h *health) tend(m *monitor) {
	if check := h.check(); check != nil && h.regular.is() {
		h.ask(m, "Health", check, &h.regular, h.interval, h.result)
	}
	if check := h.readyCheck(); check != nil && h.ready.is() {
		h.ask(m, "Readiness", check, &h.ready, func() time.Duration { return check.Interval }, h.readiness)
	}
}

// is reports whether the time has come.
func (d *due) is() bool { return !d.busy && !time.Now().Before(d.at) }

// ask runs a check of a container that is not paused; result is told of it unless
// the container has ended meanwhile.
func (h *health) ask(m *monitor, name string, check *message.Check, d *due, interval func() time.Duration, result func(*monitor, state.Check)) {
	begun, since := time.Now(), h.since
	if state.Paused(m.cfg.Dir, m.state) {
		d.at = begun.Add(interval())
		return
	}
	d.busy = true
	late := fmt.Sprintf("%s check exceeded timeout (%v)", name, check.Timeout)
	err := m.run(&check.Work, check.Timeout, late, func(c state.Check) {
		if h.since != since {
			return // it was about an earlier start
		}
		d.busy = false
		if !m.gone() {
			result(m, c)
		}
	})
	if err != nil {
		d.busy = false
		result(m, state.Check{Start: begun, End: time.Now(), ExitCode: -1, Output: err.Error()})
	}
}

// keep adds a check to the log of those that are kept.
func keep(log []state.Check, c state.Check) []state.Check {
	log = append(log, c)
	return log[max(len(log)-keptChecks, 0):]
}

// result counts a check and publishes what is thought now.
func (h *health) result(m *monitor, c state.Check) {
	if state.Paused(m.cfg.Dir, m.state) {
		h.regular.at = time.Now().Add(h.interval())
		return // what is paused cannot answer: as docker, nobody asks
	}
	before, check, startup := h.now.Status, h.check(), h.startup
	h.now.Log = keep(h.now.Log, c)
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
	h.regular.at = time.Now()
	if h.check() != nil && h.startup == startup {
		h.regular.at = h.regular.at.Add(h.interval())
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

// readiness counts a check of it and publishes what is thought now.
func (h *health) readiness(m *monitor, c state.Check) {
	check, r := h.cfg.Ready, *h.now.Readiness
	h.ready.at = time.Now().Add(check.Interval)
	if state.Paused(m.cfg.Dir, m.state) {
		return
	}
	r.Log = keep(r.Log, c)
	before, enough := r.Ready, check.Successes
	if before {
		enough = check.Retries
	}
	if r.Streak++; (c.ExitCode == 0) == before {
		r.Streak = 0
	} else if r.Streak >= enough {
		r.Ready, r.Streak = !before, 0
	}
	h.now.Readiness = &r
	_ = state.WriteHealth(m.cfg.Dir, h.now)
	switch {
	case r.Ready == before:
	case r.Ready:
		m.record(m.happened("readiness_status: ready"))
	default:
		m.record(m.happened("readiness_status: not ready"))
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
