package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"skiff/runtime/stage"
	"skiff/runtime/stage/message"
	"skiff/storage/lock"
)

// Start lets a created container's process execute the program, and returns
// when it has; else why not, as a *message.Failure.
func (c *Container) Start(ctx context.Context) error {
	held, err := lock.Dir(ctx, c.dir)
	if err != nil {
		return err
	}
	defer held.Release()
	status, err := c.status()
	switch {
	case err != nil:
		return err
	case status == rspec.StateStopped:
		return errors.New("cannot start a container that has stopped")
	case status != rspec.StateCreated:
		return errors.New("cannot start an already running container")
	}
	pidfd, err := c.open()
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	fifo := filepath.Join(c.dir, startFIFO)
	if err := awaitExec(ctx, fifo, pidfd); err != nil {
		return err
	}
	if err := os.Remove(fifo); err != nil {
		return err
	}
	return c.runPoststart()
}

// awaitExec opens the FIFO that the process waits at. The process writes a byte
// when it goes on, then what went wrong, if anything does; the FIFO closes when
// it executes the program.
func awaitExec(ctx context.Context, path string, pidfd int) error {
	fifo, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", startFIFO, err)
	}
	defer fifo.Close()
	var said []byte
	buf := make([]byte, 4096)
	poll := []unix.PollFd{{Fd: int32(fifo.Fd()), Events: unix.POLLIN}, {Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(poll, int(pollStep.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for process: %w", err)
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if poll[0].Revents != 0 {
			n, err := unix.Read(int(fifo.Fd()), buf)
			if n > 0 {
				said = append(said, buf[:n]...)
				continue
			}
			if err == nil && len(said) > 0 {
				return failure(said[1:])
			}
		}
		if poll[1].Revents != 0 && poll[0].Revents&unix.POLLIN == 0 {
			return errors.New("container process is already dead")
		}
	}
}

// pollStep bounds how long a wait goes without looking at its context.
const pollStep = 200 * time.Millisecond

func failure(body []byte) error {
	if len(body) == 0 {
		return nil
	}
	f := &message.Failure{}
	if err := json.Unmarshal(body, f); err != nil {
		return fmt.Errorf("receive failure: %w", err)
	}
	return f
}

// runPoststart runs the poststart hooks; when one fails the container is
// stopped (runtime.md, "Lifecycle" 9).
func (c *Container) runPoststart() error {
	s, err := c.spec()
	if err != nil || s.Hooks == nil {
		return err
	}
	if err := c.runHooks(s.Hooks.Poststart, rspec.StateRunning); err != nil {
		return errors.Join(fmt.Errorf("poststart hook: %w", err), c.signal(unix.SIGKILL))
	}
	return nil
}

func (c *Container) runHooks(list []rspec.Hook, status rspec.ContainerState) error {
	st := message.State{Version: c.Version, ID: c.ID, Bundle: c.Bundle, Annotations: c.Annotations}
	if status != rspec.StateStopped {
		st.Pid = c.Pid
	}
	var hooks []message.Hook
	for _, h := range list {
		m := message.Hook{Path: h.Path, Args: h.Args, Env: h.Env}
		if h.Timeout != nil {
			m.Timeout = *h.Timeout
		}
		hooks = append(hooks, m)
	}
	return stage.RunHooks(hooks, st, string(status))
}
