package container

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"skiff/commands/env"
	"skiff/runtime/lifecycle"
	"skiff/storage/container"
	"skiff/storage/container/state"
)

// notifyReady tells a service manager that waits for it (sd_notify(3),
// Type=notify in systemd.service(5)) that the container is ready, as --sdnotify
// says: once it has started, or once it is healthy and ready; with container only what it
// has to watch. detached says that the
// monitor, not this process, is what the manager shall watch from now on; then
// it also waits until there is something to tell.
//
// That nobody listens is no failure of the container's: it runs.
func notifyReady(ctx context.Context, e *env.Env, c *container.Container, detached bool) {
	socket := e.Getenv("NOTIFY_SOCKET")
	mode := c.Config.Host.SdNotify
	if socket == "" || mode == "ignore" {
		return
	}
	tell := func() {
		ready := "READY=1\n"
		if mode == "container" {
			ready = "" // it says so itself
		}
		text := ready + "STATUS=container " + c.Config.ID[:12] + " " + readiness[mode]
		if holder, err := c.Holder(); detached && err == nil && holder != 0 {
			text = "MAINPID=" + strconv.Itoa(holder) + "\n" + text
		}
		if err := notify(socket, text); err != nil {
			fmt.Fprintf(e.Err, "WARNING: the service manager at NOTIFY_SOCKET=%s was not told that the container is ready: %v\n", socket, err)
		}
	}
	switch {
	case mode != "healthy":
		tell()
	case detached:
		if awaitReady(ctx, c) {
			tell()
		}
	default:
		go func() {
			if awaitReady(ctx, c) {
				tell()
			}
		}()
	}
}

// Watchdog tells a service manager that wants to hear regularly that all is well
// (WatchdogSec= in systemd.service(5)) so, for as long as none of the containers is
// unhealthy. It returns at once.
func Watchdog(ctx context.Context, e *env.Env, list ...*container.Container) {
	every, ok := watchdogTime(e)
	if !ok {
		return
	}
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			if !slices.ContainsFunc(list, unhealthy) {
				// Who does not listen will act on it.
				_ = notify(e.Getenv("NOTIFY_SOCKET"), "WATCHDOG=1")
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
}

// unhealthy also holds of a container of which nothing can be said, but not of one
// that has ended or is gone: what then is others decide.
func unhealthy(c *container.Container) bool {
	s, err := c.Status()
	if err != nil {
		return !errors.Is(err, container.ErrNotFound)
	}
	return s.Running() && s.Health != nil && s.Health.Status == state.Unhealthy
}

// watchdogTime is how often the manager of this very process is to hear from it:
// twice in the time that it waits (sd_watchdog_enabled(3)).
func watchdogTime(e *env.Env) (time.Duration, bool) {
	if pid := e.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) || e.Getenv("NOTIFY_SOCKET") == "" {
		return 0, false
	}
	limit, err := strconv.ParseInt(e.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || limit <= 1 || limit > math.MaxInt64/int64(time.Microsecond) {
		return 0, false
	}
	return time.Duration(limit) * time.Microsecond / 2, true
}

// TellManager tells a service manager that waits for it (sd_notify(3)); without
// one it does nothing.
func TellManager(e *env.Env, text string) {
	socket := e.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}
	if err := notify(socket, text); err != nil {
		fmt.Fprintf(e.Err, "WARNING: the service manager at NOTIFY_SOCKET=%s was not told: %v\n", socket, err)
	}
}

// stopForUnit returns what SIGTERM means to the main process of a unit of
// systemd's: that the container shall stop, with its own signal and grace time.
// It is nil elsewhere, where the signal is the process's, as docker has it.
func stopForUnit(ctx context.Context, e *env.Env, c *container.Container) func() {
	// systemd.exec(5): set for the process that systemd itself has started.
	if e.Getenv("SYSTEMD_EXEC_PID") != strconv.Itoa(os.Getpid()) {
		return nil
	}
	return func() {
		if err := lifecycle.Stop(context.WithoutCancel(ctx), c, 0, nil); err != nil {
			fmt.Fprintf(e.Err, "WARNING: stop of container %s: %v\n", c.Config.ID[:12], err)
		}
	}
}

// readiness is what the status line says of a container, by the mode.
var readiness = map[string]string{"": "has started", "conmon": "has started", "container": "has started", "healthy": "is healthy"}

// awaitReady waits until the container is ready, and healthy where that is looked
// at, or false: until it has ended.
func awaitReady(ctx context.Context, c *container.Container) bool {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := c.Status()
		if err != nil || !s.Running() && s.State != "restarting" {
			return false
		}
		if (s.Health != nil || s.Readiness != nil) && s.Ready() && (s.Health == nil || s.Health.Status == state.Healthy) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// containersSocket is the service manager's socket for a container that tells it
// itself that it is ready, empty for others.
func containersSocket(e *env.Env, c *container.Container) string {
	if c.Config.Host.SdNotify != "container" {
		return ""
	}
	return e.Getenv("NOTIFY_SOCKET")
}

// notify sends one datagram to the socket, whose name begins with @ when it is
// an abstract one.
func notify(socket, text string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, []byte(text), unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: socket})
}
