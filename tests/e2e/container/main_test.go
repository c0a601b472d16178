// Package container_test tells, as a user's shell sessions would, the
// container verbs: run, create, start, stop, exec, logs and the others.
package container_test

import (
	"strconv"
	"testing"

	"skiff/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func itoa(n int) string { return strconv.Itoa(n) }

// sleeper starts a container that waits to be told to end.
func sleeper(s *harness.Session, image string, flags ...string) string {
	s.T.Helper()
	args := append([]string{"run", "-d", "--network", "none"}, flags...)
	return s.OK(append(args, image, "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")...)
}
