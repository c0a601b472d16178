package stage

import (
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A process that has ended has no namespaces to join: what would be started there must
// not be started here.
func TestSpawn_RefusesAProcessThatHasEnded(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, -1); err != nil {
		t.Fatal(err)
	}
	for _, netOnly := range []bool{true, false} {
		in := &Inside{Pidfd: pidfd, Pid: cmd.Process.Pid, Args: []string{"x", "-test.run=^$"}, NetOnly: netOnly}
		pid, fd, err := in.Spawn()
		if err == nil {
			unix.Close(fd)
			_, _ = unix.Wait4(pid, nil, 0, nil)
		}
		if err == nil || !strings.Contains(err.Error(), "join namespaces: stat /proc/") {
			t.Errorf("net only %t: got %v", netOnly, err)
		}
	}
}
