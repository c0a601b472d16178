package stage

import (
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
	"skiff/runtime/stage/rootfs"
)

// execMain is a process that enters a running container. The front has put it
// into all of the container's namespaces but the mount namespace: that one only
// a thread that shares its file system attributes with no other may enter
// (setns(2)), and from outside it could not have executed us.
func execMain(parent message.Conn) int {
	var cfg message.Exec
	// A hostile container sees this process from here on; it must not look into
	// it. execve makes it dumpable again (prctl(2)).
	err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	var fds []int
	if err == nil {
		fds, err = parent.Expect(message.ExecConfig, &cfg)
	}
	if err == nil {
		_, cfg.Process.Seccomp, _, err = parent.Recv()
	}
	if err == nil {
		fds, err = place(&parent, &cfg.Process, fds)
	}
	if err == nil {
		err = runExec(parent, &cfg, fds)
	}
	failure := &message.Failure{Code: 125}
	if !errors.As(err, &failure) {
		failure = &message.Failure{Code: 125, Text: err.Error()}
	}
	// docker exec knows no 125: what cannot be executed is 126 or, not found, 127.
	if failure.Code == 125 {
		failure.Code = 126
	}
	_ = parent.SendJSON(message.StepFailed, failure)
	if cfg.Wait {
		_, _, _, _ = parent.Recv()
	}
	return failure.Code
}

func runExec(parent message.Conn, cfg *message.Exec, fds []int) error {
	p := &cfg.Process
	if _, err := unix.Setsid(); err != nil {
		return fmt.Errorf("setsid: %w", err)
	}
	if len(fds) > 0 {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("unshare file system attributes: %w", err)
		}
		if err := unix.Setns(fds[0], unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("join mount namespace: %w", err)
		}
	}
	term := -1
	if p.Terminal {
		master, slave, err := rootfs.OpenTerminal()
		if err != nil {
			return err
		}
		setSize(master, p.Size)
		err = parent.Send(message.ConsoleReady, nil, master)
		unix.Close(master)
		if err != nil {
			return err
		}
		term = slave
	}
	ready, err := enter(p, term, true)
	if err != nil {
		return err
	}
	return ready.execute(false)
}

func parseFailure(body []byte) error {
	f := &message.Failure{}
	if err := json.Unmarshal(body, f); err != nil {
		return fmt.Errorf("receive failure: %w", err)
	}
	return f
}
