package container

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/runtime/lifecycle"
	"skiff/storage"
	"skiff/storage/container"
)

// whileFlag makes `pause` the keeper of somebody else's pause: it waits for the
// end of its input and resumes then. For our own commands, which are inside the
// user namespace: the value tells where the user's store is.
const whileFlag = "while-input"

// PauseCommand stops the processes of containers for a while.
func PauseCommand(e *env.Env) *cli.Command {
	own := []cli.Flag{&cli.StringFlag{Name: whileFlag, Usage: "Store of the container, which goes on when the input ends", Hidden: true}}
	command := eachCommand("pause", "Pause all processes within one or more containers", own, func(c *cli.Context, refs []string) error {
		if dir := c.String(whileFlag); dir != "" {
			return pauseWhileInput(c.Context, e, dir, refs[0])
		}
		return each(c.Context, e, refs, func(_ string, ctr *container.Container) error {
			err := lifecycle.Pause(c.Context, ctr)
			if errors.Is(err, lifecycle.ErrPaused) {
				return failure.Engine(err, "container %s is already paused", ctr.Config.ID)
			}
			return err
		})
	})
	command.ArgsUsage = "CONTAINER [CONTAINER...]"
	return command
}

// UnpauseCommand lets paused containers go on.
func UnpauseCommand(e *env.Env) *cli.Command {
	command := eachCommand("unpause", "Unpause all processes within one or more containers", nil, func(c *cli.Context, refs []string) error {
		return each(c.Context, e, refs, func(_ string, ctr *container.Container) error {
			err := lifecycle.Unpause(c.Context, ctr)
			if errors.Is(err, lifecycle.ErrNotPaused) {
				return failure.Engine(err, "Container %s is not paused", ctr.Config.ID)
			}
			return err
		})
	})
	command.ArgsUsage = "CONTAINER [CONTAINER...]"
	return command
}

// pauseWhileInput pauses a container, says so, and resumes it when the input
// ends: also when whoever has the other end was killed. A container that is
// paused or has ended is left as it is.
func pauseWhileInput(ctx context.Context, e *env.Env, dir, id string) error {
	// From here on only the input says when it is over; who would read our output
	// may be dead by then.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE)
	ctx = context.WithoutCancel(ctx)
	st, err := storage.Open(dir, os.Getuid())
	if err != nil {
		return err
	}
	c, err := container.Load(st, id)
	if err != nil {
		return err
	}
	err = lifecycle.Pause(ctx, c)
	if errors.Is(err, lifecycle.ErrPaused) || errors.Is(err, lifecycle.ErrNotRunning) {
		return nil
	}
	if err != nil {
		return inWords(err, id, c)
	}
	fmt.Fprintln(e.Out, c.Config.ID) // nobody may be left to read it
	_, _ = io.Copy(io.Discard, e.In)
	err = lifecycle.Unpause(ctx, c)
	if errors.Is(err, lifecycle.ErrNotPaused) || errors.Is(err, container.ErrNotFound) {
		return nil
	}
	return err
}

// keepPaused pauses a container until resume, unless it is paused or has ended
// already. A process of its own keeps it so and resumes it also when this one is
// killed: there is no daemon that would.
func keepPaused(c *container.Container) (resume func() error, err error) {
	keeper := exec.Command("/proc/self/exe", "pause", "--"+whileFlag, c.Store.Dir, c.Config.ID)
	// What kills us, like ^C or a shell's end, does not mean the keeper.
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	keeper.Env = os.Environ()
	var said strings.Builder
	keeper.Stderr = &said
	in, err := keeper.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := keeper.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := keeper.Start(); err != nil {
		return nil, fmt.Errorf("pause container %s: %w", c.Config.ID, err)
	}
	// It says one line, or ends without.
	_, noPause := bufio.NewReader(out).ReadString('\n')
	end := func() error {
		in.Close()
		if err := keeper.Wait(); err != nil {
			return failure.Engine(err, "%s", strings.TrimPrefix(strings.TrimSpace(said.String()), "Error: "))
		}
		return nil
	}
	if noPause != nil {
		return func() error { return nil }, end()
	}
	return end, nil
}
