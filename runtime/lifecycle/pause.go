package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"skiff/storage/container"
)

var (
	// ErrPaused says that the container is paused.
	ErrPaused = errors.New("is paused")
	// ErrNotPaused says that it is not.
	ErrNotPaused = errors.New("is not paused")
)

// Pause stops every process of a running container until Unpause: by the
// freezer of its control group, and where it has none of its own by SIGSTOP to
// each. ErrNotRunning, ErrPaused. On error everything goes on.
func Pause(ctx context.Context, c *container.Container) error {
	op, err := c.Lock(ctx)
	if err != nil {
		return err
	}
	defer op.Release()
	st, err := c.Status()
	switch {
	case err != nil:
		return err
	case st.State == "paused":
		return fmt.Errorf("container %s %w", c.Config.ID, ErrPaused)
	case !st.Running():
		return notRunning(c)
	}
	if err = c.MarkPaused(st.Recorded); err != nil {
		return err
	}
	if dir := CgroupOf(c, st.Pid); dir != "" {
		err = freeze(ctx, dir)
	} else {
		err = stopAll(ctx, c)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot pause container %s: %w", c.Config.ID, err), resume(c, st.Pid))
	}
	c.Emit("pause")
	return nil
}

// Unpause lets a paused container go on. ErrNotPaused.
func Unpause(ctx context.Context, c *container.Container) error {
	op, err := c.Lock(ctx)
	if err != nil {
		return err
	}
	defer op.Release()
	st, err := c.Status()
	if err != nil {
		return err
	}
	if st.State != "paused" {
		return fmt.Errorf("container %s %w", c.Config.ID, ErrNotPaused)
	}
	if err := resume(c, st.Pid); err != nil {
		return fmt.Errorf("cannot unpause container %s: %w", c.Config.ID, err)
	}
	c.Emit("unpause")
	return nil
}

// resume lets the container's processes go on.
//
// Requires the op lock, exclusive.
func resume(c *container.Container, init int) error {
	if dir := CgroupOf(c, init); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, freezeFile), []byte("0"), 0); err != nil {
			return err
		}
	}
	// Without a freezer, or stopped before the container had one.
	pids, err := Pids(c)
	if err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	var stopped []int
	for _, pid := range pids {
		if s, err := ReadStat(pid); err == nil && s.State == 'T' {
			stopped = append(stopped, pid)
		}
	}
	err = signalMembers(c, stopped, unix.SIGCONT)
	if errors.Is(err, ErrNotRunning) {
		err = nil
	}
	return errors.Join(err, c.UnmarkPaused())
}

const freezeFile = "cgroup.freeze"

// freeze freezes a control group and waits until it is frozen
// (https://docs.kernel.org/admin-guide/cgroup-v2.html#core-interface-files).
func freeze(ctx context.Context, dir string) error {
	if err := os.WriteFile(filepath.Join(dir, freezeFile), []byte("1"), 0); err != nil {
		return err
	}
	return patiently(ctx, func() (bool, error) {
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
		return strings.Contains(string(data), "frozen 1"), err
	})
}

// stopAll stops all processes of the container. What is not stopped yet may
// fork, so it looks again until it finds nothing that runs: a stopped process
// makes no others.
func stopAll(ctx context.Context, c *container.Container) error {
	return patiently(ctx, func() (bool, error) {
		pids, err := Pids(c)
		if err != nil {
			return false, err
		}
		var moving []int
		for _, pid := range pids {
			if s, err := ReadStat(pid); err == nil && strings.IndexByte("TtZX", s.State) < 0 {
				moving = append(moving, pid)
			}
		}
		return len(moving) == 0, signalMembers(c, moving, unix.SIGSTOP)
	})
}

// signalMembers sends a signal to processes that were found in the container.
// The descriptors hold their pids, so that another look decides whether they
// still are what was found.
func signalMembers(c *container.Container, found []int, sig unix.Signal) error {
	held := map[int]int{}
	for _, pid := range found {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			defer unix.Close(fd)
			held[pid] = fd
		}
	}
	pids, err := Pids(c)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		fd, ok := held[pid]
		if !ok {
			continue
		}
		if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("send signal %d to process %d: %w", sig, pid, err)
		}
	}
	return nil
}

// patiently asks up to ten seconds whether something is so.
func patiently(ctx context.Context, so func() (bool, error)) error {
	deadline := time.Now().Add(10 * time.Second)
	for step := time.Millisecond; ; step = min(2*step, 50*time.Millisecond) {
		ok, err := so()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return errors.New("its processes do not come to rest")
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(step):
		}
	}
}

// goOn lets a paused container receive the signal that was just sent to it.
func goOn(ctx context.Context, c *container.Container) error {
	err := Unpause(ctx, c)
	if errors.Is(err, ErrNotPaused) || errors.Is(err, ErrNotRunning) || errors.Is(err, container.ErrNotFound) {
		return nil
	}
	return err
}
