package lifecycle

import (
	"context"
	"errors"
	"syscall"
	"time"

	"skiff/storage"
	"skiff/storage/container"
)

var errNotYet = errors.New("not written yet")

// Create publishes the container that cfg describes and returns it. cfg.ID,
// Created and Version are filled when empty; cfg.Layers and Mounts must be
// resolved. It returns a *container.NameTakenError or InvalidNameError as
// docker words them.
func Create(ctx context.Context, st *storage.Store, cfg *container.Config) (*container.Container, error) {
	return container.Publish(ctx, st, cfg)
}

// Start starts a created or stopped container under a monitor of its own and
// returns once its process was executed. Already running: nil, nil for no
// attachment, else a session on the running process. A failure before that is
// a *StartError and is also recorded in the container's state.
func Start(ctx context.Context, c *container.Container, o StartOptions) (Session, error) {
	return nil, errNotYet
}

// Attach joins the streams of a running container.
func Attach(ctx context.Context, c *container.Container, a Attachment) (Session, error) {
	return nil, errNotYet
}

// Exec starts another process in a running container.
func Exec(ctx context.Context, c *container.Container, o ExecOptions) (Session, error) {
	return nil, errNotYet
}

// Kill sends a signal to the container's process, or returns ErrNotRunning.
func Kill(ctx context.Context, c *container.Container, sig syscall.Signal) error { return errNotYet }

// Stop sends the container's stop signal (sig overrides unless 0), waits up to
// timeout (nil: the container's or 10 s; negative: for ever), then kills. A
// container that is not running is a success.
func Stop(ctx context.Context, c *container.Container, sig syscall.Signal, timeout *time.Duration) error {
	return errNotYet
}

// Wait returns the exit code once the container is not running.
func Wait(ctx context.Context, c *container.Container) (int, error) { return 0, errNotYet }

// RemoveOptions are the options of Remove.
type RemoveOptions struct {
	Force   bool // kill it first if it runs
	Volumes bool // remove its anonymous volumes too
}

// Remove deletes a container. Running and not forced: ErrRunning.
func Remove(ctx context.Context, c *container.Container, o RemoveOptions) error { return errNotYet }

// ErrRunning says that the container must be stopped first.
var ErrRunning = errors.New("container is running")
