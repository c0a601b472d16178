// Package container_test tells, as a user's shell sessions would, the
// container verbs: run, create, start, stop, exec, logs and the others.
package container_test

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"skiff/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func itoa(n int) string { return strconv.Itoa(n) }

// sleeper starts a container that waits to be told to end, and returns when it
// listens: a shell that has not set its trap yet does not end as process 1.
func sleeper(s *harness.Session, image string, flags ...string) string {
	s.T.Helper()
	args := append([]string{"run", "-d", "--network", "none"}, flags...)
	id := s.OK(append(args, image, "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")...)
	pid := s.Inspect(id, "{{.State.Pid}}")
	s.Eventually("the trap is set", func() bool { return catches(pid, syscall.SIGTERM) })
	return id
}

// catches reports whether a process has a handler for a signal (proc(5),
// SigCgt).
func catches(pid string, sig syscall.Signal) bool {
	data, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(data), "SigCgt:")
	mask, err := strconv.ParseUint(strings.Fields(rest + " 0")[0], 16, 64)
	return err == nil && mask&(1<<(sig-1)) != 0
}
