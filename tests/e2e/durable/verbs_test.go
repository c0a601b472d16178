package durable_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"skiff/tests/harness"
)

// verb is a command that is killed.
type verb struct {
	name string
	// prepare brings about the state before, undisturbed.
	prepare func(s *harness.Session)
	line    []string
	// done holds the store to what the command said when it succeeded.
	done func(s *harness.Session)
	// clean takes away what the command may have made, whether it did or not.
	clean func(s *harness.Session)
	// monitored commands have a monitor that may die alone.
	monitored bool
}

// How a command is killed.
const (
	killGroup   = iota // the command with what it started in its process group
	killFront          // the command alone
	killAll            // with monitors, guests and whoever else there is
	killMonitor        // the monitors alone
	killModes
)

var modeNames = [killModes]string{"group", "front", "all", "monitor"}

// Each verb, killed in each way, at any point: the next commands succeed, nothing
// is left that belongs to nobody, nothing is lost that was reported done.
// SKIFF_KILLS is how often each verb is killed in the long form; SKIFF_VERB
// picks one.
func TestKill_EveryVerb(t *testing.T) {
	s := harness.New(t)
	random := dice(t)
	verbs := everyVerb(t, s)
	rounds := times(t, "SKIFF_KILLS", 1)
	only := onlyVerb()
	for _, v := range verbs {
		if only != "" && only != v.name {
			continue
		}
		limit := 150 * time.Millisecond
		succeeded := 0
		for n := range rounds {
			mode := random.IntN(killModes - 1)
			if v.monitored {
				mode = random.IntN(killModes)
			}
			after := time.Duration(random.Int64N(int64(limit)))
			func() {
				story := func() string { return "while it was prepared" }
				defer s.Keep(func() string { return fmt.Sprintf("%s, kill %d (%s): %s", v.name, n, modeNames[mode], story()) })
				v.prepare(s)
				done, took, words := killMode(s, v.line, after, mode)
				defer words.Close()
				table := s.ImageTable()
				story = func() string {
					told := fmt.Sprintf("to be killed after %v, ended after %v, done: %v\n%v", after, took, done, words)
					if now := s.ImageTable(); now != table {
						told += fmt.Sprintf("\nthe table of images was %q, now it is %q", table, now)
					}
					return told
				}
				if done {
					succeeded++
					limit = (3*limit + took) / 4
				} else if took < 3*time.Second && random.IntN(4) == 0 {
					limit = limit * 6 / 5
				}
				next(s, v, done)
			}()
			if t.Failed() {
				t.FailNow()
			}
		}
		t.Logf("%s: %d kills, %d of them after it had succeeded", v.name, rounds, succeeded)
	}
}

// onlyVerb is the one verb that is asked for, or empty.
func onlyVerb() string { return os.Getenv("SKIFF_VERB") }

// killMode runs a command and kills it in a mode after a while. It reports whether
// the command had succeeded, how long it took and what it said.
func killMode(s *harness.Session, line []string, after time.Duration, mode int) (done bool, took time.Duration, words *harness.Words) {
	s.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := s.Command(ctx, append([]string{s.Binary()}, line...)...)
	words = s.Listen()
	words.To(cmd)
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		s.T.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
		if mode == killAll {
			s.KillAll()
		}
		return err == nil, time.Since(begin), words
	case <-time.After(after):
	}
	switch mode {
	case killGroup:
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	case killFront:
		_ = syscall.Kill(cmd.Process.Pid, syscall.SIGKILL)
	case killAll:
		s.KillAll()
	case killMonitor:
		s.KillRoles("skiff:monitor")
	}
	err = <-ended
	if ctx.Err() != nil {
		s.T.Errorf("%v: no end within a minute after the kill", line)
	}
	return err == nil, time.Since(begin), words
}

// next are the commands after a kill, and what has to be true after them.
func next(s *harness.Session, v verb, done bool) {
	s.T.Helper()
	s.OK("ps", "-a")
	s.OK("images", "-a")
	s.Skiff("run", "--rm", "--network", "none", "--pull", "never", "busybox", "echo", "alive").Exits(0).Prints("alive")
	if nameless := s.OK("images", "-q", "--filter", "dangling=true"); nameless != "" {
		s.T.Errorf("images that never had a name: %s", nameless)
	}
	if half, err := filepath.Glob(filepath.Join(s.Store(), "containers/*/.*.tmp")); len(half) > 0 || err != nil {
		s.T.Errorf("files that nobody finishes: %v, %v", half, err)
	}
	if done {
		v.done(s)
	}
	if s.T.Failed() {
		return
	}
	v.clean(s)
	for id := range strings.FieldsSeq(s.OK("ps", "-aq", "--no-trunc")) {
		if name := s.Inspect(id, "{{.Name}}"); name != "/source" {
			s.OK("rm", "-f", "-v", id)
		}
	}
	s.Alone()
	left(s)
	unowned(s)
}

// left complains about everything in the store that belongs to nothing.
func left(s *harness.Session) {
	s.T.Helper()
	var found []string
	defer func() {
		if len(found) > 0 {
			s.T.Logf("left: %v", found)
		}
	}()
	// The next command does not wait for a courier that is still dying.
	s.Eventually("the store has no layers and files of the dead", func() bool {
		s.OK("images", "-q")
		found = nil
		var wanted []string
		for id := range strings.FieldsSeq(s.OK("images", "-aq", "--no-trunc")) {
			dirs := s.OK("image", "inspect", "-f", "{{.GraphDriver.Data}}", id)
			for _, part := range strings.Split(dirs, "/") {
				if len(part) == 64 {
					wanted = append(wanted, part)
				}
			}
		}
		for _, id := range s.Layers() {
			if !slices.Contains(wanted, id) {
				found = append(found, "layer "+id)
			}
		}
		for dir, fine := range map[string]string{"tmp": ".sweep.lock", "storage/overlay/staging": "", "storage/overlay/tempdirs": "", "storage/overlay-layers/tempdirs": "", "storage/overlay-images/tempdirs": ""} {
			for _, e := range harness.Entries(filepath.Join(s.Store(), dir)) {
				if e != fine && !strings.HasSuffix(e, ".lock") {
					found = append(found, fmt.Sprintf("%s/%s", dir, e))
				}
			}
		}
		return len(found) == 0
	})
}

// unowned complains about files in the store that no command would ever look at.
func unowned(s *harness.Session) {
	s.T.Helper()
	var found []string
	defer func() {
		if len(found) > 0 {
			s.T.Logf("left: %v", found)
		}
	}()
	s.Eventually("the store has nothing of the dead", func() bool {
		s.OK("ps", "-aq")
		found = nil
		known := strings.Fields(s.OK("ps", "-aq", "--no-trunc"))
		for _, e := range harness.Entries(filepath.Join(s.Store(), "containers")) {
			if e != "by-name" && !slices.Contains(known, e) {
				found = append(found, "containers/"+e)
			}
		}
		for _, dir := range []string{"volumes", "secrets", "networks", "running", "containers/by-name"} {
			for _, e := range harness.Entries(filepath.Join(s.Store(), dir)) {
				switch {
				case dir == "networks" && (e == ".lock" || e == ".bridge" || strings.HasPrefix(e, ".hub.")):
				case dir == "containers/by-name" && e == "source":
				case dir == "running" || dir == "containers/by-name" || strings.HasPrefix(e, "."):
					found = append(found, dir+"/"+e)
				}
			}
		}
		for name := range strings.FieldsSeq(s.OK("volume", "ls", "-q")) {
			found = append(found, "volume "+name)
		}
		found = append(found, strays(s)...)
		return len(found) == 0
	})
}

func everyVerb(t *testing.T, s *harness.Session) []verb {
	t.Helper()
	i := noise(t, 4)
	registry := harness.NewRegistry(t)
	remote := registry.Push(t, i, name)
	archive := i.OCIArchive(t, filepath.Join(s.Dir, "noise.tar"))
	base := s.LoadBusybox()
	s.OK("tag", base, "busybox")
	s.OK("run", "--name", "source", "--label", "keep=1", "--network", "none", "busybox", "sh", "-c",
		`for n in $(seq 30); do head -c $((n * n * 20)) /dev/urandom >/f$n; done; sha256sum /f* >/sums`)
	s.Removes("source")
	dir := s.Mkdir("context")
	s.WriteFile("context/Dockerfile", "FROM busybox\nRUN for n in $(seq 20); do head -c $((n * n * 50)) /dev/urandom >/f$n; done\nCOPY Dockerfile /d\nRUN sha256sum /f* /d >/sums\n")
	saved := filepath.Join(s.Mkdir("out"), "saved.tar")
	big := s.WriteFile("big", string(noiseBytes(3<<20)))

	nothing := func(*harness.Session) {}
	ok := func(line ...string) func(*harness.Session) {
		return func(s *harness.Session) { s.T.Helper(); s.OK(line...) }
	}
	try := func(line ...string) func(*harness.Session) {
		return func(s *harness.Session) { s.T.Helper(); s.Skiff(line...) }
	}
	whole := func(ref string) func(*harness.Session) {
		return func(s *harness.Session) {
			s.T.Helper()
			s.Skiff("run", "--rm", "--pull", "never", "--network", "none", ref, "sh", "-c", "sha256sum -cs /sums && echo whole").Exits(0).Prints("whole")
		}
	}
	// An image that is listed is whole, whether its maker said so or not.
	dropImage := func(ref string) func(*harness.Session) {
		return func(s *harness.Session) {
			s.T.Helper()
			if s.Skiff("image", "inspect", ref).Code == 0 {
				whole(ref)(s)
			}
			s.OK("rmi", "-f", ref)
		}
	}
	lists := func(want bool, what string, line ...string) func(*harness.Session) {
		return func(s *harness.Session) {
			s.T.Helper()
			if got := slices.Contains(strings.Fields(s.OK(line...)), what); got != want {
				s.T.Errorf("%v lists %s: %v, want %v", line, what, got, want)
			}
		}
	}
	containers := []string{"ps", "-a", "--format", "{{.Names}}"}
	volumes := []string{"volume", "ls", "-q"}
	networks := []string{"network", "ls", "--format", "{{.Name}}"}
	box := func(s *harness.Session) {
		s.T.Helper()
		s.OK("run", "-d", "--name", "box", "--network", "none", "busybox", "sh", "-c", `trap "exit 3" TERM; sleep 1000 & wait`)
	}
	stopped := ok("run", "--name", "made", "-v", "/data", "--network", "none", "busybox", "sh", "-c", "echo one; echo two >/data/two")
	load := ok("load", "-q", "-i", archive)
	unmake := func(s *harness.Session) { s.T.Helper(); s.Skiff("rm", "-f", "-v", "made") }
	return []verb{
		{"pull", nothing, []string{"pull", "-q", remote}, whole(remote), dropImage(remote), false},
		{"load", nothing, []string{"load", "-q", "-i", archive}, whole(name), dropImage(name), false},
		{"run", nothing, []string{"run", "--name", "made", "--network", "none", "busybox", "echo", "one"}, func(s *harness.Session) {
			s.Skiff("logs", "made").Exits(0).Prints("one")
			harness.Equal(s.T, "state of made", s.Inspect("made", "{{.State.Status}} {{.State.ExitCode}}"), "exited 0")
		}, unmake, true},
		{"run --rm", nothing, []string{"run", "--rm", "--name", "made", "-v", "/data", "--network", "none", "busybox", "sh", "-c", "sleep 0.05"}, nothing, unmake, true},
		{"run -d", nothing, []string{"run", "-d", "--name", "made", "busybox", "sleep", "1000"}, lists(true, "made", containers...), unmake, true},
		{"exec", box, []string{"exec", "box", "sh", "-c", "sleep 0.05; echo one >/one"}, func(s *harness.Session) {
			s.Skiff("cp", "box:/one", "-").Exits(0).Says("one")
		}, nothing, true},
		{"stop", box, []string{"stop", "box"}, func(s *harness.Session) {
			if got := s.Inspect("box", "{{.State.Status}}"); got != "exited" {
				s.T.Errorf("a stopped container is %s", got)
			}
		}, nothing, true},
		{"rm", stopped, []string{"rm", "-v", "made"}, lists(false, "made", containers...), unmake, false},
		{"rm -f", box, []string{"rm", "-f", "box"}, lists(false, "box", containers...), nothing, true},
		{"rmi", load, []string{"rmi", "-f", name}, func(s *harness.Session) {
			s.Skiff("image", "inspect", name).Exits(1)
		}, dropImage(name), false},
		{"build", nothing, []string{"build", "-q", "--no-cache", "--network", "none", "-t", "app:1", dir}, whole("app:1"), func(s *harness.Session) {
			dropImage("app:1")(s)
			s.OK("builder", "prune", "-af")
			s.OK("image", "prune", "-f")
		}, false},
		{"tag", nothing, []string{"tag", "busybox", "made:1"}, func(s *harness.Session) {
			s.OK("image", "inspect", "made:1")
		}, try("rmi", "made:1"), false},
		{"commit", nothing, []string{"commit", "source", "made:1"}, whole("made:1"), dropImage("made:1"), false},
		{"save", load, []string{"save", "-o", saved, name}, func(s *harness.Session) {
			s.OK("rmi", "-f", name)
			s.OK("load", "-q", "-i", saved)
			whole(name)(s)
		}, func(s *harness.Session) {
			dropImage(name)(s)
			for _, e := range harness.Entries(filepath.Dir(saved)) {
				if e != filepath.Base(saved) {
					s.T.Errorf("left beside the archive: %s", e)
				}
			}
		}, false},
		{"rename", stopped, []string{"rename", "made", "other"}, lists(true, "other", containers...), func(s *harness.Session) {
			names := strings.Fields(s.OK(containers...))
			if slices.Contains(names, "made") == slices.Contains(names, "other") {
				s.T.Errorf("after rename the container is one of %v", names)
			}
		}, false},
		{"update", stopped, []string{"update", "--restart", "on-failure:3", "made"}, func(s *harness.Session) {
			harness.Equal(s.T, "restart policy", s.Inspect("made", "{{.HostConfig.RestartPolicy.MaximumRetryCount}}"), "3")
		}, func(s *harness.Session) {
			s.T.Helper()
			s.OK("start", "-a", "made")
		}, false},
		{"cp", nothing, []string{"cp", big, "source:/big"}, func(s *harness.Session) {
			s.OK("cp", "source:/big", filepath.Join(s.Home(), "copy"))
			s.Shell("cmp big copy").Exits(0)
		}, func(s *harness.Session) {
			for line := range strings.Lines(s.OK("diff", "source")) {
				if p := strings.TrimSpace(line[1:]); p != "/big" && p != "/sums" && !strings.HasPrefix(p, "/f") {
					s.T.Errorf("after cp, the container has %s", p)
				}
			}
		}, false},
		{"volume create", nothing, []string{"volume", "create", "--label", "a=b", "made"}, lists(true, "made", volumes...), try("volume", "rm", "-f", "made"), false},
		{"volume rm", ok("volume", "create", "made"), []string{"volume", "rm", "made"}, lists(false, "made", volumes...), try("volume", "rm", "-f", "made"), false},
		{"network create", nothing, []string{"network", "create", "made"}, lists(true, "made", networks...), try("network", "rm", "made"), false},
		{"network rm", ok("network", "create", "made"), []string{"network", "rm", "made"}, lists(false, "made", networks...), try("network", "rm", "made"), false},
		{"container prune", func(s *harness.Session) {
			s.OK("run", "-d", "--name", "box", "--network", "none", "busybox", "sleep", "1000")
			stopped(s)
		}, []string{"container", "prune", "-f", "--filter", "label!=keep"}, lists(false, "made", containers...), func(s *harness.Session) {
			unmake(s)
			s.OK("volume", "prune", "-f") // made's, which a prune leaves
		}, true},
		{"image prune", load, []string{"image", "prune", "-af"}, func(s *harness.Session) {
			s.Skiff("image", "inspect", name).Exits(1)
		}, dropImage(name), false},
		{"system prune", func(s *harness.Session) {
			load(s)
			stopped(s)
			s.OK("network", "create", "made")
			s.OK("volume", "create", "made")
		}, []string{"system", "prune", "-af", "--volumes", "--filter", "label!=keep"}, func(s *harness.Session) {
			lists(false, "made", containers...)(s)
			lists(false, "made", networks...)(s)
			s.Skiff("image", "inspect", name).Exits(1)
		}, func(s *harness.Session) {
			dropImage(name)(s)
			unmake(s)
			s.Skiff("network", "rm", "made")
			s.OK("volume", "rm", "-f", "made")
			s.OK("volume", "prune", "-f")
		}, false},
	}
}

func noiseBytes(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{9}).Read(data)
	return []byte(fmt.Sprintf("%x", data))
}
