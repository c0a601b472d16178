package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
	"skiff/storage/container"
	"skiff/storage/reserve"
)

// defaultGrace is docker's time between the stop signal and the kill.
const defaultGrace = 10 * time.Second

// Kill sends a signal to the container's process, or returns ErrNotRunning. A start
// that has begun comes first.
func Kill(ctx context.Context, c *container.Container, sig syscall.Signal) error {
	fd, err := openStarted(ctx, c)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if own := c.Config.Config.StopSignal; own == "" || sig == unix.SIGKILL || sig == StopSignal(c.Config) {
		noteEnd(c) // as docker does: only another signal than its own leaves the policy
	}
	emitKill(c, sig)
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
		if errors.Is(err, unix.ESRCH) {
			return notRunning(c)
		}
		return fmt.Errorf("send signal %d: %w", sig, err)
	}
	switch sig {
	case 0:
		return nil
	case unix.SIGKILL:
		// As docker: it is dead when kill has returned.
		if _, err := waitProcess(ctx, fd, -1); err != nil {
			return err
		}
		return waitReleased(ctx, c)
	}
	return goOn(ctx, c)
}

// emitKill records a signal before it is sent, so that what it brings about is
// recorded after it.
func emitKill(c *container.Container, sig syscall.Signal) {
	c.Emit("kill", "signal", strconv.Itoa(int(sig)))
}

func notRunning(c *container.Container) error {
	return fmt.Errorf("container %s %w", c.Config.ID, ErrNotRunning)
}

// openInit returns a pidfd of the container's process, or ErrNotRunning.
func openInit(c *container.Container) (int, error) {
	st, err := c.Status()
	if err != nil {
		return -1, err
	}
	if !st.Running() {
		return -1, notRunning(c)
	}
	fd, err := container.OpenProcess(st.Recorded)
	if err != nil {
		return -1, err
	}
	if fd < 0 {
		return -1, notRunning(c)
	}
	return fd, nil
}

// openStarted is openInit for what a start that has begun comes before, as in docker,
// where each has to wait for the other: between its first moment and its record the
// container does not run yet.
func openStarted(ctx context.Context, c *container.Container) (int, error) {
	for wait := shortWait; ; wait = wait.next() {
		fd, err := openInit(c)
		if !errors.Is(err, ErrNotRunning) {
			return fd, err
		}
		if st, failed := c.Status(); failed != nil || st.State == "restarting" {
			return -1, errors.Join(err, failed)
		}
		if changing, failed := c.Changing(); failed != nil {
			return -1, failed
		} else if !changing {
			// It may have begun, or been recorded, between the two looks.
			if st, failed := c.Status(); failed != nil || !st.Running() {
				return -1, errors.Join(err, failed)
			}
		}
		if err := wait.pass(ctx); err != nil {
			return -1, err
		}
	}
}

// Stop sends the container's stop signal (sig overrides unless 0), waits up to
// timeout (nil: the container's or 10 s; negative: for ever), then kills. The
// container's PreStop hook, if it has one, comes before the signal and takes of
// that time. A start that has begun comes first. A container that is not running is a
// success.
func Stop(ctx context.Context, c *container.Container, sig syscall.Signal, timeout *time.Duration) error {
	fd, err := openStarted(ctx, c)
	if errors.Is(err, ErrNotRunning) {
		if st, err := c.Status(); err == nil && st.State == "restarting" {
			if noteEnd(c) {
				return waitReleased(ctx, c)
			}
			// It has come again meanwhile, or is gone.
			if err := shortWait.pass(ctx); err != nil {
				return err
			}
			return Stop(ctx, c, sig, timeout)
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if noteEnd(c) {
		// The monitor has recorded it.
	} else if held, err := c.TryLock(); err == nil {
		err = recordStop(c)
		held.Release()
		if err != nil && !reserve.IsFull(err) {
			return err
		}
	}
	if sig == 0 {
		sig = StopSignal(c.Config)
	}
	grace := graceOf(c.Config)
	if timeout != nil {
		grace = *timeout
	}
	if grace, err = preStop(ctx, c, grace); err != nil {
		return err
	}
	emitKill(c, sig)
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send signal %d: %w", sig, err)
	}
	if err := goOn(ctx, c); err != nil {
		return err
	}
	ended, err := waitProcess(ctx, fd, grace)
	if err != nil {
		return err
	}
	if !ended {
		emitKill(c, unix.SIGKILL)
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill: %w", err)
		}
		if _, err := waitProcess(ctx, fd, -1); err != nil {
			return err
		}
	}
	if err := waitReleased(ctx, c); err != nil {
		return err
	}
	c.Emit("stop")
	return nil
}

// noteWait bounds how long a monitor may take to answer.
const noteWait = 2 * time.Second

// noteEnd tells the monitor of a container with a restart policy that its next end
// is its last, and reports whether it has heard.
func noteEnd(c *container.Container) bool {
	if h := &c.Config.Host; !restarted(h.RestartPolicy) && h.HealthOnFailure != "restart" && c.Config.Config.StartupCheck == nil {
		return false
	}
	conn, err := dial(c)
	if err != nil {
		return false
	}
	defer conn.Close()
	limit := unix.NsecToTimeval(noteWait.Nanoseconds())
	if err := unix.SetsockoptTimeval(conn.FD, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return false
	}
	if err := conn.Send(message.EndWanted, nil); err != nil {
		return false
	}
	_, err = conn.Expect(message.EndNoted, nil)
	return err == nil
}

// SetPolicy tells a living monitor of another restart policy.
func SetPolicy(c *container.Container, p container.RestartPolicy) {
	conn, err := dial(c)
	if err != nil {
		return // nobody needs to know
	}
	defer conn.Close()
	_ = conn.SendJSON(message.PolicyChanged, message.Restart{Name: p.Name, Max: p.MaximumRetryCount})
}

// StopSignal returns the signal that asks the container to end.
func StopSignal(cfg *container.Config) syscall.Signal {
	name := strings.ToUpper(cfg.Config.StopSignal)
	if name == "" {
		return unix.SIGTERM
	}
	if n, err := strconv.Atoi(name); err == nil && n > 0 && n <= 64 {
		return syscall.Signal(n)
	}
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if n := unix.SignalNum(name); n != 0 {
		return n
	}
	if n, err := strconv.Atoi(strings.TrimPrefix(name, "SIGRTMIN+")); err == nil && n >= 0 && n <= 30 {
		return syscall.Signal(34 + n)
	}
	return unix.SIGTERM
}

// pollStep bounds how long a wait goes without looking at its context.
const pollStep = 200 * time.Millisecond

// waitProcess waits for the end of the process behind a pidfd: up to grace, for
// ever when that is negative.
func waitProcess(ctx context.Context, fd int, grace time.Duration) (ended bool, err error) {
	deadline := time.Now().Add(grace)
	for {
		if err := context.Cause(ctx); err != nil {
			return false, err
		}
		step := pollStep
		if grace >= 0 {
			step = min(step, time.Until(deadline))
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(max(step, 0).Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false, fmt.Errorf("wait for process: %w", err)
		}
		if n > 0 {
			return true, nil
		}
		if grace >= 0 && !time.Now().Before(deadline) {
			return false, nil
		}
	}
}

// waitReleased waits until the monitor has published the end.
func waitReleased(ctx context.Context, c *container.Container) error {
	for wait := shortWait; ; wait = wait.next() {
		holder, err := c.Holder()
		if err != nil || holder == 0 {
			return err
		}
		if err := wait.pass(ctx); err != nil {
			return err
		}
	}
}

// waitLeft waits until that monitor has published the end.
func waitLeft(ctx context.Context, c *container.Container, monitor int) error {
	for wait := shortWait; ; wait = wait.next() {
		holder, err := c.Holder()
		if err != nil || holder == 0 || holder != monitor {
			return err
		}
		if err := wait.pass(ctx); err != nil {
			return err
		}
	}
}

// interval is how long somebody waits who looks again and again.
type interval time.Duration

// shortWait is the first of these waits: what is waited for takes about as long.
const shortWait = interval(200 * time.Microsecond)

func (i interval) next() interval { return min(2*i, interval(20*time.Millisecond)) }

// pass waits, unless the context ends before.
func (i interval) pass(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Duration(i)):
		return nil
	}
}

// Wait returns the exit code once the container is not running.
func Wait(ctx context.Context, c *container.Container) (int, error) {
	if c.Config.Host.AutoRemove {
		// Its state goes with it: only the monitor can tell, and to those only that
		// asked before.
		if code, err := waitAttached(ctx, c); !errors.Is(err, ErrNotRunning) {
			return code, err
		}
	}
	fd, err := openInit(c)
	if err == nil {
		_, err = waitProcess(ctx, fd, -1)
		unix.Close(fd)
	}
	if err != nil && !errors.Is(err, ErrNotRunning) {
		return 0, err
	}
	// Also when it just ended: its monitor still has it.
	if err := waitReleased(ctx, c); err != nil {
		return 0, err
	}
	st, err := c.Status()
	return st.Recorded.ExitCode, err
}

// waitAttached has the monitor tell the exit code.
func waitAttached(ctx context.Context, c *container.Container) (int, error) {
	session, err := Attach(ctx, c, Attachment{})
	if err != nil {
		return 0, err
	}
	defer session.Close()
	defer context.AfterFunc(ctx, func() { session.Close() })()
	code, err := session.Wait(io.Discard, io.Discard)
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	return code, err
}

// WaitFor waits for a condition: docker's not-running, next-exit and removed, or
// a state (running, paused, exited, created; stopped is exited). It returns the
// exit code, -1 while there is none.
func WaitFor(ctx context.Context, c *container.Container, condition string) (int, error) {
	switch condition {
	case "not-running":
		return Wait(ctx, c)
	case "next-exit":
		if err := reach(ctx, c, func(s container.Status) bool { return s.Running() }); err != nil {
			return 0, err
		}
		return Wait(ctx, c)
	case "removed":
		code, err := Wait(ctx, c)
		if err == nil {
			err = reach(ctx, c, func(container.Status) bool { return false })
		}
		if errors.Is(err, container.ErrNotFound) {
			err = nil
		}
		return code, err
	case "stopped":
		condition = "exited"
	}
	code := -1
	err := reach(ctx, c, func(s container.Status) bool {
		if s.State == "exited" {
			code = s.Recorded.ExitCode
		}
		return s.State == condition
	})
	return code, err
}

// reach waits until the container's status is as wanted, or it is gone:
// container.ErrNotFound.
func reach(ctx context.Context, c *container.Container, wanted func(container.Status) bool) error {
	for step := time.Millisecond; ; step = min(2*step, 50*time.Millisecond) {
		if _, err := os.Lstat(c.Dir()); errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%q: %w", c.Config.ID, container.ErrNotFound)
		}
		s, err := c.Status()
		if err != nil || wanted(s) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(step):
		}
	}
}
