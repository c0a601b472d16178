package container

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"skiff/storage"
	"skiff/storage/atomicfile"
	"skiff/storage/container/state"
	"skiff/storage/lock"
)

// Status is what a container is doing, decided at one moment.
type Status struct {
	State    string // docker's word: created, running, paused, restarting, exited, dead
	Pid      int    // of the container's init, 0 unless running
	Recorded state.State
	// Health is nil for a container without a check, and one that does not run.
	Health *state.Health
	// Readiness is nil where nobody looks at it, and for one that does not run.
	Readiness *state.Readiness
}

// Running reports whether the container has a living process.
func (s Status) Running() bool { return s.State == "running" || s.State == "paused" }

// Finished is when it ended last, zero if it never did.
func (s Status) Finished() time.Time { return s.Recorded.FinishedAt }

// Status decides what the container is doing. It runs while its monitor holds
// the run lock. Without a monitor, a recorded process of this boot that still
// lives (the monitor was killed, and the process outlived the signal that its
// death sends) is ended here, and the end recorded: nobody is left who would
// collect its output or exit code.
func (c *Container) Status() (Status, error) { return c.status(c.marked) }

// Statuses are those of many containers, with what failed beside each. It asks
// once, before it looks at any, which of them are marked as running.
func Statuses(st *storage.Store, list []*Container) ([]Status, []error) {
	statuses, failed := make([]Status, len(list)), make([]error, len(list))
	marks := map[string]bool{}
	names, err := os.ReadDir(st.Running())
	for _, n := range names {
		marks[n.Name()] = true
	}
	known := err == nil || errors.Is(err, os.ErrNotExist)
	Each(len(list), func(i int) {
		c := list[i]
		marked := c.marked
		if known {
			marked = func() bool { return marks[c.Config.ID] }
		}
		statuses[i], failed[i] = c.status(marked)
	})
	return statuses, failed
}

func (c *Container) status(marked func() bool) (Status, error) {
	st, err := c.State()
	if err != nil {
		return Status{}, err
	}
	holder := 0
	if st.Pid != 0 || marked() {
		if holder, err = c.Holder(); err != nil {
			return Status{}, err
		}
		// A start or an end may have come between the two looks.
		if st, err = c.State(); err != nil {
			return Status{}, err
		}
	}
	if holder == 0 && st.Pid != 0 {
		if st, err = c.bury(st); err != nil {
			return Status{}, err
		}
		// A start may have come between the two looks.
		if holder, err = c.Holder(); err != nil {
			return Status{}, err
		}
	}
	out := Status{State: "exited", Recorded: st}
	switch {
	case holder != 0 && st.Pid != 0:
		out.State, out.Pid = "running", st.Pid
		if state.Paused(c.Dir(), st) {
			out.State = "paused"
		}
	case holder != 0 && st.Restarting:
		out.State = "restarting"
	case st.StartedAt.IsZero():
		out.State = "created"
	}
	if p := &c.Config.Config; out.Running() && (p.Checked() || p.ReadyCheck.Exists()) {
		h := state.ReadHealth(c.Dir())
		if p.ReadyCheck.Exists() {
			out.Readiness = cmp.Or(h.Readiness, &state.Readiness{Log: []state.Check{}})
		}
		if h.Readiness = nil; p.Checked() {
			out.Health = &h
		}
	}
	return out, nil
}

// Ready reports whether the container can do its work, as far as that is known: by
// its readiness check, else by its health; of one that has neither, that it runs.
func (s Status) Ready() bool {
	switch {
	case s.State != "running": // nor paused
		return false
	case s.Readiness != nil:
		return s.Readiness.Ready
	case s.Health != nil:
		return s.Health.Status == state.Healthy
	}
	return true
}

// marked reports whether the container is marked as running, which it is from
// before its start to its end.
func (c *Container) marked() bool {
	_, err := os.Lstat(c.RunningLink())
	return err == nil
}

// Changing reports whether a living process is just about to start the container, or
// its monitor about to record that it has begun or ended.
func (c *Container) Changing() (bool, error) {
	holder, err := c.Holder()
	if err != nil || holder != 0 {
		return holder != 0, err
	}
	if !c.marked() {
		return false, nil
	}
	op, err := c.TryLock()
	switch {
	case errors.Is(err, lock.ErrBusy):
		return true, nil
	case errors.Is(err, os.ErrNotExist): // removed meanwhile
		return false, nil
	case err != nil:
		return false, err
	}
	defer op.Release()
	return c.exists() && !c.deserted(), nil
}

// killedCode is the exit code of what was killed with SIGKILL.
const killedCode = 128 + int(unix.SIGKILL)

// bury ends what a dead monitor left alive and records the container's end. It
// does nothing while another command works on the container.
func (c *Container) bury(st state.State) (state.State, error) {
	op, err := c.TryLock()
	if errors.Is(err, lock.ErrBusy) {
		return st, nil
	}
	if err != nil {
		// A store that cannot be written can still be read.
		st.Pid, st.ExitCode = 0, killedCode
		return st, nil
	}
	defer op.Release()
	if st, err = c.State(); err != nil || st.Pid == 0 {
		return st, err
	}
	if holder, err := c.Holder(); err != nil || holder != 0 {
		return st, err
	}
	if err := Reap(st); err != nil {
		return st, err
	}
	st.Pid, st.ExitCode, st.FinishedAt = 0, killedCode, time.Now().UTC()
	// Best effort on a full or read-only disk: the next reader comes here again.
	_ = c.reclaim() // the monitor may have died writing
	_ = state.Write(c.Dir(), st, atomicfile.Volatile)
	state.Release(c.Dir())
	if !c.Config.Host.AutoRemove {
		// By it a sweeper finds one that is to vanish.
		_ = os.Remove(c.RunningLink())
	}
	_ = os.Remove(filepath.Join(c.Dir(), SocketFile))
	return st, nil
}

// Reap kills the recorded process if it is still that process, and waits up to
// a second for its end.
func Reap(st state.State) error {
	fd, err := OpenProcess(st)
	if err != nil || fd < 0 {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", st.Pid, err)
	}
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for process %d: %w", st.Pid, err)
	}
	return nil
}

// OpenProcess returns a pidfd of the recorded process, or -1 when it is gone: on
// another boot, or its pid now another's.
func OpenProcess(st state.State) (int, error) {
	if st.Pid <= 0 || st.BootID != BootID() {
		return -1, nil
	}
	fd, err := unix.PidfdOpen(st.Pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("open process %d: %w", st.Pid, err)
	}
	// The descriptor holds the pid; only now is its start time worth reading.
	if st.PidStart != 0 && StartTime(st.Pid) != st.PidStart {
		unix.Close(fd)
		return -1, nil
	}
	return fd, nil
}

// BootID names this boot of the machine (random(4)).
func BootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// StartTime is a process's start in clock ticks after boot (proc(5), stat field
// 22), 0 when it is gone or a zombie.
func StartTime(pid int) uint64 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The command name may contain anything; fields are counted behind it.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return 0
	}
	n, _ := strconv.ParseUint(fields[19], 10, 64)
	return n
}
