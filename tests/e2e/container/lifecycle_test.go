package container_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"skiff/tests/harness"
)

func TestCreateStart_RunsWhatWasCreated(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	id := s.Skiff("create", "--name", "job", "-e", "A=1", "--network", "none", img, "sh", "-c", "echo $A; exit 3").
		Succeeds().PrintsMatch("[0-9a-f]{64}").Out()
	harness.Equal(t, "the state", s.Inspect("job", "{{.State.Status}}"), "created")
	s.Skiff("start", "-a", "job").Exits(3).Prints("1")
	harness.Equal(t, "the state", s.Inspect("job", "{{.State.Status}} {{.State.ExitCode}}"), "exited 3")
	s.Skiff("start", id[:12]).Exits(0).Prints(id[:12])
	s.Skiff("wait", "job").Exits(0).Prints("3")
	s.Skiff("logs", "job").Exits(0).Prints("1\n1")
	s.Skiff("rm", "job").Exits(0).Prints("job")
}

func TestStart_PassesOnStandardInput(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("create", "-i", "--name", "job", "--network", "none", img, "cat")
	s.SkiffInput(strings.NewReader("hello\n"), "start", "-a", "-i", "job").Exits(0).Prints("hello")
}

func TestStart_NamesWhatFailed(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("create", "--name", "bad", "--network", "none", img, "nosuch")
	sleeper(s, img, "--name", "up")
	s.Skiff("start", "up", "nothing", "bad").Exits(1).Prints("up").
		Complains("No such container: nothing")
	s.Skiff("start", "bad").Exits(1).Complains("failed to start containers: bad")
	harness.Equal(t, "the exit code of what never ran", s.Inspect("bad", "{{.State.ExitCode}}"), "127")
}

func TestStop_AsksThenKills(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "polite")
	s.Skiff("stop", "polite").Exits(0).Prints("polite")
	harness.Equal(t, "the exit code", s.Inspect("polite", "{{.State.ExitCode}}"), "0")
	s.Skiff("stop", "polite").Exits(0).Prints("polite") // stopping the stopped succeeds

	s.OK("run", "-d", "--name", "deaf", "--network", "none", img, "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
	start := time.Now()
	s.Skiff("stop", "-t", "1", "deaf").Exits(0).Prints("deaf")
	if took := time.Since(start); took < 900*time.Millisecond || took > 5*time.Second {
		t.Errorf("stop -t 1 took %v", took)
	}
	harness.Equal(t, "the exit code", s.Inspect("deaf", "{{.State.ExitCode}}"), "137")
	s.Skiff("stop", "nothing").Exits(1).Complains("No such container: nothing")
}

// A stop that meets a start, between its first moment and its record, waits for that.
func TestStop_MeetsAStart(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	meet := func(name string, line ...string) {
		t.Helper()
		start := s.Command(t.Context(), append([]string{s.Binary()}, line...)...)
		if err := start.Start(); err != nil {
			t.Fatal(err)
		}
		s.Await(func() bool { // the first moment, not the end of somebody's nap
			marks := harness.Entries(filepath.Join(s.Store(), "running"))
			target, err := os.Readlink(filepath.Join(s.Store(), "containers/by-name", name))
			return err == nil && slices.Contains(marks, target)
		})
		s.Skiff("stop", "-t", "0", name).Exits(0)
		if err := start.Wait(); err != nil {
			t.Errorf("%v: %v", line, err)
		}
		harness.Equal(t, "after the stop", s.Inspect(name, "{{.State.Status}} {{.State.ExitCode}}"), "exited 137")
	}
	for n := range 10 {
		name := fmt.Sprintf("it%d", n)
		meet(name, "run", "-d", "--name", name, "--network", "none", img, "sleep", "1000")
		meet(name, "start", name)
	}
}

// Containers that are started at once, whatever their networks, are in the same user
// namespace: else who has entered one has no power over the others.
func TestStart_ACrowdIsInOneUserNamespace(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.New(t)
	img := s.LoadBusybox()
	for round := range 3 {
		var all sync.WaitGroup
		const crowd = 8
		for n := range crowd {
			all.Go(func() {
				network := []string{"none", "bridge"}[n%2]
				s.Skiff("run", "-d", "--name", fmt.Sprintf("it%d", n), "--network", network, img, "sleep", "1000").Exits(0)
			})
		}
		all.Wait()
		first := ""
		for n := range crowd {
			name := fmt.Sprintf("it%d", n)
			space, err := os.Readlink("/proc/" + s.Inspect(name, "{{.State.Pid}}") + "/ns/user")
			if n == 0 {
				first = space
			}
			if err != nil || space != first {
				t.Errorf("round %d: %s is in %s, %v, the first in %s", round, name, space, err, first)
			}
			s.Skiff("cp", "/etc/hostname", name+":/tmp").Exits(0)
			s.OK("rm", "-f", name)
		}
	}
}

func TestStop_SendsTheContainersSignal(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	s.OK("run", "-d", "--name", "it", "--stop-signal", "SIGUSR1", "--stop-timeout", "5", "--network", "none", img, "trap", "4")
	s.Eventually("the signal handler stands", func() bool { return s.Skiff("logs", "it").Out() == "ready" })
	s.OK("stop", "it")
	s.Skiff("logs", "it").Prints("ready\nSIGUSR1")
	harness.Equal(t, "the exit code", s.Inspect("it", "{{.State.ExitCode}}"), "4")
	s.OK("start", "it")
	s.Eventually("the signal handler stands", func() bool { return strings.HasSuffix(s.Skiff("logs", "it").Out(), "ready") })
	s.OK("stop", "-s", "HUP", "it")
	s.Skiff("logs", "--tail", "1", "it").Prints("SIGHUP")
}

func TestKill_SendsSignals(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	for _, name := range []string{"a", "b"} {
		s.OK("run", "-d", "--name", "k"+name, "--network", "none", img, "trap")
	}
	s.Skiff("kill", "ka").Exits(0).Prints("ka")
	s.Eventually("it is dead", func() bool { return s.Inspect("ka", "{{.State.Running}}") == "false" })
	harness.Equal(t, "the exit code", s.Inspect("ka", "{{.State.ExitCode}}"), "137")
	s.Eventually("the handler stands", func() bool { return s.Skiff("logs", "kb").Out() == "ready" })
	s.Skiff("kill", "-s", "USR2", "kb").Exits(0)
	s.OK("wait", "kb")
	s.Skiff("logs", "kb").Prints("ready\nSIGUSR2")
	id := s.Inspect("kb", "{{.Id}}")
	s.Skiff("kill", "kb").Exits(1).Complains(id + " is not running")
	s.Skiff("kill", "-s", "NOSUCH", "kb").Exits(1).Complains("NOSUCH")
}

func TestRestart_StartsAgain(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "it")
	before := s.Inspect("it", "{{.State.Pid}} {{.State.StartedAt}}")
	s.Skiff("restart", "-t", "3", "it").Exits(0).Prints("it")
	if after := s.Inspect("it", "{{.State.Pid}} {{.State.StartedAt}}"); after == before {
		t.Errorf("after restart it is the same process: %s", after)
	}
	s.OK("stop", "it")
	s.Skiff("restart", "it").Exits(0).Prints("it") // a stopped one is started
	harness.Equal(t, "the state", s.Inspect("it", "{{.State.Status}}"), "running")

	s.OK("create", "--name", "bad", "--network", "none", img, "/nonexistent")
	s.Skiff("restart", "-t", "0", "bad", "it").Exits(1).Prints("it").Complains("Cannot restart container bad: ")
}

func TestWait_PrintsCodesOfAll(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "w1", "--network", "none", img, "sh", "-c", "sleep 0.3; exit 4")
	s.OK("run", "-d", "--name", "w2", "--network", "none", img, "sh", "-c", "exit 5")
	s.Skiff("wait", "w1", "w2").Exits(0).Prints("4\n5")
	s.Skiff("wait", "nothing").Exits(1).Complains("No such container: nothing")
}

func TestRm_RemovesWhatIsStopped(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	id := sleeper(s, img, "--name", "it")
	r := s.Skiff("rm", "it").Exits(1)
	r.Complains(`cannot remove container "it": container is running: stop the container before removing or force remove`)
	harness.Equal(t, "standard output", r.Stdout, "")
	s.Skiff("rm", "it", "-f").Exits(0).Prints("it") // flags may follow arguments
	s.Skiff("inspect", id).Exits(1)
	s.Skiff("rm", "-f", "nothing").Exits(0).Prints("")
	s.Skiff("rm", "nothing").Exits(1).Complains("No such container: nothing")
	s.Skiff("rm").Exits(1).Complains(" requires at least 1 argument")
}

func TestRm_TakesAnonymousVolumesWithV(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "--name", "it", "-v", "/anonymous", "-v", "named:/named", "--network", "none", img, "touch", "/anonymous/f", "/named/f")
	volume := s.Inspect("it", `{{range .Mounts}}{{if eq .Destination "/anonymous"}}{{.Source}}{{end}}{{end}}`)
	named := s.Inspect("it", `{{range .Mounts}}{{if eq .Destination "/named"}}{{.Source}}{{end}}{{end}}`)
	s.OK("rm", "-v", "it")
	if harness.Exists(volume) || volume == "" {
		t.Errorf("the anonymous volume %s is still there", volume)
	}
	if !harness.Exists(named + "/f") {
		t.Errorf("the named volume %s is gone", named)
	}
}

func TestPs_ListsContainers(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.Skiff("ps").Exits(0).PrintsMatch(`CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES`)
	s.Skiff("run", "--name", "done", "--network", "none", "--label", "k=v", img, "sh", "-c", "exit 2").Exits(2)
	up := sleeper(s, img, "--name", "up")
	created := s.OK("create", "--name", "made", img, "echo", "a very long command line indeed")
	harness.Golden(t, "ps-all", s.Skiff("ps", "-a").Exits(0).Stdout)

	tests := []struct{ name, args, want string }{
		{"shows the running ones only", "ps --format '{{.Names}}'", "up"},
		{"shows all, newest first", "ps -a --format '{{.Names}}'", "made\nup\ndone"},
		{"shows ids alone", "ps -q", up[:12]},
		{"shows whole ids", "ps -q --no-trunc", up},
		{"shows the latest", "ps -l -q --no-trunc", created},
		{"shows the last two", "ps -n 2 --format '{{.Names}}'", "made\nup"},
		{"filters by name, a regular expression", "ps -a -f name=^/d --format '{{.Names}}'", "done"},
		{"filters by status, which implies all", "ps -f status=exited --format '{{.Names}} {{.State}}'", "done exited"},
		{"filters by exit code", "ps -a -f exited=2 --format '{{.Names}}'", "done"},
		{"filters by label", "ps -a -f label=k=v --format '{{.Names}}'", "done"},
		{"filters by image", "ps -a -f ancestor=busybox --format '{{.Names}}'", "made\nup\ndone"},
		{"filters by an earlier one", "ps -a -f since=done --format '{{.Names}}'", "made\nup"},
		{"prints json a line each", `ps --format json | grep -c '"Names":"up"'`, "1"},
		{"prints tables with headings", `ps --format 'table {{.Names}}\t{{.Image}}'`, "NAMES     IMAGE\nup        busybox"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s.In(t).Shell("skiff " + test.args).Exits(0).Prints(test.want)
		})
	}
	s.Skiff("ps", "-f", "nosuch=1").Exits(1).Complains("invalid filter 'nosuch'")
	s.Skiff("ps", "--format", "{{.Nope}}").Exits(1)
	s.Skiff("container", "ls", "-q").Exits(0).Prints(up[:12])
}

func TestInspect_SaysWhatDockerSays(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	id := sleeper(s, img, "--name", "it", "--hostname", "box", "-u", "1000", "-w", "/tmp", "--cap-add", "sys_time", "--read-only")
	tests := []struct{ name, template, want string }{
		{"the id", "{{.Id}}", id},
		{"the name with its slash", "{{.Name}}", "/it"},
		{"the image as typed", "{{.Config.Image}}", "busybox"},
		{"the command", "{{.Path}} {{len .Args}}", "sh 2"},
		{"the user", "{{.Config.User}}", "1000"},
		{"the working directory", "{{.Config.WorkingDir}}", "/tmp"},
		{"the host name", "{{.Config.Hostname}}", "box"},
		{"the network mode", "{{.HostConfig.NetworkMode}}", "none"},
		{"the root", "{{.HostConfig.ReadonlyRootfs}}", "true"},
		{"the state", "{{.State.Status}} {{.State.Running}} {{.State.Paused}} {{.State.ExitCode}} {{.RestartCount}}", "running true false 0 0"},
		{"the driver", "{{.Driver}} {{.Platform}}", "overlay2 linux"},
		{"json in one line", "{{json .State.Running}}", "true"},
		{"the addresses, empty", "[{{.NetworkSettings.IPAddress}}]", "[]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			harness.Equal(t, test.template, s.In(t).Inspect("it", test.template), test.want)
		})
	}
	image := s.Inspect("it", "{{.Image}}")
	if !strings.HasPrefix(image, "sha256:") || len(image) != 71 {
		t.Errorf(".Image = %s, want sha256:<64 hex>", image)
	}
	s.Skiff("inspect", "it", "nothing").Exits(1).Says(`"Id": "` + id).Complains("nothing")
	s.Skiff("inspect", "nothing").Exits(1).Prints("[]").Complains("o such object: nothing")
	s.Skiff("container", "inspect", "nothing").Exits(1).Prints("[]").Complains("No such container: nothing")
	s.Skiff("inspect", "-f", "{{.Nope}}", "it").Exits(1).Complains(`map has no entry for key "Nope"`)
	s.Skiff("inspect", "-f", "{{", "it").Exits(64).Complains("template parsing error")
	s.Skiff("inspect", "--type", "image", "it").Exits(1).Prints("[]")
}

func TestFind_TakesUniquePrefixes(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	ids := map[byte][]string{}
	for range 17 { // two of seventeen begin with the same of sixteen digits
		id := s.OK("create", img)
		ids[id[0]] = append(ids[id[0]], id)
	}
	for digit, same := range ids {
		if len(same) == 1 {
			harness.Equal(t, "the container found", s.Inspect(string(digit), "{{.Id}}"), same[0])
			continue
		}
		s.Skiff("start", string(digit)).Exits(1).Complains("multiple IDs found with provided prefix: " + string(digit))
	}
}
