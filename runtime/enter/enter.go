// Package enter starts another process in a running container: the parent's
// half of the stage's role "exec". It knows nothing of where containers are
// kept.
package enter

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	goruntime "runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/runtime/embedded"
	"skiff/runtime/stage"
	"skiff/runtime/stage/message"
)

// Start runs p in the container whose first process is pid, with a pidfd of it,
// and returns once it was executed: its pid, a child of ours to wait for, and
// its terminal's master, nil when it has none. cache keeps the stage program.
// Why it could not be executed is a *message.Failure. On error nothing is left.
func Start(cache string, pidfd, pid int, p *message.Process, stdio [3]uintptr) (child int, console *os.File, err error) {
	ours, theirs, err := message.Pair()
	if err != nil {
		return 0, nil, err
	}
	defer ours.Close()
	child, err = spawnInside(cache, pidfd, pid, theirs, stdio)
	theirs.Close()
	if err != nil {
		return 0, nil, err
	}
	err = ours.SendConfig(message.ExecConfig, message.Exec{Process: *p}, pidfd)
	if err == nil {
		err = ours.Send(message.SeccompFilter, p.Seccomp)
	}
	if err == nil {
		console, err = awaitExec(ours)
	}
	if err != nil {
		// It reports and ends by itself, or is beyond that.
		_ = syscall.Kill(child, syscall.SIGKILL)
		_, _ = syscall.Wait4(child, nil, 0, nil)
		return 0, nil, err
	}
	return child, console, nil
}

// awaitExec returns when the process was executed: its socket closes then.
func awaitExec(conn message.Conn) (console *os.File, err error) {
	defer func() {
		if err != nil && console != nil {
			console.Close()
			console = nil
		}
	}()
	for {
		t, body, fds, err := conn.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return console, nil
		case err != nil:
			return console, err
		case t == message.ConsoleReady && len(fds) == 1:
			console = os.NewFile(uintptr(fds[0]), "terminal")
		case t == message.StepFailed:
			f := &message.Failure{}
			if err := json.Unmarshal(body, f); err != nil {
				return console, err
			}
			return console, f
		default:
			return console, fmt.Errorf("exec sent message %d", t)
		}
	}
}

// spawnInside clones the stage from a thread that has entered the container's
// namespaces. The thread is never used again: it ends with its goroutine.
func spawnInside(cache string, pidfd, pid int, conn message.Conn, stdio [3]uintptr) (int, error) {
	type result struct {
		pid int
		err error
	}
	done := make(chan result)
	go func() {
		goruntime.LockOSThread() // and never unlock
		pid, err := spawnOnThread(cache, pidfd, pid, conn, stdio)
		done <- result{pid, err}
	}()
	r := <-done
	return r.pid, r.err
}

func spawnOnThread(cache string, pidfd, pid int, conn message.Conn, stdio [3]uintptr) (int, error) {
	path, file, err := embedded.Stage(cache)
	if err != nil {
		return 0, err
	}
	files := []uintptr{stdio[0], stdio[1], stdio[2], uintptr(conn.FD)}
	args := []string{string(stage.RoleExec)}
	if foreign(pid, "user") {
		// Its own user namespace can only be entered by a process with one thread.
		if file == nil {
			if file, err = os.Open(path); err != nil {
				return 0, err
			}
		}
		path, args = "/proc/self/exe", []string{rootless.RoleJoin}
		files = append(files, uintptr(pidfd), file.Fd())
	}
	if file != nil {
		defer file.Close()
	}
	flags := 0
	for _, ns := range []struct {
		name string
		flag int
	}{
		{"pid", unix.CLONE_NEWPID},
		{"net", unix.CLONE_NEWNET},
		{"ipc", unix.CLONE_NEWIPC},
		{"uts", unix.CLONE_NEWUTS},
		{"cgroup", unix.CLONE_NEWCGROUP},
	} {
		if foreign(pid, ns.name) {
			flags |= ns.flag
		}
	}
	if err := unix.Setns(pidfd, flags); err != nil && flags != 0 {
		return 0, fmt.Errorf("join namespaces: %w", err)
	}
	child, err := syscall.ForkExec(path, args, &syscall.ProcAttr{Env: stage.Environ(), Files: files})
	if err != nil {
		return 0, fmt.Errorf("start exec: %w", err)
	}
	return child, nil
}

// foreign reports whether the process's namespace is not ours.
func foreign(pid int, name string) bool {
	var own, theirs unix.Stat_t
	if unix.Stat("/proc/self/ns/"+name, &own) != nil || unix.Stat(fmt.Sprintf("/proc/%d/ns/%s", pid, name), &theirs) != nil {
		return false
	}
	return own.Ino != theirs.Ino
}
