package stage

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
	"skiff/storage/container/state"
)

// Bounds of what is kept of checks: docker's (moby, daemon/health.go).
const (
	keptChecks = 5
	keptOutput = 4096 // bytes
)

// health runs a container's check at its times.
type health struct {
	cfg    *message.Health
	joiner int // a program that enters a nested user namespace, -1 without one
	now    state.Health
	since  time.Time // the container's start
	next   time.Time // of the next check, or when the present one has taken too long
	check  *check    // nil between checks
}

// check is one that runs.
type check struct {
	guest  *guest
	conn   message.Conn
	out    int // its output
	begun  time.Time
	text   []byte
	failed string // why it could not be run, or was ended
}

// begin looks after a container that has just started.
func (h *health) begin(dir string) {
	if h.cfg == nil {
		return
	}
	_ = state.RemoveHealth(dir)
	h.now = state.Health{Status: state.Starting, Log: []state.Check{}}
	h.since = time.Now()
	h.next = h.since.Add(h.interval())
	h.check = nil
}

// interval is the time until the next check.
func (h *health) interval() time.Duration {
	if h.inStart(time.Now()) {
		return h.cfg.StartInterval
	}
	return h.cfg.Interval
}

// inStart reports whether failures do not count yet.
func (h *health) inStart(at time.Time) bool {
	return h.now.Status == state.Starting && at.Sub(h.since) < h.cfg.StartPeriod
}

// timeout shortens how long the relay may sleep, in milliseconds, -1 for ever.
func (h *health) timeout(before int) int {
	if h.cfg == nil {
		return before
	}
	left := int(max(time.Until(h.next), 0).Milliseconds()) + 1
	if before < 0 || left < before {
		return left
	}
	return before
}

// output is what to read of a running check, -1 for nothing.
func (h *health) output() int {
	if h.check == nil {
		return -1
	}
	return h.check.out
}

// tend does what is due.
func (h *health) tend(m *monitor) {
	if h.cfg == nil {
		return
	}
	h.read()
	if time.Now().Before(h.next) {
		return
	}
	if h.check != nil {
		if h.check.failed == "" {
			h.check.failed = fmt.Sprintf("Health check exceeded timeout (%v)", h.cfg.Timeout)
			_ = unix.PidfdSendSignal(h.check.guest.pidfd, unix.SIGKILL, nil, 0)
		}
		h.next = time.Now().Add(time.Second) // its end comes by itself
		return
	}
	begun := time.Now()
	if err := h.run(m); err != nil {
		h.result(m, state.Check{Start: begun, End: time.Now(), ExitCode: -1, Output: err.Error()})
		return
	}
	h.next = begun.Add(h.cfg.Timeout)
}

// run starts the check in the container.
func (h *health) run(m *monitor) error {
	ours, theirs, err := message.Pair()
	if err != nil {
		return err
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		ours.Close()
		theirs.Close()
		return fmt.Errorf("pipe: %w", err)
	}
	pid, pidfd, err := h.spawn(m, theirs, p[1])
	theirs.Close()
	unix.Close(p[1])
	if err != nil {
		ours.Close()
		unix.Close(p[0])
		return err
	}
	h.check = &check{conn: ours, out: p[0], begun: time.Now()}
	h.check.guest = &guest{pid: pid, pidfd: pidfd, ended: func(code int) { h.ended(m, code) }}
	m.relay.guests = append(m.relay.guests, h.check.guest)
	err = ours.SendConfig(message.ExecConfig, message.Exec{Process: h.cfg.Process}, m.child.pidfd)
	if err == nil {
		err = ours.Send(message.SeccompFilter, h.cfg.Filter)
	}
	if err != nil {
		h.check.failed = err.Error()
		_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
	}
	return nil
}

func (h *health) spawn(m *monitor, conn message.Conn, out int) (pid, pidfd int, err error) {
	null, err := openNull()
	if err != nil {
		return 0, -1, err
	}
	defer null.Close()
	in := &Inside{
		Pidfd: m.child.pidfd, Pid: m.child.pid, Args: []string{string(RoleExec)},
		Files: []uintptr{null.Fd(), uintptr(out), uintptr(out), uintptr(conn.FD)},
	}
	if h.joiner >= 0 {
		self, err := os.Open(selfPath)
		if err != nil {
			return 0, -1, err
		}
		defer self.Close()
		in.Program, in.Args = h.joiner, []string{h.cfg.Joiner}
		in.Files = append(in.Files, uintptr(m.child.pidfd), self.Fd())
	}
	if pid, pidfd, err = in.Spawn(); err != nil {
		return 0, -1, err
	}
	if err = EnterCgroups(m.cfg.Cgroups, pid); err != nil {
		_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
		(&guest{pid: pid, pidfd: pidfd}).end()
		return 0, -1, err
	}
	return pid, pidfd, nil
}

// read takes what the check has said.
func (h *health) read() {
	if h.check == nil {
		return
	}
	buf := make([]byte, keptOutput)
	for h.check.out >= 0 {
		n, err := unix.Read(h.check.out, buf)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			if err != unix.EAGAIN {
				unix.Close(h.check.out)
				h.check.out = -1
			}
			return
		}
		if left := keptOutput + 1 - len(h.check.text); left > 0 {
			h.check.text = append(h.check.text, buf[:min(n, left)]...)
		}
	}
}

// ended is called when the check's process has.
func (h *health) ended(m *monitor, code int) {
	h.read()
	c := h.check
	h.check = nil
	if c.out >= 0 {
		unix.Close(c.out) // somebody in the background may still have its other end
	}
	// The process has ended: what it had to say of its start is there, or nothing.
	if t, body, _, err := c.conn.Recv(); err == nil && t == message.StepFailed && c.failed == "" {
		f := &message.Failure{}
		if json.Unmarshal(body, f) == nil {
			c.failed = f.Error()
		}
	}
	c.conn.Close()
	r := state.Check{Start: c.begun.UTC(), End: time.Now().UTC(), ExitCode: code, Output: strings.ToValidUTF8(string(c.text), "\uFFFD")}
	if len(c.text) > keptOutput {
		r.Output = strings.ToValidUTF8(string(c.text[:keptOutput]), "\uFFFD") + "..."
	}
	if c.failed != "" {
		r.ExitCode, r.Output = -1, c.failed
	}
	if m.child.pidfd >= 0 && !m.gone() {
		h.result(m, r)
	}
}

// gone reports whether the container's process has ended.
func (m *monitor) gone() bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(m.child.pidfd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}

// result counts a check and publishes what is thought now.
func (h *health) result(m *monitor, c state.Check) {
	before := h.now.Status
	h.now.Log = append(h.now.Log, c)
	h.now.Log = h.now.Log[max(len(h.now.Log)-keptChecks, 0):]
	switch {
	case c.ExitCode == 0:
		h.now.FailingStreak, h.now.Status = 0, state.Healthy
	case !h.inStart(c.Start):
		if h.now.FailingStreak++; h.now.FailingStreak >= h.cfg.Retries {
			h.now.Status = state.Unhealthy
		}
	}
	h.next = time.Now().Add(h.interval())
	_ = state.WriteHealth(m.cfg.Dir, h.now) // a full disk: the next one may be written
	if h.now.Status == before {
		return
	}
	m.record(m.happened("health_status: " + h.now.Status))
	if h.now.Status == state.Unhealthy {
		h.act(m)
	}
}

// act does what --health-on-failure says.
func (h *health) act(m *monitor) {
	switch h.cfg.OnFailure {
	case "restart":
		m.once = true
		_ = unix.PidfdSendSignal(m.child.pidfd, unix.SIGKILL, nil, 0)
	case "kill":
		m.last = true
		_ = unix.PidfdSendSignal(m.child.pidfd, unix.SIGKILL, nil, 0)
	case "stop":
		m.last = true
		_ = unix.PidfdSendSignal(m.child.pidfd, unix.Signal(h.cfg.StopSignal), nil, 0)
		m.killAt = time.Now().Add(h.cfg.StopTimeout)
	}
}
