package container_test

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

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

	// What it says comes from the front, which need not pass on all of it.
	s.Skiff("run", "--rm", "--user", "1000", "--sdnotify", "container", "--network", "none", img, "notify", "MAINPID=1", "READY=1", "FDSTORE=1").Exits(0)
	said = next() + "|" + next()
	if !regexp.MustCompile(`(^|\|)READY=1($|\|)`).MatchString(said) {
		t.Errorf("said %q", said)
	}

	s.Setenv("NOTIFY_SOCKET", "@abstract")
	s.Skiff("run", "-d", "--rm", "--sdnotify", "container", "--network", "none", img, "args").Exits(125).
		Complains("--sdnotify=container: the socket @abstract has no file that a container could be given")
	// Without a manager it is an ordinary container.
	s.Unsetenv("NOTIFY_SOCKET")
	s.Skiff("run", "--rm", "--sdnotify", "container", "--network", "none", img, "args", "a").Exits(0).Prints("a")
}

// A manager with a watchdog hears from the front until the container is unhealthy.
func TestNotify_TheWatchdogIsTheHealthCheck(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	next := s.Notifications()
	s.Setenv("WATCHDOG_USEC", "200000")
	front := s.Command(t.Context(), s.Binary(), "run", "--rm", "--name", "web", "--network", "none", "--stop-signal", "KILL",
		"--health-cmd", "test ! -e /sick", "--health-interval", "100ms", "--health-retries", "1", img, "sleep", "1000")
	if err := front.Start(); err != nil {
		t.Fatal(err)
	}
	count := func(until string) (n int) {
		for {
			switch said := next(); {
			case said == until:
				return n
			case said == "WATCHDOG=1":
				n++
			}
		}
	}
	count("WATCHDOG=1")
	count("WATCHDOG=1")
	s.OK("exec", "web", "touch", "/sick")
	s.Eventually("it is unhealthy", func() bool { return s.Inspect("web", "{{.State.Health.Status}}") == "unhealthy" })
	mark := func(text string) {
		t.Helper()
		conn, err := net.Dial("unixgram", filepath.Join(s.Home(), "notify"))
		if err == nil {
			_, err = conn.Write([]byte(text))
			conn.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	mark("sick")
	count("sick")
	time.Sleep(time.Second) // ten times what it would have said
	mark("later")
	// One may have been on its way.
	if n := count("later"); n > 1 {
		t.Errorf("heard %d times of a container that is unhealthy", n)
	}
	s.OK("exec", "web", "rm", "/sick")
	count("WATCHDOG=1")
	s.OK("stop", "web")
	_ = front.Wait() // by the signal
	mark("gone")
	count("gone")
	// Not for a process that is not meant.
	s.Setenv("WATCHDOG_PID", "1")
	s.Skiff("run", "--rm", "--network", "none", img, "true").Exits(0)
	mark("end")
	if n := count("end"); n > 0 {
		t.Errorf("heard %d times of a process that nobody watches", n)
	}
}
