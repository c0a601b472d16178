package stage

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
)

// stepMain runs a container that nobody can name: a step of a build. It has no
// directory, no log and no socket; its streams are the caller's, it ends with
// the caller, and the exit code is the answer.
func stepMain(front message.Conn) int {
	var l message.Launch
	if _, err := front.Expect(message.LaunchConfig, &l); err != nil {
		return 125
	}
	fds, err := front.RecvLaunch(&l)
	if err != nil {
		return 125
	}
	code, err := step(&l, fds)
	if err != nil {
		failure := &message.Failure{Code: 125}
		if !errors.As(err, &failure) {
			failure = &message.Failure{Code: 125, Text: err.Error()}
		}
		_ = front.SendJSON(message.StepFailed, failure)
		return failure.Code
	}
	_ = front.SendJSON(message.Exited, message.Exit{Code: code})
	return 0
}

func step(l *message.Launch, fds []int) (int, error) {
	// Orphans of the network helper come to us instead of to pid 1.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("become subreaper: %w", err)
	}
	c, err := launch(l, nil, [3]uintptr{0, 1, 2}, fds...)
	if err != nil {
		return 0, err
	}
	if err := c.start(); err != nil {
		c.abandon()
		return 0, err
	}
	code := wait(c.pid)
	c.release()
	return code, nil
}
