package stage

import (
	"errors"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// reap is the built-in init (--init): it starts the user's program as a child,
// passes signals on, collects orphans and ends as the child ends.
func (e *executable) reap() error {
	// The thread's ids, capabilities and filter are the child's; seccomp allows
	// fork and wait.
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	e.activate(nextPid())
	files := []uintptr{0, 1, 2}
	for i := range e.KeepFDs {
		files = append(files, uintptr(3+i))
	}
	child, err := syscall.ForkExec(e.path, e.Args, &syscall.ProcAttr{
		Env: e.Env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true, Foreground: e.Terminal, Ctty: 0},
	})
	if err != nil {
		return e.explain(err)
	}
	// The parent takes the closed socket for a successful start.
	_ = unix.Close(e.control)
	for sig := range signals {
		switch sig {
		case unix.SIGCHLD:
			collect(func(pid int, ws syscall.WaitStatus) {
				if pid == child {
					os.Exit(exitCode(ws))
				}
			})
		case unix.SIGURG, unix.SIGPIPE:
			// The Go runtime's own preemption, and nobody's.
		default:
			_ = syscall.Kill(child, sig.(syscall.Signal))
		}
	}
	return nil
}

// collect takes all children that have ended.
func collect(ended func(pid int, ws syscall.WaitStatus)) {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if pid <= 0 || err != nil {
			return
		}
		ended(pid, ws)
	}
}

// pause is a pod's infra: it has no program, keeps the namespaces and collects
// orphans until a signal ends it.
func (e *executable) pause() error {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, unix.SIGCHLD, unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGHUP)
	// The parent takes the closed socket for a successful start.
	_ = unix.Close(e.control)
	for sig := range signals {
		if sig != unix.SIGCHLD {
			os.Exit(0)
		}
		collect(func(int, syscall.WaitStatus) {})
	}
	return nil
}

// nextPid is what the next process of this pid namespace will get: nobody else
// makes one there as long as init has not started its program (proc(5),
// ns_last_pid).
func nextPid() int {
	data, err := os.ReadFile("/proc/sys/kernel/ns_last_pid")
	if err != nil {
		return os.Getpid() + 1
	}
	last, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	return last + 1
}

// exitCode is a wait status as a shell would tell it.
func exitCode(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}
