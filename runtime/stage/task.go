package stage

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
	"skiff/storage/container/state"
)

// keptOutput bounds what is kept of what a task says, in bytes: docker's of a
// health check (moby, daemon/health.go).
const keptOutput = 4096

// task is a process in the container that the monitor itself has started: a
// health check, or a hook of the container's life.
type task struct {
	guest  *guest
	conn   message.Conn
	out    int // its output, -1 when that is closed
	begun  time.Time
	until  time.Time // when it is killed, zero never
	late   string    // what to say of it then
	text   []byte
	failed string // why it could not be run, or was ended
	done   func(state.Check)
}

// run starts work in the container; done is told of its end. A process that takes
// longer than limit, 0 for as long as it likes, is killed, and late says why. When
// run fails done is not called.
func (m *monitor) run(work *message.Work, limit time.Duration, late string, done func(state.Check)) error {
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
	pid, pidfd, err := m.spawn(work, theirs, p[1])
	theirs.Close()
	unix.Close(p[1])
	if err != nil {
		ours.Close()
		unix.Close(p[0])
		return err
	}
	t := &task{conn: ours, out: p[0], begun: time.Now(), late: late, done: done}
	if limit > 0 {
		t.until = t.begun.Add(limit)
	}
	t.guest = &guest{pid: pid, pidfd: pidfd, ended: func(code int) { m.ended(t, code) }}
	m.relay.guests = append(m.relay.guests, t.guest)
	m.tasks = append(m.tasks, t)
	if work.Probe != nil {
		err = ours.Send(message.ProbeWanted, work.Probe)
	} else {
		err = ours.SendConfig(message.ExecConfig, message.Exec{Process: work.Process}, m.child.pidfd)
		if err == nil {
			err = ours.Send(message.SeccompFilter, work.Filter)
		}
	}
	if err != nil {
		t.kill(err.Error())
	}
	return nil
}

var errNoProber = errors.New("the container was started without the program that asks")

func (m *monitor) spawn(work *message.Work, conn message.Conn, out int) (pid, pidfd int, err error) {
	null, err := openNull()
	if err != nil {
		return 0, -1, err
	}
	defer null.Close()
	in := &Inside{
		Pidfd: m.child.pidfd, Pid: m.child.pid, Args: []string{string(RoleExec)},
		Files: []uintptr{null.Fd(), uintptr(out), uintptr(out), uintptr(conn.FD)},
	}
	switch {
	case work.Probe != nil && m.prober < 0:
		return 0, -1, errNoProber
	case work.Probe != nil:
		in.Program, in.Args, in.NetOnly = m.prober, []string{message.Prober}, true
	case m.joiner >= 0:
		self, err := os.Open(selfPath)
		if err != nil {
			return 0, -1, err
		}
		defer self.Close()
		in.Program, in.Args = m.joiner, []string{m.cfg.Joiner}
		in.Files = append(in.Files, uintptr(m.child.pidfd), self.Fd())
	}
	if pid, pidfd, err = in.Spawn(); err != nil {
		return 0, -1, err
	}
	// Who asks from outside is not what the container's limits are for.
	if in.NetOnly {
		return pid, pidfd, nil
	}
	if err = EnterCgroups(m.cfg.Cgroups, pid); err != nil {
		_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
		(&guest{pid: pid, pidfd: pidfd}).end()
		return 0, -1, err
	}
	return pid, pidfd, nil
}

// tendTasks reads what tasks say, and ends those that take too long.
func (m *monitor) tendTasks() {
	for _, t := range m.tasks {
		t.read()
		if !t.until.IsZero() && !time.Now().Before(t.until) {
			t.until = time.Time{}
			t.kill(t.late)
		}
	}
}

// kill ends a task, whose end then comes by itself.
func (t *task) kill(why string) {
	if t.failed == "" {
		t.failed = why
	}
	_ = unix.PidfdSendSignal(t.guest.pidfd, unix.SIGKILL, nil, 0)
}

// read takes what the task has said.
func (t *task) read() {
	buf := make([]byte, keptOutput)
	for t.out >= 0 {
		n, err := unix.Read(t.out, buf)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			if err != unix.EAGAIN {
				unix.Close(t.out)
				t.out = -1
			}
			return
		}
		if left := keptOutput + 1 - len(t.text); left > 0 {
			t.text = append(t.text, buf[:min(n, left)]...)
		}
	}
}

// ended is called when the task's process has.
func (m *monitor) ended(t *task, code int) {
	t.read()
	for i, other := range m.tasks {
		if other == t {
			m.tasks = append(m.tasks[:i], m.tasks[i+1:]...)
			break
		}
	}
	if t.out >= 0 {
		unix.Close(t.out) // somebody in the background may still have its other end
	}
	// The process has ended: what it had to say of its start is there, or nothing.
	if kind, body, _, err := t.conn.Recv(); err == nil && kind == message.StepFailed && t.failed == "" {
		f := &message.Failure{}
		if json.Unmarshal(body, f) == nil {
			t.failed = f.Error()
		}
	}
	t.conn.Close()
	r := state.Check{Start: t.begun.UTC(), End: time.Now().UTC(), ExitCode: code, Output: strings.ToValidUTF8(string(t.text), "\uFFFD")}
	if len(t.text) > keptOutput {
		r.Output = strings.ToValidUTF8(string(t.text[:keptOutput]), "\uFFFD") + "..."
	}
	if t.failed != "" {
		r.ExitCode, r.Output = -1, t.failed
	}
	t.done(r)
}

// gone reports whether the container's process has ended.
func (m *monitor) gone() bool {
	if m.child.pidfd < 0 {
		return true
	}
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(m.child.pidfd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}

// sooner shortens a sleep in milliseconds, -1 for ever, so that it ends at a time;
// the zero time changes nothing.
func sooner(before int, at time.Time) int {
	if at.IsZero() {
		return before
	}
	left := int(max(time.Until(at), 0).Milliseconds()) + 1
	if before < 0 || left < before {
		return left
	}
	return before
}
