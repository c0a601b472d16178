package container_test

import (
	"strings"
	"testing"
	"time"

	"skiff/tests/harness"
)

func TestHealth_FollowsTheChecks(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "it", "--health-cmd", "echo looked; test ! -e /ill", "--health-interval", "100ms", "--health-retries", "2",
		img, "sleep", "1000")
	status := func() string { return s.Inspect("it", "{{.State.Health.Status}}") }
	s.Eventually("it is healthy", func() bool { return status() == "healthy" })
	if got := s.OK("ps", "--format", "{{.Status}}"); !strings.HasSuffix(got, " (healthy)") {
		t.Errorf("ps: got %q", got)
	}
	s.Eventually("five checks are kept", func() bool { return s.Inspect("it", "{{len .State.Health.Log}}") == "5" })
	if got := s.Inspect("it", "{{(index .State.Health.Log 0).Output}}{{(index .State.Health.Log 0).ExitCode}}"); got != "looked\n0" {
		t.Errorf("log: got %q", got)
	}
	s.OK("exec", "it", "touch", "/ill")
	s.Eventually("it is unhealthy", func() bool { return status() == "unhealthy" })
	if got := s.OK("ps", "-q", "--filter", "health=unhealthy", "--format", "{{.Names}}"); got == "" {
		t.Error("the filter does not find it")
	}
	if got := s.Inspect("it", "{{.State.Health.FailingStreak}}"); got < "2" {
		t.Errorf("streak: got %s", got)
	}
	s.OK("exec", "it", "rm", "/ill")
	s.Eventually("it is healthy again", func() bool { return status() == "healthy" && s.Inspect("it", "{{.State.Health.FailingStreak}}") == "0" })
	events := s.OK("events", "--since", "1h", "--until", "0s", "--filter", "container=it", "--filter", "event=health_status", "--format", "{{.Action}}")
	if want := "health_status: healthy\nhealth_status: unhealthy\nhealth_status: healthy"; events != want {
		t.Errorf("events: got %q, want %q", events, want)
	}
	s.Skiff("healthcheck", "run", "it").Exits(0)
}

func TestHealth_StartsAndFails(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	for _, test := range []struct{ name, flags, want string }{
		{"starting counts no failures", "--health-cmd false --health-start-period 1h --health-start-interval 50ms --health-interval 50ms --health-retries 1", "starting 0 1"},
		{"too slow", "--health-cmd 'sleep 100' --health-timeout 200ms --health-interval 50ms --health-retries 1", "unhealthy 1 -1"},
		{"not there", "--health-cmd /nosuch --health-interval 50ms --health-retries 1", "unhealthy 1 127"},
	} {
		s.Shell("skiff run -d --name it " + test.flags + " " + img + " sleep 1000").Exits(0)
		s.Eventually(test.name, func() bool {
			return strings.HasPrefix(s.Inspect("it", "{{.State.Health.Status}} {{len .State.Health.Log}}"), strings.Fields(test.want)[0]) &&
				s.Inspect("it", "{{len .State.Health.Log}}") != "0"
		})
		if got := s.Inspect("it", "{{with index .State.Health.Log 0}}{{.ExitCode}}{{end}}"); got != strings.Fields(test.want)[2] {
			t.Errorf("%s: exit code %s, want %s", test.name, got, test.want)
		}
		s.OK("rm", "-f", "it")
	}
	s.OK("run", "-d", "--name", "none", "--no-healthcheck", img, "sleep", "1000")
	if got := s.Inspect("none", "{{json .State}}"); strings.Contains(got, "Health") {
		t.Errorf("without a check: got %s", got)
	}
}

func TestHealth_ActsOnAnUnhealthyContainer(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	bad := []string{"--stop-timeout", "0", "--health-cmd", "test -e /well", "--health-interval", "100ms", "--health-retries", "1", img, "sleep", "1000"}
	s.OK(append([]string{"run", "-d", "--name", "kill", "--health-on-failure", "kill"}, bad...)...)
	s.Eventually("it is killed", func() bool { return s.Inspect("kill", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137" })
	s.OK(append([]string{"run", "-d", "--name", "again", "--health-on-failure", "restart"}, bad...)...)
	s.Eventually("it is started again", func() bool { return restarts(s, "again") >= 1 })
	s.OK("rm", "-f", "again")
	s.OK(append([]string{"run", "-d", "--name", "keep", "--userns", "keep-id"}, bad...)...)
	s.Eventually("a check enters a user namespace of its own", func() bool { return s.Inspect("keep", "{{.State.Health.Status}}") == "unhealthy" })
	if got := s.Inspect("keep", "{{(index .State.Health.Log 0).ExitCode}}"); got != "1" {
		t.Errorf("keep-id: exit code %s", got)
	}
	s.OK("run", "-d", "--name", "short", "--timeout", "1", img, "sleep", "1000")
	s.Eventually("its time is over", func() bool { return s.Inspect("short", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137" })
	s.Skiff("run", "--rm", "--health-on-failure", "cry", img, "true").Exits(125).Complains("--health-on-failure")
}

// What is paused cannot answer: nobody asks, and nobody counts who was asked before.
func TestHealth_LeavesAPausedContainerAlone(t *testing.T) {
	s := harness.New(t)
	// The kernel takes a connection also for a server that is paused.
	s.OK("run", "-d", "--name", "it", "--network", "none", "--stop-timeout", "0", "--health-probe", "tcp://:8080", "--health-interval", "10ms", s.LoadWeb())
	last := func() string { return s.Inspect("it", "{{range .State.Health.Log}}{{json .Start}} {{end}}") }
	before := last()
	s.Eventually("it is asked", func() bool { return last() != before })
	s.OK("pause", "it")
	paused := last()
	// Long enough for many checks; nothing tells that none comes.
	time.Sleep(time.Second)
	harness.Equal(t, "when it was asked", last(), paused)
	harness.Equal(t, "status", s.Inspect("it", "{{.State.Status}}"), "paused")
	s.OK("unpause", "it")
	s.Eventually("it is asked again", func() bool { return last() != paused })
}

func TestHealth_ChecksTheStartupFirst(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	status := func() string { return s.Inspect("it", "{{.State.Health.Status}}") }
	s.OK("run", "-d", "--name", "it", "--health-startup-cmd", "echo startup; test -e /up", "--health-startup-interval", "50ms", "--health-startup-success", "2",
		"--health-cmd", "echo regular; test -e /up", "--health-interval", "50ms", "--health-retries", "1", img, "sleep", "1000")
	output := func() string { return s.Inspect("it", "{{range .State.Health.Log}}{{.Output}}{{end}}") }
	s.Eventually("checks of the startup fail", func() bool { return strings.Count(output(), "startup") == 5 })
	harness.Equal(t, "meanwhile", status(), "starting")
	s.OK("exec", "it", "touch", "/up")
	s.Eventually("it is healthy", func() bool { return status() == "healthy" })
	s.Eventually("only the other check is left", func() bool { return strings.Count(output(), "regular") == 5 })
	s.OK("exec", "it", "rm", "/up")
	s.Eventually("it is unhealthy by that", func() bool { return status() == "unhealthy" })
	harness.Equal(t, "inspect", s.Inspect("it", "{{json .Config.StartupHealthCheck}}"),
		`{"Interval":50000000,"Successes":2,"Test":["CMD-SHELL","echo startup; test -e /up"]}`)
	s.OK("rm", "-f", "it")

	s.OK("run", "-d", "--name", "it", "--health-startup-cmd", "true", "--health-startup-interval", "50ms", img, "sleep", "1000")
	s.Eventually("that it has come up is enough", func() bool { return status() == "healthy" })
	s.OK("rm", "-f", "it")

	never := []string{"--stop-timeout", "0", "--health-startup-cmd", "false", "--health-startup-interval", "50ms", "--health-startup-retries", "2", img, "sleep", "1000"}
	s.OK(append([]string{"run", "-d", "--name", "again"}, never...)...)
	s.Eventually("what does not come up is started again", func() bool { return restarts(s, "again") >= 1 })
	s.OK("stop", "again")
	harness.Equal(t, "once stopped", s.Inspect("again", "{{.State.Status}}"), "exited")
	s.OK(append([]string{"run", "-d", "--name", "kill", "--health-on-failure", "kill"}, never...)...)
	s.Eventually("or is killed", func() bool { return s.Inspect("kill", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137" })
	for flags, want := range map[string]string{
		"--health-startup-retries 1":                                    "--health-startup-* options need --health-startup-cmd",
		"--health-startup-cmd true --no-healthcheck":                    "--no-healthcheck conflicts with",
		"--health-startup-cmd true --health-startup-success -1":         "cannot be negative",
		"--health-startup-cmd true --health-startup-timeout 1us":        "--health-startup-timeout cannot be less than 1ms",
		"--health-startup-cmd true --health-startup-interval=-1s":       "--health-startup-interval cannot be less than 1ms",
		"--health-startup-cmd true --health-startup-interval=yesterday": "health-startup-interval",
	} {
		s.Skiff(append(append([]string{"run"}, strings.Fields(flags)...), img, "true")...).Exits(125).Complains(want)
	}
}

// Readiness is told, and nobody acts on it.
func TestHealth_TellsReadiness(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	ready := func() string { return s.Inspect("it", "{{.State.Readiness.Ready}}") }
	status := func() string {
		return s.OK("ps", "-a", "--format", "{{.Status}}|{{.Readiness}}", "--filter", "name=it")
	}
	s.OK("run", "-d", "--name", "it", "--stop-timeout", "0", "--restart", "always", "--network", "none",
		"--health-cmd", "test ! -e /ill", "--health-interval", "50ms", "--health-retries", "2", "--health-on-failure", "restart",
		"--health-ready-cmd", "echo asked >>/asked; test -e /ready", "--health-ready-interval", "50ms", "--health-ready-success", "3", "--health-ready-retries", "2",
		img, "sleep", "1000")
	s.Eventually("it is well", func() bool { return s.Inspect("it", "{{.State.Health.Status}}") == "healthy" })
	s.Eventually("it is asked", func() bool { return s.Inspect("it", "{{len .State.Readiness.Log}}") == "5" })
	if got := ready() + status(); !strings.HasPrefix(got, "falseUp ") || !strings.HasSuffix(got, " (healthy, not ready)|not ready") {
		t.Errorf("got %q", got)
	}
	s.OK("exec", "it", "sh", "-c", "echo -n >/asked; touch /ready")
	s.Eventually("it is ready", func() bool { return ready() == "true" })
	if got := s.OK("exec", "it", "cat", "/asked"); strings.Count(got, "asked") < 3 {
		t.Errorf("ready after less than three successes: %q", got)
	}
	if got := status(); !strings.HasSuffix(got, " (healthy)|ready") {
		t.Errorf("got %q", got)
	}
	s.OK("exec", "it", "rm", "/ready")
	s.Eventually("it is not ready", func() bool { return ready() == "false" })
	harness.Equal(t, "and runs as before", s.Inspect("it", "{{.State.Health.Status}} {{.RestartCount}}"), "healthy 0")
	s.OK("exec", "it", "touch", "/ready")
	s.Eventually("it is ready again", func() bool { return ready() == "true" })
	s.OK("exec", "it", "sh", "-c", "rm /ready; touch /ill")
	s.Eventually("the other check starts it anew", func() bool { return restarts(s, "it") >= 1 })
	harness.Equal(t, "as not ready", ready(), "false")
	s.OK("stop", "it")
	harness.Equal(t, "ended", s.Inspect("it", "{{.State.Status}} {{.State.Readiness.Ready}} {{json .State.Health.Readiness}}"), "exited false null")
	events := s.OK("events", "--since", "1h", "--until", "0s", "--filter", "container=it", "--filter", "event=readiness_status", "--format", "{{.Action}}")
	// Which check finds the illness first decides whether it is told as not ready again.
	harness.Equal(t, "events", strings.TrimSuffix(events, "\nreadiness_status: not ready"),
		"readiness_status: ready\nreadiness_status: not ready\nreadiness_status: ready")
}

// What the startup has to say comes first, and a readiness alone is no health.
func TestHealth_AsksForReadinessAfterTheStartup(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "it", "--network", "none", "--health-startup-cmd", "echo looked >>/looked; test -e /up", "--health-startup-interval", "20ms",
		"--health-ready-cmd", "test ! -e /looked || cat /up", "--health-ready-interval", "20ms", img, "sleep", "1000")
	s.Eventually("it is starting", func() bool { return s.Inspect("it", "{{len .State.Health.Log}}") == "5" })
	harness.Equal(t, "not asked", s.Inspect("it", "{{len .State.Readiness.Log}}"), "0")
	s.OK("exec", "it", "sh", "-c", "echo here >/up")
	s.Eventually("it is ready", func() bool { return s.Inspect("it", "{{.State.Readiness.Ready}}") == "true" })
	harness.Equal(t, "by its own check", s.Inspect("it", "{{(index .State.Readiness.Log 0).Output}}"), "here\n")
	s.OK("rm", "-f", "it")

	s.OK("run", "-d", "--name", "it", "--network", "none", "--no-healthcheck", "--health-ready-cmd", "true", "--health-ready-delay", "1h", img, "sleep", "1000")
	harness.Equal(t, "nobody asks yet", s.Inspect("it", "{{.State.Readiness.Ready}} {{len .State.Readiness.Log}}"), "false 0")
	if got := s.OK("ps", "--format", "{{.Status}}|{{.HealthStatus}}"); !strings.HasSuffix(got, " (not ready)|none") {
		t.Errorf("got %q", got)
	}
	if got := s.Inspect("it", "{{json .State}}"); strings.Contains(got, "Health") {
		t.Errorf("without a check: got %s", got)
	}
	// The waiting of --sdnotify=healthy is for what is looked at.
	next := s.Notifications()
	s.OK("run", "-d", "--name", "up", "--network", "none", "--sdnotify", "healthy", "--no-healthcheck", "--health-ready-cmd", "true", "--health-ready-interval", "20ms", "--health-ready-success", "2", img, "sleep", "1000")
	harness.Equal(t, "ready", s.Inspect("up", "{{.State.Readiness.Ready}}"), "true")
	if got := next(); !strings.Contains(got, "READY=1") {
		t.Errorf("said %q", got)
	}
	for flags, want := range map[string]string{
		"--health-ready-retries 1":                              "--health-ready-* options need --health-ready-cmd or --health-ready-probe",
		"--health-ready-cmd true --health-ready-success -1":     "cannot be negative",
		"--health-ready-cmd true --health-ready-delay 1us":      "--health-ready-delay cannot be less than 1ms",
		"--health-ready-cmd true --health-ready-probe tcp://:1": "conflicting options",
		"--health-ready-probe ftp://:1":                         "invalid probe for --health-ready-probe",
	} {
		s.Skiff(append(append([]string{"run"}, strings.Fields(flags)...), img, "true")...).Exits(125).Complains(want)
	}
}
