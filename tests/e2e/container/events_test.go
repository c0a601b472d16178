package container_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"skiff/tests/harness"
)

// told returns what events says of the past, a line each.
func told(s *harness.Session, flags ...string) []string {
	s.T.Helper()
	out := s.OK(append([]string{"events", "--until", "0s"}, flags...)...)
	if out == "" {
		return nil
	}
	return strings.Split(out, "\n")
}

func TestEvents_TellAContainersLife(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.Skiff("run", "--name", "job", "--label", "tier=back", "--network", "none", "-v", "data:/data", img, "sh", "-c", "exit 3").Exits(3)
	s.OK("rename", "job", "done")
	s.OK("rm", "done")
	got := told(s, "--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}")
	want := []string{
		"image load " + s.Inspect(img, "{{.Id}}"), "volume create <no value>", "container create job",
		"container attach job", "network connect none", "volume mount <no value>", "container start job",
		"container die job", "network disconnect none", "volume unmount <no value>",
		"container rename done", "container destroy done",
	}
	harness.Equal(t, "the events", strings.Join(got, "\n"), strings.Join(want, "\n"))
	die := told(s, "-f", "event=die")
	if len(die) != 1 || !strings.Contains(die[0], " container die ") ||
		!strings.HasSuffix(die[0], " (execDuration=0, exitCode=3, image=busybox, name=job, tier=back)") {
		t.Errorf("die: %q", die)
	}
	if _, err := time.Parse(time.RFC3339Nano, strings.Fields(die[0])[0]); err != nil {
		t.Error(err)
	}
}

func TestEvents_OfRemovalAtTheEndUseTheNewName(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--rm", "--name", "first", "-v", "/anonymous")
	s.OK("rename", "first", "second")
	s.OK("kill", "second")
	s.Eventually("it is gone", func() bool { return s.Skiff("inspect", "second").Code == 1 })
	s.Eventually("its end is told", func() bool { return len(told(s, "-f", "event=destroy", "-f", "type=container")) == 1 })
	harness.Equal(t, "the events", strings.Join(told(s, "-f", "type=container", "-f", "event=kill", "-f", "event=die",
		"-f", "event=destroy", "--format", "{{.Action}} {{.Actor.Attributes.name}}"), "\n"), "kill second\ndie second\ndestroy second")
	links, err := os.ReadDir(filepath.Join(s.Store(), "containers", "by-name"))
	if err != nil || len(links) != 0 {
		t.Errorf("names left behind: %v, %v", links, err)
	}
}

func TestEvents_PrintJSON(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	id := s.OK("create", "--name", "it", img)
	lines := told(s, "-f", "container=it", "--format", "json")
	if len(lines) != 1 {
		t.Fatalf("%q", lines)
	}
	var d struct {
		Status, ID, From, Type, Action, Scope string
		Actor                                 struct {
			ID         string
			Attributes map[string]string
		}
		Time, TimeNano int64
	}
	if err := json.Unmarshal([]byte(lines[0]), &d); err != nil {
		t.Fatal(err)
	}
	if d.Status != "create" || d.ID != id || d.From != "busybox" || d.Type != "container" || d.Action != "create" ||
		d.Scope != "local" || d.Actor.ID != id || d.Actor.Attributes["image"] != "busybox" || d.TimeNano/1e9 != d.Time {
		t.Errorf("%s", lines[0])
	}
}

func TestEvents_Filter(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("tag", img, "example.com/app:1")
	id := sleeper(s, img, "--name", "up", "--label", "k=v")
	s.Skiff("exec", "up", "sh", "-c", "exit 4").Exits(4)
	s.OK("create", "--name", "other", "example.com/app:1")
	s.OK("volume", "create", "data")
	s.OK("rmi", "example.com/app:1", "-f")
	tests := []struct{ name, filters, want string }{
		{"by container's name", "-f container=other", "container create"},
		{"by container's id", "-f container=" + id[:12] + " -f event=start", "container start"},
		{"by label", "-f label=k=v -f event=create", "container create"},
		{"by another label", "-f label=k=w", ""},
		{"by image", "-f image=example.com/app:1 -f type=container", "container create"},
		{"by image without tag", "-f image=example.com/app -f type=container", "container create"},
		{"by volume", "-f volume=data", "volume create"},
		{"by type", "-f type=image", "image load\nimage tag\nimage untag"},
		{"by event, with all that begins so", "-f event=exec_start", "container exec_start: sh -c exit 4"},
		{"by event", "-f event=exec_die", "container exec_die"},
		{"by scope", "-f scope=swarm", ""},
		{"by daemon", "-f daemon=x", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			flags := append(strings.Fields(test.filters), "--format", "{{.Type}} {{.Action}}")
			harness.Equal(t, "the events", strings.Join(told(s.In(t), flags...), "\n"), test.want)
		})
	}
	s.Skiff("events", "-f", "nosuch=1").Exits(1).Complains("invalid filter 'nosuch'")
	s.Skiff("events", "--since", "yesterday").Exits(1).Complains("failed to parse value as time or duration")
	s.Skiff("events", "--since", "1s", "--until", "1h").Exits(1).Complains("cannot be after `until` time")
	s.Skiff("events", "--until", "0s", "--format", "{{.Nope}}").Exits(1).Complains("template parsing error")
	s.Skiff("events", "more").Exits(1).Complains("accepts no arguments")
	harness.Equal(t, "the events since later", strings.Join(told(s, "--since", "0s"), "\n"), "")
}

func TestEvents_Follow(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("create", "--name", "before", img)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := s.Command(ctx, s.Binary(), "system", "events", "--format", "{{.Action}} {{.Actor.Attributes.name}}", "-f", "type=container")
	var out locked
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It has no way to say that it listens.
	for i := 0; !strings.Contains(out.String(), "create probe"); i++ {
		s.OK("create", "--name", "probe", img)
		s.OK("rm", "probe")
		if i > 50 {
			t.Fatal("nothing is told")
		}
	}
	s.Skiff("run", "--rm", "--name", "now", "--network", "none", img, "true").Exits(0)
	s.Eventually("the end is told", func() bool { return strings.Contains(out.String(), "destroy now\n") })
	if !strings.HasSuffix(out.String(), "create now\nattach now\nstart now\ndie now\ndestroy now\n") {
		t.Errorf("told:\n%s", out.String())
	}
	if strings.Contains(out.String(), "before") {
		t.Errorf("the past is told:\n%s", out.String())
	}
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
	harness.Equal(t, "the exit code", cmd.ProcessState.ExitCode(), 130)
}

// locked is a buffer that one goroutine writes while another reads.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Docker's words for what a container does on networks, at a terminal and in an
// exec that nobody waits for.
func TestEvents_OfNetworksTerminalsAndDetachedExecs(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	net := s.OK("network", "create", "one")
	id := s.OK("run", "-d", "--name", "it", "--network", "one", img, "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done")
	s.OK("network", "create", "two")
	s.OK("network", "connect", "two", "it")
	s.OK("network", "disconnect", "two", "it")
	s.OK("network", "connect", "two", "it")
	s.OK("network", "disconnect", "one", "it")
	s.OK("exec", "-d", "it", "sh", "-c", "exit 5")
	s.Eventually("the end of the exec is told", func() bool { return len(told(s, "-f", "event=exec_die")) == 1 })
	s.Skiff("exec", "-d", "it", "nosuch").Exits(127)
	s.OK("stop", "-t", "0", "it")
	s.OK("rm", "it")
	s.OK("network", "rm", "one", "two")
	got := told(s, "-f", "type=network", "--format", "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}} {{.Actor.Attributes.container}}")
	want := "create one bridge <no value>\nconnect one bridge ID\ncreate two bridge <no value>\nconnect two bridge ID\n" +
		"disconnect two bridge ID\nconnect two bridge ID\ndisconnect one bridge ID\n" +
		"disconnect two bridge ID\ndestroy one bridge <no value>\ndestroy two bridge <no value>"
	harness.Equal(t, "the networks' events", strings.ReplaceAll(strings.Join(got, "\n"), id, "ID"), want)
	harness.Equal(t, "the first network's", s.OK("events", "--until", "0s", "-f", "event=connect", "-f", "network=one", "--format", "{{.Actor.ID}}"), net)
	execs := told(s, "-f", "event=exec_start", "-f", "event=exec_die", "--format", "{{.Action}} {{.Actor.Attributes.exitCode}}")
	if len(execs) < 2 || execs[0] != "exec_start: sh -c exit 5 <no value>" || execs[1] != "exec_die 5" {
		t.Errorf("execs: %q", execs)
	}
}

// The end of an exec is told by the monitor, whatever becomes of who asked for
// it; one that was never executed has none.
func TestEvents_TellOfAnExecsEndWithoutItsFront(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "it")
	ends := func() []string {
		return told(s, "-f", "event=exec_die", "--format", "{{.Actor.Attributes.execID}} {{.Actor.Attributes.exitCode}}")
	}
	front := s.Command(t.Context(), s.Binary(), "exec", "it", "sh", "-c", "echo $$ >/pid; exec sleep 1000")
	if err := front.Start(); err != nil {
		t.Fatal(err)
	}
	s.Eventually("the exec runs", func() bool {
		return strings.Contains(s.Skiff("exec", "it", "sh", "-c", "grep -c sleep /proc/$(cat /pid)/cmdline").Stdout, "1")
	})
	before := len(ends())
	if err := front.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = front.Wait()
	s.OK("exec", "it", "sh", "-c", "kill -9 $(cat /pid)")
	s.Eventually("its end is told", func() bool { return len(ends()) == before+2 }) // and that of kill
	if got := ends(); !slices.ContainsFunc(got, func(e string) bool { return strings.HasSuffix(e, " 137") }) {
		t.Errorf("ends: %q", got)
	}
	before = len(ends())
	for range 5 {
		s.Skiff("exec", "it", "nosuch").Exits(127)
		s.Skiff("exec", "-d", "it", "nosuch").Exits(127)
	}
	s.OK("stop", "-t", "0", "it")
	harness.Equal(t, "ends of what was not executed", len(ends())-before, 0)
	s.OK("rm", "it")
}
