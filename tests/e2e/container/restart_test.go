package container_test

import (
	"strconv"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestRestart_OnFailureAsOftenAsItSays(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "it", "--restart", "on-failure:2", img, "sh", "-c", "echo run; exit 3")
	s.Eventually("it has given up", func() bool { return s.Inspect("it", "{{.State.Status}} {{.RestartCount}}") == "exited 2" })
	s.Skiff("logs", "it").Exits(0).Prints("run\nrun\nrun")
	if got := s.Inspect("it", "{{.State.ExitCode}}"); got != "3" {
		t.Errorf("exit code: got %s", got)
	}
	s.OK("run", "-d", "--name", "well", "--restart", "on-failure", img, "true")
	s.Eventually("what ends well stays down", func() bool { return s.Inspect("well", "{{.State.Status}} {{.RestartCount}}") == "exited 0" })
	s.Skiff("run", "--rm", "--restart", "always", img, "true").Exits(125).Complains("conflicting options: cannot specify both --restart and --rm")
	s.Skiff("run", "--restart", "sometimes", img, "true").Exits(125).Complains("invalid restart policy: unknown policy 'sometimes'")
}

func TestRestart_UntilSomebodyStopsIt(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	// It comes and goes; a command may meet it up or waiting.
	for _, how := range [][]string{{"stop"}, {"kill"}, {"rm", "-f"}} {
		s.OK("run", "-d", "--name", "it", "--restart", "always", img, "sleep", "0.05")
		s.Eventually("it was started again", func() bool { return restarts(s, "it") >= 2 })
		if how[0] == "kill" {
			// Only what runs can be killed.
			s.OK("restart", "it")
			s.Eventually("it runs", func() bool { return s.Skiff("kill", "it").Code == 0 })
			s.Eventually("it stays down", func() bool { return s.Inspect("it", "{{.State.Status}}") == "exited" })
		} else {
			s.OK(append(how, "it")...)
		}
		if how[0] == "rm" {
			s.Skiff("inspect", "it").Exits(1)
			break
		}
		if got := s.Inspect("it", "{{.State.Status}} {{.State.Restarting}}"); got != "exited false" {
			t.Errorf("after %s: got %s", how[0], got)
		}
		s.OK("rm", "it")
	}
}

func TestRestart_WhileItWaits(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "it", "--restart", "unless-stopped", img, "false")
	s.Eventually("it waits for long", func() bool { return restarts(s, "it") >= 4 })
	s.Eventually("it is seen waiting", func() bool { return s.Inspect("it", "{{.State.Status}} {{.State.Running}}") == "restarting true" })
	s.Eventually("ps says so", func() bool {
		return strings.HasPrefix(s.OK("ps", "--format", "{{.Status}}"), "Restarting (1) ")
	})
	s.Eventually("rm wants force", func() bool {
		r := s.Skiff("rm", "it")
		return r.Code == 1 && strings.Contains(r.Stderr, "container is restarting: stop the container before removing or force remove")
	})
	s.OK("restart", "it")
	if n := restarts(s, "it"); n > 3 {
		t.Errorf("the count did not begin anew: %d", n)
	}
	s.OK("update", "--restart", "no", "it")
	s.Eventually("without a policy it stays down", func() bool { return s.Inspect("it", "{{.State.Status}}") == "exited" })
	s.OK("rm", "it")
	// Who is attached sees the first end.
	s.Skiff("run", "--name", "fg", "--restart", "on-failure:1", img, "sh", "-c", "echo once; exit 4").Exits(4).Prints("once")
	s.Eventually("it ends", func() bool { return s.Inspect("fg", "{{.State.Status}}") == "exited" })
}

func restarts(s *harness.Session, name string) int {
	n, _ := strconv.Atoi(s.Inspect(name, "{{.RestartCount}}"))
	return n
}
