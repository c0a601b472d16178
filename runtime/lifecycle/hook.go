package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/runtime/stage/message"
	"skiff/storage/container"
	"skiff/storage/container/hook"
)

// minimumGrace is what a container gets after its PreStop hook, however long that
// took: the kubelet's.
const minimumGrace = 2 * time.Second

// HookError says that a hook of a container's life did not go well.
type HookError struct {
	Hook string // PostStart or PreStop
	Text string
}

func (e *HookError) Error() string { return e.Hook + " hook: " + e.Text }

// graceOf is the container's time between the stop signal and the kill, negative
// for ever.
func graceOf(cfg *container.Config) time.Duration {
	if s := cfg.Config.StopTimeout; s != nil {
		return time.Duration(*s) * time.Second
	}
	return defaultGrace
}

// lifeConfig fills in what the monitor does on its own account: hooks and stops.
func lifeConfig(c *container.Container, m *message.Monitor) (err error) {
	m.StopSignal, m.Grace = int(StopSignal(c.Config)), graceOf(c.Config)
	if l := c.Config.Host.Lifecycle; l != nil {
		if m.PostStart, err = hookWork(c, l.PostStart); err != nil {
			return fmt.Errorf("%s hook: %w", message.PostStart, err)
		}
		if m.PreStop, err = hookWork(c, l.PreStop); err != nil {
			return fmt.Errorf("%s hook: %w", message.PreStop, err)
		}
	}
	if m.Health == nil && m.PostStart == nil && m.PreStop == nil {
		return nil
	}
	if mode := c.Config.Host.UsernsMode; mode != "" && mode != "host" {
		m.Joiner = rootless.RoleJoin
	}
	for _, work := range []*message.Work{m.PostStart, m.PreStop} {
		m.Probes = m.Probes || work != nil && work.Probe != nil
	}
	for _, check := range m.Health.Checks() {
		m.Probes = m.Probes || check.Work.Probe != nil
	}
	return nil
}

// hookWork is what the monitor does for a hook, nil for none.
func hookWork(c *container.Container, h *hook.Handler) (*message.Work, error) {
	switch {
	case h == nil:
	case h.Exec != nil:
		return execWork(c, h.Exec.Command)
	case h.Sleep != nil && h.Sleep.Seconds > 0:
		return &message.Work{Sleep: time.Duration(h.Sleep.Seconds) * time.Second}, nil
	case h.Asks():
		return askWork(c, &hook.Call{Handler: *h, Hook: true})
	}
	return nil, nil
}

// execWork executes words in the container, as the container's own process is.
func execWork(c *container.Container, args []string) (*message.Work, error) {
	p, err := execProcess(c, &ExecOptions{Args: args})
	if err != nil {
		return nil, err
	}
	return &message.Work{Process: *p, Filter: p.Seccomp}, nil
}

// AwaitPostStart waits for the end of the PostStart hook of a container that has
// been started, and returns a *HookError when that did not go well: the container
// is being stopped then.
func AwaitPostStart(ctx context.Context, c *container.Container) error {
	if l := c.Config.Host.Lifecycle; l == nil || l.PostStart == nil {
		return nil
	}
	monitor, err := c.Holder()
	if err != nil {
		return err
	}
	end, err := awaitHook(ctx, c, message.PostStart, -1)
	if err == nil && end == nil || errors.Is(err, ErrNotRunning) {
		// It has ended, and leaves word, as the last of all where the monitor ends too.
		if err != nil {
			err = waitLeft(ctx, c, monitor)
		}
		if err != nil {
			return err
		}
		st, err := c.State()
		if text, ok := strings.CutPrefix(st.Error, message.PostStart+" hook: "); ok {
			return &HookError{Hook: message.PostStart, Text: text}
		}
		return err
	}
	if err == nil && end.Failed != "" {
		err = &HookError{Hook: message.PostStart, Text: end.Failed}
	}
	return err
}

// preStop runs the container's PreStop hook and returns what is left of the grace
// time. How the hook went is no failure of the stop's: the monitor records it.
func preStop(ctx context.Context, c *container.Container, grace time.Duration) (time.Duration, error) {
	if l := c.Config.Host.Lifecycle; l == nil || l.PreStop == nil || grace == 0 {
		return grace, nil
	}
	if err := goOn(ctx, c); err != nil { // in a container that is paused nothing runs
		return grace, err
	}
	begun := time.Now()
	_, err := awaitHook(ctx, c, message.PreStop, grace)
	if cause := context.Cause(ctx); cause != nil {
		return grace, cause
	}
	if err != nil && !errors.Is(err, ErrNotRunning) && !errors.Is(err, unix.EAGAIN) {
		return grace, err
	}
	if grace < 0 {
		return grace, nil
	}
	return max(grace-time.Since(begun), minimumGrace), nil
}

// isClosed reports whether a monitor has closed a connection, or its socket before it
// took that.
func isClosed(err error) bool {
	for _, closed := range []error{io.EOF, io.ErrUnexpectedEOF, unix.ECONNRESET, unix.EPIPE} {
		if errors.Is(err, closed) {
			return true
		}
	}
	return false
}

// awaitHook has the monitor tell the end of a hook; nil says that the container
// has ended instead, ErrNotRunning that its monitor ends, too. It waits up to limit, for ever when that is negative, and
// returns EAGAIN then.
func awaitHook(ctx context.Context, c *container.Container, name string, limit time.Duration) (*message.HookEnd, error) {
	conn, err := dial(c)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if limit >= 0 {
		tv := unix.NsecToTimeval(max(limit, time.Millisecond).Nanoseconds())
		if err := unix.SetsockoptTimeval(conn.FD, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
			return nil, fmt.Errorf("ask monitor: %w", err)
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = unix.Shutdown(conn.FD, unix.SHUT_RDWR) })
	defer stop()
	// Who ends meanwhile says so to be read, or closes.
	if err := conn.SendJSON(message.HookWanted, message.HookRun{Name: name}); err != nil && !isClosed(err) {
		return nil, err
	}
	t, body, _, err := conn.Recv()
	switch {
	case err == nil && t == message.Exited:
		return nil, context.Cause(ctx)
	case isClosed(err):
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, fmt.Errorf("container %s %w", c.Config.ID, ErrNotRunning)
	case err != nil:
		return nil, err
	case t != message.HookDone:
		return nil, fmt.Errorf("monitor sent message %d", t)
	}
	end := &message.HookEnd{}
	return end, json.Unmarshal(body, end)
}
