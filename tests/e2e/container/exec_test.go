package container_test

import (
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestExec_JoinsTheContainer(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "c", "-e", "A=container", "--hostname", "box", "-w", "/tmp")
	tests := []struct{ name, args, want string }{
		{"runs in its root, working directory and environment", "c sh -c 'hostname; pwd; echo $A'", "box\n/tmp\ncontainer"},
		{"sees its processes", "c sh -c 'tr \"\\0\" \" \" </proc/1/cmdline | cut -c1-2'", "sh"},
		{"adds variables", "-e A=x -e B=y c sh -c 'echo $A $B'", "x y"},
		{"changes the directory", "-w /etc c pwd", "/etc"},
		{"changes the user", "-u ana c id -u", "1000"},
		{"changes the user and group", "-u 7:8 c sh -c 'id -u; id -g'", "7\n8"},
		{"has the container's capabilities", "c sh -c 'grep Cap /proc/1/status >/caps; grep Cap /proc/self/status | cmp - /caps && echo same'", "same"},
		{"has all with --privileged", "--privileged c sh -c 'grep CapEff /proc/self/status | cut -f2 | sed s/^0*//'", "1ffffffffff"},
		{"passes on flags of the command", "c echo -e -u x", "-u x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s.In(t).Shell("skiff exec " + test.args).Exits(0).Prints(test.want)
		})
	}
	s.SkiffInput(strings.NewReader("some input"), "exec", "-i", "c", "cat").Exits(0).Prints("some input")
	s.SkiffInput(strings.NewReader("some input"), "exec", "c", "cat").Exits(0).Prints("")
	s.OK("exec", "-d", "c", "touch", "/detached")
	s.Eventually("the detached process has run", func() bool { return s.Skiff("exec", "c", "test", "-e", "/detached").Code == 0 })
}

func TestExec_FailsAsDockerDoes(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "c")
	s.Skiff("exec", "c", "sh", "-c", "exit 42").Exits(42)
	s.Skiff("exec", "c", "sh", "-c", "kill -9 $$").Exits(137)
	s.Skiff("exec", "c", "nosuch").Exits(127).Complains(`exec: "nosuch": executable file not found in $PATH`)
	s.Skiff("exec", "c", "/etc/passwd").Exits(126).Complains("permission denied")
	s.Skiff("exec", "-u", "nosuch", "c", "true").Exits(1).Complains("unable to find user nosuch")
	s.Skiff("exec", "nothing", "true").Exits(1).Complains("No such container: nothing")
	s.Skiff("exec", "c").Exits(1).Complains("requires at least 2 arguments")
	id := s.Inspect("c", "{{.Id}}")
	s.OK("stop", "c")
	s.Skiff("exec", "c", "true").Exits(1).Complains("container " + id + " is not running")
}

func TestExec_LeavesNothingWhenItsFrontIsKilled(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "c")
	s.Shell("timeout -s KILL 1 skiff exec c sleep 1000")
	s.OK("stop", "c")
}
