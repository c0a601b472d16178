package container_test

import (
	"fmt"
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

// A process that wants nothing special is executed by the monitor itself, another by
// a program of ours in between. With a descriptor to keep it is the latter.
func TestExec_IsTheSameEitherWay(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	const look = `'exec 2>&1; grep -E "^(Umask|Uid|Gid|Groups|Seccomp|NoNewPrivs|Cap|SigIgn|SigBlk|SigCgt|Threads)" /proc/self/status
		cat /proc/self/limits /proc/self/oom_score_adj /proc/self/timerslack_ns /proc/self/cgroup
		for n in user mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done
		env | grep -v SHLVL; pwd; umask; readlink /proc/self/fd/0; echo to stdout >/dev/stdout'`
	tests := []struct{ name, run, exec string }{
		{"nothing asked for", "", ""},
		{"limits and a score", "--ulimit nofile=100:200 --ulimit core=0 --oom-score-adj 300", ""},
		{"a user by name", "--group-add 77 --group-add audio", "-u ana"},
		{"a user by number", "", "-u 7:8 -e A=b -w /tmp"},
		{"the container's user", "-u 1234", ""},
		{"fewer capabilities", "--cap-drop all --cap-add chown", ""},
		{"more", "--cap-add sys_ptrace", "--privileged"},
		{"all", "--privileged", "-u 7"},
		{"no new privileges", "--security-opt no-new-privileges", "-u 7"},
		{"no filter", "--security-opt seccomp=unconfined", ""},
		{"namespaces of the host", "--pid host --network host --ipc host --uts host", ""},
		{"a home of its own", "-e HOME=/somewhere", ""},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := s.In(t)
			name := fmt.Sprint("c", i)
			s.Shell("ulimit -Sn 1000; skiff run -d --name " + name + " " + test.run + " " + img + " sleep 1000").Exits(0)
			want := s.Shell("skiff exec --preserve-fds 1 " + test.exec + " " + name + " sh -c " + look + " 3</dev/null").Exits(0).Out()
			got := s.Shell("skiff exec " + test.exec + " " + name + " sh -c " + look).Exits(0).Out()
			if got != want || !strings.Contains(got, "to stdout") {
				t.Errorf("by the monitor:\n%s\nby a program:\n%s", got, want)
			}
		})
	}
}

// The program in between is unpacked for whom it is needed, which tells the ways apart.
func TestExec_NeedsNoProgramInBetween(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "it")
	unpacked := func() int {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(s.Store(), "cache", "stage-????????????????????????????????"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	s.Shell("rm ~/.local/share/skiff/cache/stage-*").Exits(0)
	s.OK("exec", "-u", "ana", "-e", "A=b", "it", "true")
	harness.Equal(t, "unpacked for an ordinary exec", unpacked(), 0)
	s.Skiff("exec", "it", "nosuch").Exits(127)
	harness.Equal(t, "unpacked for one that fails", unpacked(), 1)
}

func TestExec_LooksItsProgramUp(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "it", "-e", "PATH=/dir:/plain:/bad:/good:/bin")
	s.Shell(`skiff exec it sh -c '
		mkdir -p /dir/x /plain /bad /good; echo no >/plain/x; printf "#!/nosuch\n" >/bad/y; printf "#!/bin/sh\necho good\n" >/good/x
		cp /good/x /good/y; cp /good/x /good/z; cp /good/x /x; chmod +x /bad/y /good/* /x'`).Exits(0)
	s.Skiff("exec", "it", "x").Exits(0).Prints("good")
	s.Skiff("exec", "-w", "/good", "it", "./x").Exits(0).Prints("good")
	s.Skiff("exec", "-w", "/good", "-e", "PATH=", "it", "x").Exits(0).Prints("good")
	// What is found and cannot be executed is the answer, as docker has it.
	s.Skiff("exec", "it", "y").Exits(127).Complains("exec /bad/y: no such file or directory")
	s.Skiff("exec", "it", "/plain/x").Exits(126).Complains(`exec: "/plain/x": permission denied`)
	s.Skiff("exec", "it", "/dir").Exits(126).Complains(`exec: "/dir": is a directory: permission denied`)
	s.Skiff("exec", "-u", "7", "--", "it", "z").Exits(0).Prints("good")
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
	s.Shell("timeout -s KILL 1 skiff exec it sleep 1000")
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
