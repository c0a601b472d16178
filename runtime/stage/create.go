package stage

import (
	"errors"
	"fmt"

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
	c, err := create(&l, fds)
	if err != nil {
		failure := &message.Failure{Code: 125}
		if !errors.As(err, &failure) {
			failure = &message.Failure{Code: 125, Text: err.Error()}
		}
		_ = front.SendJSON(message.StepFailed, failure)
		return failure.Code
	}
	if c.console >= 0 {
		err = front.Send(message.ConsoleReady, nil, c.console)
	}
	if err == nil {
		err = front.SendJSON(message.Started, message.Running{Pid: c.pid})
	}
	if err != nil {
		// Nobody would know of it.
		c.abandon()
		return 125
	}
	return 0
}

func create(l *message.Launch, fds []int) (*child, error) {
	c, err := launch(l, nil, [3]uintptr{0, 1, 2}, fds...)
	if err != nil {
		return nil, err
	}
	// Our end shall not end it.
	if _, err := c.conn.Expect(message.StartGranted, nil); err == nil {
		c.abandon()
		return nil, fmt.Errorf("init spoke out of turn")
	}
	return c, nil
}
