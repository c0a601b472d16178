package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/storage/container"
	"skiff/storage/container/state"
	"skiff/storage/volume"
)

// ErrRunning says that the container must be stopped first.
var ErrRunning = errors.New("container is running")

// ErrRestarting says that the container must be stopped first: it is down, but
// would come again.
var ErrRestarting = errors.New("container is restarting: stop the container before removing or force remove")

// RemoveOptions are the options of Remove.
type RemoveOptions struct {
	Force   bool // kill it first if it runs
	Volumes bool // remove its anonymous volumes too
}

// Remove deletes a container. Running and not forced: ErrRunning.
func Remove(ctx context.Context, c *container.Container, o RemoveOptions) error {
	if err := rootless.Await(); err != nil {
		return err
	}
	op, err := c.Lock(ctx)
	if err != nil {
		return err
	}
	defer op.Release()
	if err := end(ctx, c, o.Force); err != nil {
		return err
	}
	defer sweep(c.Store)
	var volumes []string
	if o.Volumes || c.Config.Host.AutoRemove {
		volumes = c.UnusedVolumes()
	}
	if err := c.RemoveWith(volumes); err != nil {
		return err
	}
	if restarted(c.Config.Host.RestartPolicy) {
		if err := KeepBootUnit(c.Store, container.RestartPolicy{}); err != nil {
			return err
		}
	}
	for _, dir := range volumes {
		volume.Emit(c.Store, filepath.Base(dir), "destroy")
	}
	c.Emit("destroy")
	return nil
}

// end makes sure that nothing of the container runs any more.
//
// Requires the op lock, exclusive.
func end(ctx context.Context, c *container.Container, force bool) error {
	var seen state.State
	for first, wait := true, shortWait; ; first, wait = false, wait.next() {
		holder, err := c.Holder()
		if err != nil {
			return err
		}
		st, err := c.State()
		if err != nil {
			return err
		}
		if holder == 0 {
			return container.Reap(st)
		}
		if !force && st.Restarting {
			return fmt.Errorf("cannot remove container %q: %w", c.Config.Name, ErrRestarting)
		}
		if !force && st.Pid != 0 {
			return fmt.Errorf("cannot remove container %q: %w", c.Config.Name, ErrRunning)
		}
		// A monitor without a process is ending, or starting still: whoever wanted
		// that was killed, because we have the op lock.
		if first || st.Pid != seen.Pid || st.Restarting != seen.Restarting {
			if err := kill(c, st); err != nil {
				return err
			}
		}
		seen = st
		if err := wait.pass(ctx); err != nil {
			return err
		}
	}
}

// kill kills the container's process, if it has one, and has its monitor not start
// it again.
func kill(c *container.Container, st state.State) error {
	noteEnd(c)
	fd, err := container.OpenProcess(st)
	if err != nil || fd < 0 {
		return err
	}
	defer unix.Close(fd)
	emitKill(c, unix.SIGKILL)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill: %w", err)
	}
	return nil
}
