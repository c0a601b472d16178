package network_test

import (
	"fmt"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// A listening socket of the service manager's is the container's: whether
// somebody is attached or not, whatever its network is, with an init before the
// program or not, and again after a restart.
func TestSockets_OfTheServiceManager(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	activate := func(port int, args ...string) *harness.Result {
		t.Helper()
		return s.Do(nil, append([]string{harness.Payload(t), "activate", fmt.Sprintf("127.0.0.1:%d", port), "web", s.Binary()}, args...)...)
	}
	heard := func(port int) {
		t.Helper()
		if got := say(t, "tcp", fmt.Sprintf("127.0.0.1:%d", port), "hello"); !strings.HasSuffix(got, " said hello") {
			t.Errorf("got %q", got)
		}
	}
	for name, flags := range map[string][]string{
		"plain": nil, "reaped": {"--init"}, "cut off": {"--network", "none"},
		"guarded": {"--user", "1000", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.In(t)
			port := freePort(t)
			activate(port, append(append([]string{"run", "-d", "--name", "web"}, flags...), img, "serve", "fd:3")...).Exits(0)
			heard(port)
			s.OK("rm", "-f", "web")
			if _, err := trySay("tcp", fmt.Sprintf("127.0.0.1:%d", port), "x"); err == nil {
				t.Error("somebody still listens: the socket was not the container's alone")
			}
		})
	}
	// In the foreground: what the program finds, and nothing besides.
	activate(freePort(t), "run", "--rm", img, "env").Exits(0).Says("LISTEN_FDS=1\n").Says("LISTEN_PID=1\n").Says("LISTEN_FDNAMES=web\n")
	activate(freePort(t), "run", "--rm", "--init", img, "env").Exits(0).PrintsMatch(`(?s).*LISTEN_PID=\d+.*`)
	port := freePort(t)
	activate(port, "run", "-d", "--name", "again", "--restart", "always", img, "serve", "fd:3").Exits(0)
	heard(port)
	s.Shell("kill -9 $(skiff inspect -f '{{.State.Pid}}' again)").Exits(0)
	s.Eventually("it was started again", func() bool { return s.Inspect("again", "{{.RestartCount}} {{.State.Running}}") == "1 true" })
	heard(port)
	s.OK("rm", "-f", "again")
	s.OK("create", "--name", "late", img, "serve", "fd:3")
	activate(port, "start", "late").Exits(0)
	heard(port)

	// What is not for us is left alone.
	r := s.Shell("LISTEN_FDS=1 LISTEN_PID=1 skiff run --rm " + img + " env").Exits(0)
	if strings.Contains(r.Stdout, "LISTEN_") {
		t.Errorf("sockets that are another program's are announced:\n%s", r.Stdout)
	}
	s.Shell("sh -c 'LISTEN_FDS=7 LISTEN_PID=$$ exec skiff run --rm " + img + " id'").Exits(125).Complains("LISTEN_FDS is 7, but descriptor 3 was not given")
	s.Shell("sh -c 'LISTEN_FDS=x LISTEN_PID=$$ exec skiff run --rm " + img + " id'").Exits(125).Complains(`invalid LISTEN_FDS "x"`)
}
