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
	"strconv"

	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/runtime/embedded"
	"skiff/runtime/stage"
	"skiff/runtime/stage/message"
)

// Target is a container to enter.
type Target struct {
	Cache      string // keeps the stage program
	Pidfd, Pid int    // of the container's first process
	// Cgroups are the container's control groups, which the process joins; a monitor
	// knows them itself.
	Cgroups []string
	// Monitor is a connection to the container's monitor, which is to be the
	// process's parent and tells its end there; nil makes it a child of ours.
	Monitor *message.Conn
	// Redial replaces Monitor by a new connection: one is for one process.
	Redial func() error
	// Given are descriptors for the process, 3 and on there.
	Given []int
	// ExecID, with Monitor, makes the monitor record the process's end.
	ExecID string
}

// Start runs p in the container and returns once it was executed: its pid and its
// terminal's master, nil when it has none. Why it could not be executed is a
// *message.Failure. On error nothing is left.
func (t *Target) Start(p *message.Process, stdio [3]uintptr) (child int, console *os.File, err error) {
	if t.Monitor != nil && len(t.Given) == 0 && !t.nested() {
		if d := stage.Direct(t.Pidfd, p); d != nil {
			if child, err = t.direct(p, d, stdio); err == nil {
				return child, nil, nil
			}
			// Whatever it was: a program of ours says it in docker's words.
			if err = t.Redial(); err != nil {
				return 0, nil, err
			}
		}
	}
	ours, theirs, err := message.Pair()
	if err != nil {
		return 0, nil, err
	}
	defer ours.Close()
	child, err = t.spawn(p, theirs, stdio)
	theirs.Close()
	if err != nil {
		return 0, nil, err
	}
	if err = stage.EnterCgroups(t.Cgroups, child); err == nil && t.Monitor == nil && p.OOMScore != nil {
		err = stage.SetOOMScore(strconv.Itoa(child), *p.OOMScore)
	}
	if err == nil {
		err = ours.SendConfig(message.ExecConfig, message.Exec{Process: *p, Wait: t.Monitor != nil}, append([]int{t.Pidfd}, t.Given...)...)
	}
	if err == nil {
		err = ours.Send(message.SeccompFilter, p.Seccomp)
	}
	if err == nil {
		console, err = awaitExec(ours)
	}
	if err != nil {
		// It reports and ends by itself, or is beyond that. The monitor ends and
		// collects what is its own when the connection goes.
		if t.Monitor == nil {
			_ = unix.Kill(child, unix.SIGKILL)
			_, _ = unix.Wait4(child, nil, 0, nil)
		} else {
			t.refuse()
		}
		return 0, nil, err
	}
	return child, console, nil
}

// refuse tells the monitor that what it started was not executed.
func (t *Target) refuse() {
	_ = t.Monitor.SendJSON(message.SignalWanted, message.Signal{Number: int(unix.SIGKILL)})
}

// direct lets the monitor execute the process itself.
func (t *Target) direct(p *message.Process, d *message.Direct, stdio [3]uintptr) (child int, err error) {
	ours, theirs, err := message.Pair()
	if err != nil {
		return 0, err
	}
	defer ours.Close()
	// The socket stands for the program, which an older monitor cannot execute then.
	child, err = t.ask(message.Spawn{Args: []string{string(stage.RoleExec)}, ExecID: t.ExecID, Direct: d, OOMScore: p.OOMScore},
		theirs.FD, int(stdio[0]), int(stdio[1]), int(stdio[2]), theirs.FD)
	theirs.Close()
	if err != nil {
		return 0, err
	}
	if _, err = awaitExec(ours); err != nil {
		t.refuse() // before our end closes, for which it waits
	}
	return child, err
}

// nested reports whether the container has a user namespace of its own.
func (t *Target) nested() bool { return (&stage.Inside{Pid: t.Pid}).Foreign("user") }

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

// spawn starts the stage, which then waits on conn for what to do.
func (t *Target) spawn(p *message.Process, conn message.Conn, stdio [3]uintptr) (int, error) {
	path, file, err := embedded.Stage(t.Cache)
	if err != nil {
		return 0, err
	}
	in := &stage.Inside{
		Pidfd: t.Pidfd, Pid: t.Pid, Args: []string{string(stage.RoleExec)},
		Files: []uintptr{stdio[0], stdio[1], stdio[2], uintptr(conn.FD)},
	}
	nested := t.nested()
	if file == nil && (nested || t.Monitor != nil) {
		if file, err = os.Open(path); err != nil {
			return 0, err
		}
	}
	if file != nil {
		defer file.Close()
		in.Program = int(file.Fd())
	}
	if nested {
		// Its own user namespace can only be entered by a process with one thread.
		in.Program, in.Args = 0, []string{rootless.RoleJoin}
		in.Files = append(in.Files, uintptr(t.Pidfd), file.Fd())
		if t.Monitor != nil {
			self, err := os.Open("/proc/self/exe")
			if err != nil {
				return 0, err
			}
			defer self.Close()
			in.Program = int(self.Fd())
		}
	}
	if t.Monitor != nil {
		fds := []int{in.Program}
		for _, fd := range in.Files {
			fds = append(fds, int(fd))
		}
		return t.ask(message.Spawn{Args: in.Args, ExecID: t.ExecID, OOMScore: p.OOMScore}, fds...)
	}
	pid, pidfd, err := in.Spawn()
	if err == nil {
		unix.Close(pidfd)
	}
	return pid, err
}

// ask lets the monitor start it.
func (t *Target) ask(want message.Spawn, fds ...int) (int, error) {
	if err := t.Monitor.SendJSON(message.ExecWanted, want, fds...); err != nil {
		return 0, err
	}
	var started message.Running
	_, err := t.Monitor.Expect(message.Started, &started)
	return started.Pid, err
}
