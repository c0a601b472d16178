package bundle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"skiff/runtime/stage"
	"skiff/storage/lock"
)

// killWait is how long a killed process may take to end: unmounting its
// namespace can be slow.
const killWait = 10 * time.Second

// Kill sends a signal to the process of a created or running container, or
// returns ErrNotRunning.
func (c *Container) Kill(sig syscall.Signal) error {
	status, err := c.status()
	if err != nil {
		return err
	}
	if status == rspec.StateCreating || status == rspec.StateStopped {
		return ErrNotRunning
	}
	return c.signal(sig)
}

func (c *Container) signal(sig syscall.Signal) error {
	fd, err := c.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = unix.PidfdSendSignal(fd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return ErrNotRunning
	}
	if err != nil {
		return fmt.Errorf("send signal %d: %w", sig, err)
	}
	return nil
}

// Delete removes a container whose process has ended, or was never started;
// with force, it is killed first. Then the poststop hooks run; what fails of
// them is returned in warnings, because the container is gone all the same.
func (c *Container) Delete(ctx context.Context, force bool) (warnings []error, err error) {
	held, err := lock.Dir(ctx, c.dir)
	if err != nil {
		return nil, err
	}
	defer held.Release()
	status, err := c.status()
	if c.Pid == 0 {
		status = rspec.StateStopped // the lock is ours: its creator is dead
	}
	if err != nil && c.Pid != 0 {
		return nil, err
	}
	if status != rspec.StateStopped {
		if status == rspec.StateRunning && !force {
			return nil, fmt.Errorf("cannot delete container %s that is not stopped: %s", c.ID, status)
		}
		if err := c.end(ctx); err != nil {
			return nil, err
		}
	}
	s, err := c.spec()
	if err != nil && !force {
		return nil, err
	}
	// Renamed first, so that the id is free, and not half there, at once.
	gone := filepath.Join(filepath.Dir(c.dir), fmt.Sprintf(".delete-%s.%d", c.ID, os.Getpid()))
	if err := os.Rename(c.dir, gone); err != nil {
		return nil, err
	}
	stage.LeaveCgroups(c.Cgroups)
	if err := os.RemoveAll(gone); err != nil {
		return nil, err
	}
	StateRoot(filepath.Dir(gone)).tidy()
	if s == nil || s.Hooks == nil {
		return nil, nil
	}
	for i := range s.Hooks.Poststop {
		// Each runs, whatever the others did (runtime.md, "Lifecycle" 13).
		if err := c.runHooks(s.Hooks.Poststop[i:i+1], rspec.StateStopped); err != nil {
			warnings = append(warnings, fmt.Errorf("poststop hook: %w", err))
		}
	}
	return warnings, nil
}

// end kills the process and waits for its end.
func (c *Container) end(ctx context.Context) error {
	fd, err := c.open()
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill: %w", err)
	}
	for deadline := time.Now().Add(killWait); time.Now().Before(deadline); {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(pollStep.Milliseconds()))
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for process: %w", err)
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("container %s does not end", c.ID)
}
