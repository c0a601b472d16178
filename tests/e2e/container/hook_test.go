package container_test

import (
	"context"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"skiff/tests/harness"
)

// faithful is a process that says when it is asked to end, and does.
const faithful = `trap 'echo term; exit 0' TERM; echo run; while :; do sleep 0.05; done`

// say is a hook that writes where the container's process writes.
func say(word string) string { return "echo " + word + " >/proc/1/fd/1" }

// lines waits until a container's log has so many lines, and returns them.
func lines(s *harness.Session, name string, n int) string {
	var out string
	s.Eventually(name+" has written", func() bool {
		out = strings.Join(strings.Fields(s.OK("logs", name)), " ")
		return len(strings.Fields(out)) >= n
	})
	return out
}

func TestHook_PreStopGoesBeforeTheSignalOfWhoeverStops(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("pod", "create", "--name", "p")
	for _, verb := range [][]string{{"stop"}, {"restart"}, {"pod", "stop"}} {
		args := []string{"run", "-d", "--name", "it", "--pre-stop", say("pre")}
		name, left := "it", "exited 0"
		switch verb[0] {
		case "pod":
			name, args = "p", append(args, "--pod", "p")
		case "restart":
			left = "running 0"
		}
		s.OK(append(args, img, "sh", "-c", faithful)...)
		lines(s, "it", 1)
		s.OK(append(verb, name)...)
		if got := lines(s, "it", 3); !strings.HasPrefix(got, "run pre term") {
			t.Errorf("%q: got %q", verb, got)
		}
		harness.Equal(t, strings.Join(verb, " "), s.Inspect("it", "{{.State.Status}} {{.State.ExitCode}}"), left)
		s.OK("rm", "-f", "it")
	}
	for name, end := range map[string]string{"kill": "skiff kill -s TERM it", "rm": "skiff exec it kill 1", "no grace": "skiff stop -t 0 it"} {
		s.OK("run", "-d", "--name", "it", "--pre-stop", "touch /pre; "+say("pre"), img, "sh", "-c", faithful)
		lines(s, "it", 1)
		s.Shell(end).Exits(0)
		s.OK("wait", "it")
		if got := s.OK("logs", "it"); strings.Contains(got, "pre") {
			t.Errorf("%s: got %q", name, got)
		}
		s.OK("rm", "it")
	}
	if got := s.OK("events", "--since", "1h", "--until", "0s", "--filter", "event=hook_failed"); got != "" {
		t.Errorf("failures: %s", got)
	}
}

func TestHook_PreStopTakesOfTheGraceTime(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "slow", "--pre-stop", say("pre")+"; exec sleep 1000", img, "sh", "-c", faithful)
	lines(s, "slow", 1)
	s.OK("stop", "-t", "1", "slow")
	harness.Equal(t, "a hook without end", lines(s, "slow", 3), "run pre term")
	harness.Equal(t, "a hook without end", s.Inspect("slow", "{{.State.ExitCode}}"), "0")
	s.OK("run", "-d", "--name", "bad", "--pre-stop", `["/nosuch"]`, img, "sh", "-c", faithful)
	lines(s, "bad", 1)
	s.OK("stop", "bad")
	harness.Equal(t, "a hook that is not there", lines(s, "bad", 2), "run term")
	got := s.OK("events", "--since", "1h", "--until", "0s", "--filter", "event=hook_failed", "--format", "{{.Actor.Attributes.hook}} {{.Actor.Attributes.error}}")
	if !strings.HasPrefix(got, "preStop ") || !strings.Contains(got, "/nosuch") {
		t.Errorf("event: got %q", got)
	}
	// Ended by its hook, it has no signal to come.
	s.OK("run", "-d", "--name", "own", "--restart", "always", "--pre-stop", "kill 1", img, "sh", "-c", faithful)
	lines(s, "own", 1)
	s.OK("stop", "own")
	harness.Equal(t, "ended by its hook", s.Inspect("own", "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}"), "exited 0 0")
}

// The stop of a unit of systemd's is a signal to the unit's main process.
func TestHook_PreStopGoesBeforeTheEndOfAUnit(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	unit := s.Command(t.Context(), "sh", "-c", `SYSTEMD_EXEC_PID=$$ exec "$@"`, "x",
		s.Binary(), "run", "--name", "it", "--pre-stop", say("pre"), img, "sh", "-c", faithful)
	if err := unit.Start(); err != nil {
		t.Fatal(err)
	}
	s.Eventually("it runs", func() bool { return s.Skiff("logs", "it").Stdout == "run\n" })
	if err := unit.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := unit.Wait(); err != nil {
		t.Error(err)
	}
	harness.Equal(t, "a unit's stop", lines(s, "it", 3), "run pre term")
}

// Whoever stops may die meanwhile: the container runs on, and the next one stops it.
func TestHook_OutlivesWhoeverStops(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "it", "--pre-stop", say("pre")+"; while ! test -e /go; do sleep 0.05; done", img, "sh", "-c", faithful)
	lines(s, "it", 1)
	stop := s.Command(context.Background(), s.Binary(), "stop", "-t", "1000", "it")
	if err := stop.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Equal(t, "meanwhile", lines(s, "it", 2), "run pre")
	_ = stop.Process.Kill()
	_ = stop.Wait()
	harness.Equal(t, "afterwards", s.Inspect("it", "{{.State.Status}}"), "running")
	// The hook runs still and is waited for. Where it ends before the second stop asks,
	// that one begins it again.
	again := s.Command(context.Background(), s.Binary(), "stop", "-t", "1000", "it")
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	s.OK("exec", "it", "touch", "/go")
	if err := again.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := lines(s, "it", 3); got != "run pre term" && got != "run pre pre term" {
		t.Errorf("got %q", got)
	}
}

// Nobody waits for a hook whose monitor was killed, with which the container ends.
func TestHook_EndsWithItsMonitor(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "it", "--pre-stop", say("pre")+"; exec sleep 1000", img, "sh", "-c", faithful)
	lines(s, "it", 1)
	stop := s.Command(t.Context(), s.Binary(), "stop", "-t", "1000", "it")
	if err := stop.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Equal(t, "meanwhile", lines(s, "it", 2), "run pre")
	if n := s.KillRoles("skiff:monitor"); n != 1 {
		t.Fatalf("%d monitors were killed", n)
	}
	if err := stop.Wait(); err != nil {
		t.Error(err)
	}
	harness.Equal(t, "afterwards", s.Inspect("it", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137")
	s.OK("start", "it")
	s.Eventually("it runs again", func() bool { return strings.Count(s.OK("logs", "it"), "run") == 2 })
	s.OK("rm", "-f", "it")
}

func TestHook_PostStartBeginsWithTheContainer(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "keep", "--userns", "keep-id", "--post-start", "id -u >/tmp/post", "--tmpfs", "/tmp", img, "sleep", "1000")
	harness.Equal(t, "in a user namespace of its own", s.OK("exec", "keep", "cat", "/tmp/post"), strconv.Itoa(s.UID()))
	s.OK("run", "-d", "--name", "well", "--post-start", `{"exec":{"command":["touch","/post"]}}`, img, "sleep", "1000")
	s.OK("exec", "well", "test", "-e", "/post")
	harness.Equal(t, "inspect", s.Inspect("well", "{{json .HostConfig.Lifecycle}}"), `{"postStart":{"exec":{"command":["touch","/post"]}}}`)
	s.OK("restart", "-t", "0", "well")
	s.Eventually("it runs again at a restart", func() bool { return s.Skiff("exec", "well", "test", "-e", "/post").Code == 0 })
	s.OK("rm", "-f", "well")

	r := s.Skiff("run", "-d", "--name", "bad", "--stop-timeout", "100", "--tmpfs", "/t", "--post-start", "until test -e /t/up; do sleep 0.05; done; echo why; exit 3",
		img, "sh", "-c", "trap 'echo term; exit 0' TERM; echo run; touch /t/up; while :; do sleep 0.05; done").Exits(0)
	r.Complains("WARNING: container bad: postStart hook: exit code 3: why")
	s.OK("wait", "bad")
	harness.Equal(t, "a failed one", s.Inspect("bad", "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}"), "exited 0 postStart hook: exit code 3: why")
	harness.Equal(t, "a failed one", lines(s, "bad", 2), "run term")
	s.Skiff("start", "bad").Exits(0).Complains("postStart hook: exit code 3: why")
	s.OK("wait", "bad")
	s.OK("run", "-d", "--name", "again", "--restart", "always", "--stop-timeout", "0", "--post-start", "false", img, "sleep", "1000")
	s.Eventually("its restart policy has it", func() bool { return restarts(s, "again") >= 1 })
	s.OK("rm", "-f", "again")
	s.Skiff("run", "-d", "--name", "short", "--post-start", "sleep 1000", img, "true").Exits(0).Complains("WARNING: container short: postStart hook: the container ended before")
}

// Those of a pod are waited for together, and each failure is told.
func TestHook_PostStartOfAPod(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("pod", "create", "--name", "p", "--network", "none")
	for name, hook := range map[string]string{"well": "echo up >/tmp/up", "bad": "echo why; exit 3", "worse": "exit 4"} {
		s.OK("create", "--pod", "p", "--name", name, "--stop-timeout", "0", "--tmpfs", "/tmp", "--post-start", hook, img, "sleep", "1000")
	}
	for _, verb := range []string{"start", "restart"} {
		r := s.Skiff("pod", verb, "p").Exits(0)
		r.Complains("WARNING: container bad: postStart hook: exit code 3: why\n").Complains("WARNING: container worse: postStart hook: exit code 4\n")
		if strings.Contains(r.Stderr, "well") {
			t.Errorf("%s: of one that went well: %s", verb, r.Stderr)
		}
		s.OK("exec", "well", "test", "-e", "/tmp/up")
		s.OK("wait", "bad", "worse")
	}
	s.OK("rm", "bad", "worse")
	harness.Equal(t, "said without failures", s.Skiff("pod", "restart", "-t", "0", "p").Exits(0).Stderr, "")
	s.OK("exec", "well", "test", "-e", "/tmp/up")
	s.OK("pod", "rm", "-f", "p")
}

func TestHook_SleepsAndFetches(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	begun := time.Now()
	s.OK("run", "-d", "--name", "lazy", "--post-start", `{"sleep":{"seconds":1}}`, "--pre-stop", `{"sleep":{"seconds":1}}`, img, "sh", "-c", faithful)
	if took := time.Since(begun); took < time.Second {
		t.Errorf("postStart took %v", took)
	}
	begun = time.Now()
	s.OK("stop", "lazy")
	if took := time.Since(begun); took < time.Second {
		t.Errorf("preStop took %v", took)
	}
	// A server that answers one request, and writes down what it was.
	server := `nc -l -p 8080 -e sh -c 'read a b c; read h; echo "$b $h" >/got; printf "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n"' & while :; do sleep 0.05; done`
	s.OK("run", "-d", "--name", "server", "--stop-timeout", "60", "--pre-stop", `{"httpGet":{"port":8080,"path":"/end?now=1","httpHeaders":[{"name":"Host","value":"me"}]}}`,
		img, "sh", "-c", "trap 'echo term $(cat /got); exit 0' TERM; echo run; "+server)
	lines(s, "server", 1)
	s.Eventually("it listens", func() bool { return s.Skiff("exec", "server", "sh", "-c", "netstat -ltn | grep :8080").Code == 0 })
	s.OK("stop", "server")
	harness.Equal(t, "the request", lines(s, "server", 5), "run term /end?now=1 Host: me")
	r := s.Skiff("run", "-d", "--name", "deaf", "--stop-timeout", "0", "--post-start", `{"httpGet":{"port":81}}`, img, "sleep", "1000").Exits(0)
	r.Complains("WARNING: container deaf: postStart hook: exit code 1: GET http://localhost:81/: connect to 127.0.0.1:81: connection refused")
}

func TestHook_BadInput(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	for text, want := range map[string]string{
		"":                        "it is empty",
		"{}":                      "it must have one of exec, httpGet, tcpSocket and sleep",
		`{"exec":{"command":[]}}`: "exec.command is empty",
		`{"exec":{"command":["a"]},"sleep":{"seconds":1}}`: "it must have one of",
		`{"sleep":{"seconds":-1}}`:                         "sleep.seconds must be between",
		`{"httpGet":{"port":0}}`:                           "httpGet.port 0 is not between 1 and 65535",
		`{"httpGet":{"port":80,"host":"example com"}}`:     `httpGet.host "example com" is neither a name nor an address`,
		`{"httpGet":{"port":80,"scheme":"https"}}`:         `httpGet.scheme "https" is neither HTTP nor HTTPS`,
		`{"httpGet":{"port":80,"path":"/a b"}}`:            "has a blank",
		`{"tcpSocket":{"port":-1}}`:                        "tcpSocket.port -1 is not between",
		`[1]`:                                              "cannot unmarshal",
	} {
		s.Skiff("run", "--pre-stop", text, img, "true").Exits(125).Complains("invalid hook for --pre-stop: ").Complains(want)
	}
	harness.Equal(t, "left", s.OK("ps", "-aq"), "")
}

func TestHook_OfKubernetes(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.Mkdir("out")
	pod := func(last string) string {
		return strings.NewReplacer("IMG", img, "OUT", s.Home()+"/out").Replace(`apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  terminationGracePeriodSeconds: 60
  volumes: [{name: out, hostPath: {path: OUT}}]
  containers:
  - name: c
    image: IMG
    command: [sh, -c, "trap 'echo term >>/out/c; exit 0' TERM; while :; do sleep 0.05; done"]
    volumeMounts: [{name: out, mountPath: /out}]
    lifecycle:
      postStart: {exec: {command: [sh, -c, 'echo post >>/out/c']}}
      preStop: {exec: {command: [sh, -c, 'echo pre >>/out/c']}}
` + last)
	}
	words := func(name string) string { return strings.Join(strings.Fields(s.ReadFile("out/"+name)), " ") }
	trapped := func() bool { return catches(s.Inspect("p-c", "{{.State.Pid}}"), syscall.SIGTERM) }
	s.WriteFile("p.yaml", pod(""))
	s.OK("kube", "play", "p.yaml")
	harness.Equal(t, "once played", words("c"), "post")
	s.Eventually("the trap is set", trapped)
	s.OK("kube", "down", "p.yaml")
	harness.Equal(t, "once down", words("c"), "post pre term")
	// The next container waits for the hook of the one before.
	s.WriteFile("p.yaml", pod(`  - name: d
    image: IMG
    command: [sh, -c, 'cp /out/c /out/d; trap exit TERM; while :; do sleep 0.05; done']
    volumeMounts: [{name: out, mountPath: /out}]
  - name: e
    image: IMG
    command: [sleep, '1000']
    lifecycle: {postStart: {exec: {command: [sh, -c, 'echo no; exit 4']}}, preStop: {sleep: {seconds: 1}}}
`))
	r := s.Skiff("kube", "play", "p.yaml").Exits(0)
	r.Complains("WARNING: container p-e: postStart hook: exit code 4: no")
	s.Eventually("the trap is set", trapped)
	s.OK("kill", "p-e")
	s.Eventually("d has copied", func() bool { return s.Skiff("exec", "p-d", "test", "-s", "/out/d").Code == 0 })
	harness.Equal(t, "seen by the next", words("d"), "post pre term post")
	// What replaces it asks it to stop, too.
	s.OK("kube", "play", "--start=false", "--replace", "p.yaml")
	harness.Equal(t, "once replaced", words("c"), "post pre term post pre term")
	s.OK("kube", "down", "p.yaml")
}
