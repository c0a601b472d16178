package container_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"skiff/tests/harness"
)

func TestNotify_TellsTheServiceManagerWhenItIsReady(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	next := s.Notifications()
	id := s.OK("create", "--network", "none", img, "true")
	s.Skiff("start", "-a", id).Exits(0)
	want := "READY=1\nSTATUS=container " + id[:12] + " has started"
	harness.Equal(t, "said in the foreground", next(), want)
	s.OK("rm", id)

	// The variable is not the container's.
	s.Skiff("run", "--rm", "--network", "none", img, "sh", "-c", "echo ${NOTIFY_SOCKET-unset}").Exits(0).Prints("unset")
	next()

	// Nothing is said for those that ignore it: the next word is another's.
	s.OK("run", "--rm", "--sdnotify", "ignore", "--network", "none", img, "true")
	id = s.OK("run", "-d", "--name", "up", "--network", "none", img, "sleep", "1000")
	m := regexp.MustCompile(`(?s)^MAINPID=(\d+)\nREADY=1\nSTATUS=container ` + id[:12] + ` has started$`).FindStringSubmatch(next())
	if m == nil {
		t.Fatal("the monitor is not named")
	}
	pid, _ := strconv.Atoi(m[1])
	comm, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil || string(comm[:len("skiff:monitor")]) != "skiff:monitor" {
		t.Errorf("process %d is %q, %v", pid, comm, err)
	}
	s.OK("rm", "-f", "up")
}

func TestNotify_WaitsForHealth(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	next := s.Notifications()
	s.OK("run", "-d", "--name", "up", "--sdnotify", "healthy", "--health-cmd", "true", "--health-interval", "100ms",
		"--network", "none", img, "sleep", "1000")
	// run has waited.
	harness.Equal(t, "health", s.Inspect("up", "{{.State.Health.Status}}"), "healthy")
	if got := next(); !regexp.MustCompile(`(?s)READY=1.* is healthy$`).MatchString(got) {
		t.Errorf("said %q", got)
	}
	s.OK("rm", "-f", "up")
	// One that ends before is not waited for.
	s.OK("run", "-d", "--name", "gone", "--sdnotify", "healthy", "--health-cmd", "false", "--health-interval", "1h",
		"--network", "none", img, "true")
	s.OK("rm", "-f", "gone")
	s.Setenv("NOTIFY_SOCKET", "/no/such")
	s.Skiff("run", "--rm", "--network", "none", img, "true").Exits(0).Complains("WARNING: the service manager at NOTIFY_SOCKET=/no/such was not told")
}

func TestNotify_LetsTheContainerTell(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	next := s.Notifications()
	// In the foreground nothing else is said: the manager watches the front.
	s.Skiff("run", "--rm", "--sdnotify", "container", "--network", "none", img, "notify", "READY=1", "STATUS=mine").Exits(0)
	// Which of the two comes first is nobody's business.
	said := next() + "|" + next()
	if !regexp.MustCompile(`READY=1\nSTATUS=mine`).MatchString(said) || regexp.MustCompile(`READY=1\nSTATUS=container`).MatchString(said) {
		t.Errorf("said %q", said)
	}

	// In the background the manager is told what to watch, and nothing more.
	id := s.OK("create", "--name", "up", "--sdnotify=container", "--network", "none", img, "sleep", "1000")
	s.OK("start", "up")
	if got := next(); !regexp.MustCompile(`^MAINPID=\d+\nSTATUS=container ` + id[:12] + ` has started$`).MatchString(got) {
		t.Errorf("said %q", got)
	}
	s.OK("exec", "-e", "NOTIFY_SOCKET=/run/notify/notify.sock", "up", "/payload", "notify", "READY=1")
	harness.Equal(t, "said by the container", next(), "READY=1")
	s.OK("rm", "-f", "up")

	s.Setenv("NOTIFY_SOCKET", "@abstract")
	s.Skiff("run", "--rm", "--sdnotify", "container", "--network", "none", img, "args").Exits(125).
		Complains("--sdnotify=container: the socket @abstract has no file that a container could be given")
	// Without a manager it is an ordinary container.
	s.Unsetenv("NOTIFY_SOCKET")
	s.Skiff("run", "--rm", "--sdnotify", "container", "--network", "none", img, "args", "a").Exits(0).Prints("a")
}
