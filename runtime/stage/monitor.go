package stage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/logdriver"
	"skiff/runtime/stage/message"
	"skiff/runtime/stage/rootfs"
	"skiff/storage/atomicfile"
	"skiff/storage/container/state"
	"skiff/storage/event"
	"skiff/storage/lock"
)

// monitor stays with one container: it owns the log, the control socket, the
// exit status, and with --rm the removal. One thread does it all in one poll
// loop (relay.go); an idle monitor sleeps in the kernel.
type monitor struct {
	cfg    message.Monitor
	lock   *os.File
	log    *logdriver.Writer
	ahead  *child // cloned, not configured
	child  *child
	stdio  [3]uintptr // the container's ends of its streams
	ours   [3]int     // and the monitor's
	state  state.State
	relay  relay
	listen int
	sync   atomicfile.Durability
	oom    oomWatch
	// last says that the container is not to be started again, whatever its
	// policy; delay is how long the last restart waited, restarts how many there
	// were.
	last     bool
	delay    time.Duration
	restarts int
	// once says that it is started again whatever its policy; killAt when it is
	// killed, zero for never.
	once   bool
	killAt time.Time
	health health
	life   life
	tasks  []*task
	joiner int // a program that enters a nested user namespace, -1 without one
	prober int // a program that asks over the network, -1 without one
	// kept are the descriptors for the container's process, which gets them
	// again when it is started again.
	kept []int
}

func monitorMain(front message.Conn) int {
	m := &monitor{listen: -1}
	if len(os.Args) > 1 {
		m.cloneAhead(os.Args[1])
	}
	defer m.dismiss()
	fds, err := front.Expect(message.MonitorConfig, &m.cfg)
	if err != nil {
		return 125
	}
	m.health, m.life = health{cfg: m.cfg.Health}, newLife(&m.cfg)
	m.joiner, m.prober = -1, -1
	if m.cfg.Joiner != "" && len(fds) > m.cfg.Given {
		m.joiner, fds = fds[0], fds[1:]
	}
	if m.cfg.Probes && len(fds) > m.cfg.Given {
		m.prober, fds = fds[0], fds[1:]
	}
	m.kept = fds
	given, err := front.RecvLaunch(&m.cfg.Launch)
	if err != nil {
		return 125
	}
	m.sync = atomicfile.Durability(m.cfg.Durable)
	if err := m.start(given); err != nil {
		failure := &message.Failure{Code: 125}
		if !errors.As(err, &failure) {
			failure = &message.Failure{Code: 125, Text: err.Error()}
		}
		if errors.Is(err, rootfs.ErrNoOverlay) {
			failure.Cure = "install fuse-overlayfs, or set XDG_DATA_HOME to a directory on a file system that can hold an overlay"
		}
		m.recordFailure(failure)
		_ = front.SendJSON(message.StepFailed, failure)
		return failure.Code
	}
	if err := front.SendJSON(message.Started, message.Running{Pid: m.child.pid}); err == nil {
		if m.cfg.Attach != nil {
			m.relay.adopt(front.FD, m.cfg.Attach)
		} else {
			front.Close()
		}
	}
	if m.cfg.AutoRemove {
		// What the start needed is not needed again.
		closeAll(m.kept)
		m.kept = nil
		m.cfg.Launch = message.Launch{Hooks: m.cfg.Launch.Hooks, Hub: m.cfg.Launch.Hub}
	} else {
		state.Reserve(m.cfg.Dir)
	}
	m.relay.run(m)
	m.collect()
	for m.again() && m.backOff() {
		m.rewire()
		if err := m.up(nil, nil); err != nil {
			m.state.Pid = 0
			m.state.Error = asFailure(err).Error()
			m.state.ExitCode = asFailure(err).Code
			break
		}
		m.relay.run(m)
		m.collect()
	}
	m.finish()
	return 0
}

// settle makes the process small for a long wait. It is called when the
// container has lived for settleAfter: a short-lived one does not pay for it.
func settle() {
	debug.SetGCPercent(100)
	debug.FreeOSMemory()
}

// start takes the container's run lock and leads it to execution. given is the
// root's mount if the front has made it.
func (m *monitor) start(given []int) (err error) {
	if m.lock, err = lock.HoldRun(filepath.Join(m.cfg.Dir, "lock")); err != nil {
		return err
	}
	// Orphans of the container's helpers come to us instead of to pid 1.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	m.log = logdriver.New(m.cfg.Log)
	if m.listen, err = listen(m.cfg.Dir); err != nil {
		return err
	}
	m.oom = watchOOM(m.cfg.OOM)
	m.cfg.Launch.Cgroups = m.cfg.Cgroups
	ahead := m.ahead
	m.ahead = nil // launch looks after it
	return m.up(ahead, given)
}

// up leads the container to execution, for the first time or again.
func (m *monitor) up(ahead *child, given []int) (err error) {
	if ahead == nil {
		if err := m.pipes(m.cfg.Tty, m.cfg.OpenStdin); err != nil {
			return err
		}
	}
	l := m.cfg.Launch
	l.Kept = m.kept
	m.child, err = launch(&l, ahead, m.stdio, given...)
	for _, fd := range m.stdio {
		if fd > 2 {
			unix.Close(int(fd))
		}
	}
	closeAll(given)
	if err != nil {
		return err
	}
	// The layers' directory is not ours to keep busy.
	if err := unix.Chdir("/"); err != nil {
		m.child.abandon()
		return fmt.Errorf("chdir: %w", err)
	}
	m.relay.init(m)
	if err := m.child.start(); err != nil {
		m.child.abandon()
		return err
	}
	return m.recordStart()
}

// Ahead words what a monitor must know to clone its init before it gets its
// configuration: the namespaces to make, and which standard streams there are.
func Ahead(cloneFlags uintptr, tty, stdin bool) string {
	return fmt.Sprintf("%x,%t,%t", cloneFlags, tty, stdin)
}

// cloneAhead clones init while the front still works on the configuration. If
// that fails it is tried again, and reported, when the configuration is there.
func (m *monitor) cloneAhead(hint string) {
	var l message.Launch
	var tty, stdin bool
	if _, err := fmt.Sscanf(strings.ReplaceAll(hint, ",", " "), "%x %t %t", &l.CloneFlags, &tty, &stdin); err != nil {
		return
	}
	if m.pipes(tty, stdin) == nil {
		m.ahead, _ = clone(&l, m.stdio)
	}
}

// dismiss ends an init that got no configuration.
func (m *monitor) dismiss() {
	if m.ahead != nil {
		m.ahead.abandon()
	}
}

// pipes makes the container's standard streams: stdio are its ends, ours the
// monitor's (in, out, err; -1 without). With a terminal init makes its own.
func (m *monitor) pipes(tty, stdin bool) error {
	m.ours = [3]int{-1, -1, -1}
	m.stdio = [3]uintptr{0, 1, 2} // /dev/null, as the front started us
	if tty || m.cfg.Direct {
		return nil
	}
	for i := range 3 {
		if i == 0 && !stdin {
			continue
		}
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return fmt.Errorf("pipe: %w", err)
		}
		theirs := 1
		if i == 0 {
			theirs = 0
		}
		m.stdio[i], m.ours[i] = uintptr(p[theirs]), p[1-theirs]
		if err := unix.SetNonblock(m.ours[i], true); err != nil {
			return fmt.Errorf("pipe: %w", err)
		}
	}
	return nil
}

// recordStart publishes that the container runs.
func (m *monitor) recordStart() error {
	m.state = state.State{
		Pid: m.child.pid, PidStart: startTime(m.child.pid), BootID: m.cfg.BootID,
		MonitorPid: os.Getpid(), StartedAt: time.Now().UTC(), Restarts: m.restarts,
	}
	if err := state.Write(m.cfg.Dir, m.state, atomicfile.Volatile); err != nil {
		m.child.abandon()
		return err
	}
	if err := runHooks(m.cfg.Launch.Hooks.Poststart, m.hookState(), "running", true); err != nil {
		m.child.abandon()
		return fmt.Errorf("poststart hook: %w", err)
	}
	m.started()
	m.health.begin(m.cfg.Dir)
	m.life.begin(m)
	if m.killAt = (time.Time{}); m.cfg.Timeout > 0 {
		m.killAt = m.state.StartedAt.Add(m.cfg.Timeout)
	}
	return nil
}

func (m *monitor) hookState() message.State {
	st := m.cfg.Launch.Hooks.State
	st.Pid = m.state.Pid
	return st
}

// recordFailure publishes why the container did not start, as docker's State
// has it. It needs the lock to be ours.
func (m *monitor) recordFailure(f *message.Failure) {
	if m.lock == nil {
		return
	}
	if m.cfg.AutoRemove {
		_ = os.RemoveAll(m.remove())
		return
	}
	old, _ := state.Read(m.cfg.Dir)
	old.Pid, old.ExitCode, old.Error = 0, f.Code, f.Error()
	old.FinishedAt = time.Now().UTC()
	_ = state.Write(m.cfg.Dir, old, atomicfile.Volatile)
	_ = os.Remove(filepath.Join(m.cfg.Dir, socketName))
	_ = os.Remove(m.cfg.RunningLink)
}

// noteOOM records that the kernel killed something for want of memory.
func (m *monitor) noteOOM() {
	if m.oom.happened() {
		m.state.OOMKilled = true
		m.record(m.happened("oom"))
	}
}

// collect waits for the container's process, which has ended, and ends what was
// there for it.
func (m *monitor) collect() {
	m.relay.dismiss()
	m.life.over(m)
	code := wait(m.child.pid)
	m.child.release()
	m.noteOOM()
	_ = runHooks(m.cfg.Launch.Hooks.Poststop, m.hookState(), "stopped", true)
	m.state.Pid, m.state.ExitCode, m.state.FinishedAt = 0, code, time.Now().UTC()
	// A stop by the user may have been noted there meanwhile.
	if now, err := state.Read(m.cfg.Dir); err == nil && now.Stopped {
		m.state.Stopped, m.last = true, true
	}
	events := []event.Event{m.happened("die", "exitCode", strconv.Itoa(code), "execDuration",
		strconv.Itoa(int(m.state.FinishedAt.Sub(m.state.StartedAt).Seconds())))}
	events = append(events, m.networkEvents("disconnect")...)
	m.record(append(events, m.volumeEvents("unmount")...)...)
}

// finish publishes the end of the container and tells whoever is attached.
func (m *monitor) finish() {
	LeaveCgroups(m.cfg.Cgroups)
	unix.Close(m.listen)
	_ = m.log.Close()
	m.state.Restarting = false
	var events []event.Event
	trash := ""
	if m.cfg.AutoRemove {
		if trash = m.remove(); trash != "" {
			events = append(events, m.removed()...)
		}
	} else {
		_ = state.Write(m.cfg.Dir, m.state, m.sync)
		state.Release(m.cfg.Dir)
		_ = os.Remove(filepath.Join(m.cfg.Dir, socketName))
		_ = os.Remove(m.cfg.RunningLink)
	}
	m.record(events...)
	// From here on the container is not running; a client that reads slowly may
	// keep this process, but not the container's name.
	if trash == "" || lock.YieldRun(m.lock) != nil {
		m.lock.Close()
	}
	m.relay.exited(m.state.ExitCode)
	if trash != "" {
		_ = os.RemoveAll(trash)
	}
}

// remove makes the container invisible in one step, and returns what is still
// to be deleted.
func (m *monitor) remove() string {
	trash := m.cfg.Discard
	link := m.nameLink()
	if owner, err := os.Readlink(link); err == nil && owner == m.cfg.ID {
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "" // the next command tries again, the name with the rest
		}
	}
	// Its volumes go with it in that step; who finds it before removes it with them.
	m.keepShared()
	var apart []string
	for i, dir := range m.cfg.Trash {
		if os.Rename(dir, filepath.Join(m.cfg.Dir, "volume-"+strconv.Itoa(i))) != nil {
			apart = append(apart, dir)
		}
	}
	err := os.Rename(m.cfg.Dir, trash)
	if errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.ENOSPC) {
		// Some file systems take even that only where there is room, and what the
		// container wrote is of no use to anybody now.
		_ = os.RemoveAll(filepath.Join(m.cfg.Dir, "upper"))
		err = os.Rename(m.cfg.Dir, trash)
	}
	if err != nil {
		return ""
	}
	// Not before: it is what a sweeper finds the container by.
	_ = os.Remove(m.cfg.RunningLink)
	for _, dir := range apart {
		_ = os.RemoveAll(dir)
	}
	return trash
}

// socketName is the control socket in the container's directory.
const socketName = "control.sock"

// listen makes the control socket. The directory is named by a descriptor,
// because a socket's path is bounded by 108 bytes (unix(7)).
func listen(dir string) (int, error) {
	d, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(d)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("control socket: %w", err)
	}
	name := fmt.Sprintf("/proc/self/fd/%d/%s", d, socketName)
	_ = unix.Unlink(name) // of a monitor that died; the run lock says that we are the only one
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: name}); err == nil {
		err = unix.Listen(fd, 64)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("control socket: %w", err)
	}
	return fd, nil
}

// startTime is a process's start in clock ticks after boot (proc(5), stat field
// 22), 0 when it is gone.
func startTime(pid int) uint64 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The command name may contain anything; fields are counted behind it.
	_, rest, _ := bytes.Cut(data[max(0, bytes.LastIndexByte(data, ')')):], []byte(" "))
	fields := bytes.Fields(rest)
	if len(fields) < 20 {
		return 0
	}
	n, _ := strconv.ParseUint(string(fields[19]), 10, 64)
	return n
}
