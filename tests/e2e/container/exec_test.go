package container_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestExec_JoinsTheContainer(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "it", "-e", "A=container", "--hostname", "box", "-w", "/tmp")
	tests := []struct{ name, args, want string }{
		{"runs in its root, working directory and environment", "it sh -c 'hostname; pwd; echo $A'", "box\n/tmp\ncontainer"},
		{"sees its processes", "it sh -c 'tr \"\\0\" \" \" </proc/1/cmdline | cut -c1-2'", "sh"},
		{"adds variables", "-e A=x -e B=y it sh -c 'echo $A $B'", "x y"},
		{"changes the directory", "-w /etc it pwd", "/etc"},
		{"changes the user", "-u ana it id -u", "1000"},
		{"changes the user and group", "-u 7:8 it sh -c 'id -u; id -g'", "7\n8"},
		{"has the container's capabilities", "it sh -c 'grep Cap /proc/1/status >/caps; grep Cap /proc/self/status | cmp - /caps && echo same'", "same"},
		{"has all with --privileged", "--privileged it sh -c 'grep CapEff /proc/self/status | cut -f2 | sed s/^0*//'", "1ffffffffff"},
		{"passes on flags of the command", "it echo -e -u x", "-u x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s.In(t).Shell("skiff exec " + test.args).Exits(0).Prints(test.want)
		})
	}
	s.SkiffInput(strings.NewReader("some input"), "exec", "-i", "it", "cat").Exits(0).Prints("some input")
	s.SkiffInput(strings.NewReader("some input"), "exec", "it", "cat").Exits(0).Prints("")
	s.OK("exec", "-d", "it", "touch", "/detached")
	s.Eventually("the detached process has run", func() bool { return s.Skiff("exec", "it", "test", "-e", "/detached").Code == 0 })
}

func TestExec_FailsAsDockerDoes(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "it")
	s.Skiff("exec", "it", "sh", "-c", "exit 42").Exits(42)
	s.Skiff("exec", "it", "sh", "-c", "kill -9 $$").Exits(137)
	s.Skiff("exec", "it", "nosuch").Exits(127).Complains(`exec: "nosuch": executable file not found in $PATH`)
	s.Skiff("exec", "it", "/etc/passwd").Exits(126).Complains("permission denied")
	s.Skiff("exec", "-u", "nosuch", "it", "true").Exits(126).Complains("unable to find user nosuch")
	s.Skiff("exec", "nothing", "true").Exits(1).Complains("No such container: nothing")
	s.Skiff("exec", "it").Exits(1).Complains("requires at least 2 arguments")
	id := s.Inspect("it", "{{.Id}}")
	s.OK("stop", "it")
	s.Skiff("exec", "it", "true").Exits(1).Complains("container " + id + " is not running")
}

func TestExec_LeavesNothingWhenItsFrontIsKilled(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "it")
	s.Shell("timeout -s KILL 1 skiff exec c sleep 1000")
	s.OK("stop", "it")
}

func TestExec_ProcessesAreTheMonitorsChildren(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "it")
	monitor := s.Inspect("it", "{{.State.Pid}}")
	monitor = statusField(t, monitor, "PPid")
	s.OK("exec", "-d", "it", "sleep", "4242")
	s.Shell("timeout -s KILL 1 skiff exec it sleep 4243")
	for _, marker := range []string{"4242", "4243"} {
		pid := ""
		s.Eventually("sleep "+marker+" runs", func() bool {
			pid = processOf("sleep\x00" + marker)
			return pid != ""
		})
		if parent := statusField(t, pid, "PPid"); parent != monitor {
			t.Errorf("parent of sleep %s: got %s, want the monitor, %s", marker, parent, monitor)
		}
	}
	for range 5 {
		s.OK("exec", "-d", "it", "true")
	}
	s.Eventually("the monitor has collected what ended", func() bool {
		children, err := os.ReadFile("/proc/" + monitor + "/task/" + monitor + "/children")
		return err == nil && len(strings.Fields(string(children))) == 3
	})
	s.OK("rm", "-f", "it")
}

func TestExec_WorksWhileTheContainerReadsNothing(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "-i", "--name", "it", img, "sleep", "1000")
	// More than a pipe and the monitor's buffer hold.
	s.Shell("head -c 1000000 /dev/zero | timeout -s KILL 2 skiff attach it")
	s.Skiff("exec", "it", "echo", "here").Exits(0).Prints("here")
}

// The descriptors of one client's must not be taken for another's.
func TestExec_ManyAtOnce(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "it")
	for _, name := range []string{"it", "nested"} {
		if name == "nested" {
			sleeper(s, img, "--name", name, "--userns", "keep-id")
		}
		s.Shell("for r in 1 2 3 4 5 6 7 8; do for i in 1 2 3 4 5 6; do skiff exec " + name + " echo said & done; wait; done").
			Exits(0).Prints(strings.TrimSpace(strings.Repeat("said\n", 48)))
	}
}

// processOf returns the pid of a process with such a command line, or nothing.
func processOf(commandLine string) string {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		if data, err := os.ReadFile(path); err == nil && strings.HasPrefix(string(data), commandLine) {
			return filepath.Base(filepath.Dir(path))
		}
	}
	return ""
}

// statusField returns a line of /proc/PID/status (proc(5)).
func statusField(t *testing.T, pid, name string) string {
	t.Helper()
	data, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
