package durable_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"skiff/storage/atomicfile"
	"skiff/tests/harness"
)

// name is the image that is pulled, loaded and removed.
const name = "tools/noise:1"

// noise is an image of two layers of many files, whose /sums says what is in
// them.
func noise(t *testing.T, seed uint64) harness.Image {
	t.Helper()
	i := harness.BusyboxImage(t)
	i.Name = name
	random := rand.NewChaCha8([32]byte{byte(seed)})
	var sums strings.Builder
	layer := harness.Layer{harness.Dir("noise")}
	for n := range 200 {
		data := make([]byte, 1<<(n%17))
		_, _ = random.Read(data)
		path := fmt.Sprintf("noise/%d", n)
		layer = append(layer, harness.File(path, string(data)))
		fmt.Fprintf(&sums, "%x  /%s\n", sha256.Sum256(data), path)
	}
	i.Layers = append(i.Layers, layer, harness.Layer{harness.File("sums", sums.String())})
	return i
}

// act is something whose success is a promise.
type act struct {
	name string
	// prepare brings about the state before, undisturbed.
	prepare func(s *harness.Session)
	line    []string
	// check holds the store to what the command said, or to its silence.
	check func(s *harness.Session, done bool)
}

// Half of the cuts come right after success: that is the promise. What is not cut
// there in the short form is on the other file system. SKIFF_CUTS is how many there
// are of each act in the long form, SKIFF_ACT picks one.
func TestPowerCut(t *testing.T) {
	for k, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			harness.Requires(t, harness.Root, harness.CommandNamed("mkfs."+kind), harness.CommandNamed("skopeo"), harness.LoopDevices)
			s := harness.New(t)
			registry := harness.NewRegistry(t)
			i := noise(t, 1)
			remote := registry.Push(t, i, name)
			archive := i.OCIArchive(t, filepath.Join(s.Dir, "noise.tar"))
			disk := s.Disk(kind, 400)
			s.LoadBusybox()
			s.OK("tag", "busybox:latest", "base:1")
			s.OK("run", "--name", "source", "--network", "none", "base:1", "sh", "-c",
				`for n in $(seq 100); do head -c $((n * n * 20)) /dev/urandom >/f$n; done; sha256sum /f* >/sums`)
			s.Removes("source")
			random := dice(t)
			rounds := times(t, "SKIFF_CUTS", 1)
			for number, a := range acts(s, remote, archive) {
				if only := os.Getenv("SKIFF_ACT"); only != "" && only != a.name {
					continue
				}
				limit, succeeded := 300*time.Millisecond, 0
				for n := range rounds {
					atEnd := (k+number+n)%2 == 0
					after := time.Duration(random.Int64N(int64(limit)))
					done, took := false, time.Duration(0)
					func() {
						defer s.Keep(func() string {
							return fmt.Sprintf("%s, cut %d: %v after its start (at its end: %v), done: %v", a.name, n, after, atEnd, done)
						})
						a.prepare(s)
						settle(t, disk)
						done, took = cut(s, disk, a.line, after, atEnd)
						disk.Restore()
						s.OK("ps", "-a")
						s.OK("images", "-a")
						s.Skiff("run", "--rm", "--pull", "never", "--network", "none", "base:1", "echo", "ok").Exits(0).Prints("ok")
						a.check(s, done)
						s.Skiff("system", "check", "--quick").Exits(0)
					}()
					if t.Failed() {
						t.FailNow()
					}
					if done {
						limit = (3*limit + took) / 4
						succeeded++
					}
				}
				t.Logf("%s: %d cuts, %d of them after it had succeeded", a.name, rounds, succeeded)
			}
			s.Skiff("system", "check").Exits(0).Says("no damage")
			// What nobody stands on is gone with the next command that may delete.
			s.OK("container", "prune", "-f")
			s.OK("builder", "prune", "-af")
			s.OK("image", "prune", "-af")
			if left := s.Layers(); len(left) > 0 {
				t.Errorf("layers without an image: %v\n%s\n%s", left, s.OK("images", "-a", "--digests", "--no-trunc"), s.OK("ps", "-a"))
			}
		})
	}
}

// acts are what the power is cut of. Each prepares what it needs, whatever the one
// before has left.
func acts(s *harness.Session, remote, archive string) []act {
	s.T.Helper()
	absent := func(ref string) func(*harness.Session) {
		return func(s *harness.Session) { s.T.Helper(); s.Skiff("rmi", "-f", ref).Exits(0) }
	}
	try := func(line ...string) func(*harness.Session) {
		return func(s *harness.Session) { s.T.Helper(); s.Skiff(line...) }
	}
	// An image that is listed is whole; one that was reported done is listed.
	image := func(ref string) func(*harness.Session, bool) {
		return func(s *harness.Session, done bool) {
			s.T.Helper()
			listed := promised(s, done, ref, "images", "--format", "{{.Repository}}:{{.Tag}}")
			if listed {
				s.Skiff("run", "--rm", "--pull", "never", "--network", "none", ref, "sh", "-c", "sha256sum -cs /sums && echo whole").Exits(0).Prints("whole")
			}
		}
	}
	// A container that is listed has its configuration and starts.
	starts := func(ref string) {
		s.T.Helper()
		s.OK("container", "inspect", ref)
		s.Skiff("start", "-a", ref).Exits(0).Prints("one")
	}
	context := filepath.Join(s.Dir, "context") // on another disk
	if err := errors.Join(os.Mkdir(context, 0o755), os.WriteFile(filepath.Join(context, "Dockerfile"), []byte("FROM base:1\nRUN for n in $(seq 60); do head -c $((n * n * 50)) /dev/urandom >/f$n; done\nCOPY Dockerfile /d\nRUN sha256sum /f* /d >/sums\n"), 0o644)); err != nil {
		s.T.Fatal(err)
	}
	build := []string{"build", "-q", "--network", "none", "-t", "app:1", context}
	containers := []string{"ps", "-a", "--format", "{{.Names}}"}
	drop := try("rm", "-f", "-v", "made", "other")
	echo := []string{"--name", "made", "-v", "/data", "--network", "none", "base:1", "sh", "-c", "echo one"}
	return []act{
		{"pull", absent(remote), []string{"pull", "-q", remote}, image(remote)},
		{"load", absent(name), []string{"load", "-q", "-i", archive}, image(name)},
		{"commit", absent("made:1"), []string{"commit", "source", "made:1"}, image("made:1")},
		{"rmi", func(s *harness.Session) { s.OK("load", "-q", "-i", archive) }, []string{"rmi", "-f", name}, func(s *harness.Session, done bool) {
			if done {
				s.Skiff("image", "inspect", name).Exits(1)
				return
			}
			image(name)(s, false)
		}},
		{"tag", func(s *harness.Session) {
			s.OK("pull", "-q", remote)
			absent("extra:1")(s)
		}, []string{"tag", remote, "extra:1"}, image("extra:1")},
		{"build", func(s *harness.Session) {
			s.Skiff("rmi", "-f", "app:1").Exits(0)
			s.OK("builder", "prune", "-af")
		}, build, func(s *harness.Session, done bool) {
			image("app:1")(s, done)
			// Nor does the cache give anything that is not whole.
			s.OK(build...)
			image("app:1")(s, true)
		}},
		{"volume create", try("volume", "rm", "-f", "made"), []string{"volume", "create", "--label", "a=b", "made"}, func(s *harness.Session, done bool) {
			if promised(s, done, "made", "volume", "ls", "-q") {
				s.Skiff("volume", "inspect", "--format", "{{.Labels.a}}", "made").Exits(0).Prints("b")
			}
			s.OK("run", "--rm", "--network", "none", "-v", "made:/data", "base:1", "sh", "-c", "echo x >/data/x")
		}},
		{"network create", try("network", "rm", "made"), []string{"network", "create", "--label", "a=b", "made"}, func(s *harness.Session, done bool) {
			if !promised(s, done, "made", "network", "ls", "--format", "{{.Name}}") {
				s.OK("network", "create", "made")
			} else {
				s.Skiff("network", "inspect", "--format", "{{.Labels.a}}", "made").Exits(0).Prints("b")
			}
			s.OK("run", "--rm", "--network", "made", "base:1", "true")
		}},
		{"create", drop, append([]string{"create"}, echo...), func(s *harness.Session, done bool) {
			if promised(s, done, "made", containers...) {
				starts("made")
			}
			drop(s)
			s.Skiff(append([]string{"run"}, echo...)...).Exits(0).Prints("one")
		}},
		{"run", drop, append([]string{"run"}, echo...), func(s *harness.Session, done bool) {
			if promised(s, done, "made", containers...) {
				if done {
					harness.Equal(s.T, "state of made", s.Inspect("made", "{{.State.Status}} {{.State.ExitCode}}"), "exited 0")
				}
				starts("made")
			}
			drop(s)
			s.Skiff(append([]string{"run"}, echo...)...).Exits(0).Prints("one")
		}},
		{"rename", func(s *harness.Session) {
			drop(s)
			s.OK(append([]string{"create"}, echo...)...)
		}, []string{"rename", "made", "other"}, func(s *harness.Session, done bool) {
			now, gone := "other", "made"
			if !promised(s, done, now, containers...) {
				now, gone = gone, now
			}
			harness.Equal(s.T, "names", s.OK(containers...), now+"\nsource")
			starts(now)
			s.Skiff("container", "inspect", gone).Exits(1)
			s.OK("run", "--name", gone, "--network", "none", "base:1", "true")
		}},
		{"rm", func(s *harness.Session) {
			drop(s)
			s.OK(append([]string{"create"}, echo...)...)
		}, []string{"rm", "made"}, func(s *harness.Session, _ bool) {
			// It may be back, which loses nothing, but then it is whole.
			if promised(s, false, "made", containers...) {
				starts("made")
			}
			drop(s)
			s.OK(append([]string{"create"}, echo...)...)
		}},
	}
}

// promised reports whether a list has an entry, and complains if it should.
func promised(s *harness.Session, done bool, entry string, list ...string) (listed bool) {
	s.T.Helper()
	listed = slices.Contains(strings.Fields(s.OK(list...)), entry)
	if done && !listed {
		s.T.Errorf("after success %v does not list %s", list, entry)
	}
	return listed
}

// settle writes what was prepared to the disk.
func settle(t *testing.T, disk *harness.Disk) {
	t.Helper()
	if err := disk.Sync(); err != nil {
		t.Fatal(err)
	}
}

var errCut = errors.New("its end came after the cut")

// cut runs a command and takes the power away, right after its end or after a
// while. It reports whether the command said that it succeeded, and how long
// that took.
func cut(s *harness.Session, disk *harness.Disk, line []string, after time.Duration, atEnd bool) (done bool, took time.Duration) {
	s.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := s.Command(ctx, append([]string{s.Binary()}, line...)...)
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		s.T.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	waited := false
	if atEnd {
		err, waited = <-ended, true
		took = time.Since(begin)
	} else {
		select {
		case err = <-ended:
			waited = true
			took = time.Since(begin)
		case <-time.After(after):
		}
	}
	if cerr := disk.Cut(); cerr != nil {
		s.T.Fatal(cerr)
	}
	if !waited {
		// What it says now it must not say of what could not be written any more; but
		// run's exit code is the container's, which knows nothing of the disk.
		err = <-ended
		took = time.Since(begin)
		if line[0] == "run" {
			err = errCut
		}
	}
	s.KillAll()
	s.Alone()
	if atEnd && err != nil {
		s.T.Errorf("%v: %v", line, err)
	}
	return err == nil, took
}

// A container that was to vanish at its end has vanished after a power cut.
func TestPowerCut_TakesWhatWasToVanish(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			harness.Requires(t, harness.Root, harness.CommandNamed("mkfs."+kind), harness.LoopDevices)
			s := harness.New(t)
			disk := s.Disk(kind, 400)
			base := s.LoadBusybox()
			if err := disk.Sync(); err != nil {
				t.Fatal(err)
			}
			s.OK("run", "-d", "--rm", "--name", "gone", "--network", "none", base, "sleep", "1000")
			// Names reach the disk, contents that nobody synced do not.
			if err := atomicfile.SyncDir(filepath.Join(disk.Store(), "running")); err != nil {
				t.Fatal(err)
			}
			if err := disk.Cut(); err != nil {
				t.Fatal(err)
			}
			s.KillAll()
			s.Alone()
			disk.Restore()
			s.Skiff("ps", "-aq").Exits(0).Prints("")
			s.Skiff("run", "--rm", "--name", "gone", "--network", "none", base, "echo", "again").Exits(0).Prints("again")
			s.Skiff("system", "check").Exits(0).Says("no damage")
		})
	}
}
