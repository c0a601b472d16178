// Package stage is the small program that stays with a container: its monitor,
// its init, and the processes that enter it later. It links the standard
// library and x/sys only, because it starts often and lives long. Each role is
// a file; Main tells them apart by argv[0], which also names the process in
// ps(1). The parent prepares (runtime/lifecycle), the stage applies.
//
// Start reading in monitor.go, then init.go.
package stage

import (
	"os"
	"runtime"
	"strings"

	"skiff/runtime/stage/message"
)

// Role is a name that Main answers to.
type Role string

// The roles; each is argv[0] of its process.
const (
	RoleMonitor Role = "skiff:monitor"
	RoleInit    Role = "skiff:init"
	RoleExec    Role = "skiff:exec"
	RoleCreate  Role = "skiff:create"
	RoleStep    Role = "skiff:step"
)

// controlFD is the descriptor that every role finds its parent's socket on.
const controlFD = 3

// Is reports whether argv[0] names a role.
func Is(argv0 string) bool { return strings.HasPrefix(argv0, "skiff:") && main(Role(argv0)) != nil }

func main(r Role) func(message.Conn) int {
	switch r {
	case RoleMonitor:
		return monitorMain
	case RoleInit:
		return initMain
	case RoleExec:
		return execMain
	case RoleCreate:
		return createMain
	case RoleStep:
		return stepMain
	}
	return nil
}

// Main plays the role and returns the exit code. The calling goroutine must be
// the one that runs main: it is locked to the first thread, because what init
// and exec do to themselves (ids, capabilities, seccomp) is done to a thread.
func Main(r Role) int {
	runtime.LockOSThread()
	return main(r)(message.Conn{FD: controlFD})
}

// Environ is the environment of a role: nothing of the user's (reliability
// A role lives for milliseconds or sleeps for days; one processor and no
// collection spare it the Go runtime's threads and their wake-ups. The monitor
// turns collection on when it has time (monitor.settle).
func Environ() []string {
	return append([]string{"GOGC=off", "GOMAXPROCS=1", "GODEBUG=madvdontneed=1", "GOTRACEBACK=none"}, raceEnviron...)
}

// selfPath executes this very program again, also when it has no name.
const selfPath = "/proc/self/exe"

// openNull opens /dev/null for a process that shall have no input or output.
func openNull() (*os.File, error) { return os.OpenFile(os.DevNull, os.O_RDWR, 0) }
