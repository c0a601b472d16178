package stage

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
)

// createMain is the OCI command line's create: it launches an init that waits
// at a FIFO for start, tells its pid and ends. The standard streams are the
// caller's, and so is the init once we are gone.
func createMain(front message.Conn) int {
	var l message.Launch
	if _, err := front.Expect(message.LaunchConfig, &l); err != nil {
		return 125
	}
	fds, err := front.RecvLaunch(&l)
	if err != nil {
		return 125
	}
	pid, err := create(&l, fds)
	if err != nil {
		failure := &message.Failure{Code: 125}
		if !errors.As(err, &failure) {
			failure = &message.Failure{Code: 125, Text: err.Error()}
		}
		_ = front.SendJSON(message.StepFailed, failure)
		return failure.Code
	}
	if err := front.SendJSON(message.Started, message.Running{Pid: pid}); err != nil {
		return 125
	}
	return 0
}

func create(l *message.Launch, fds []int) (int, error) {
	c, err := launch(l, nil, [3]uintptr{0, 1, 2}, fds...)
	if err != nil {
		return 0, err
	}
	// Our end shall not end it.
	if _, err := c.conn.Expect(message.StartGranted, nil); err == nil {
		c.abandon()
		return 0, fmt.Errorf("init spoke out of turn")
	}
	unix.Close(c.pidfd)
	return c.pid, nil
}
