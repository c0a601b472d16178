package durable_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"path/filepath"
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
	// image is whole after success, or with gone absent.
	image string
	gone  bool
}

func TestPowerCut(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			harness.Requires(t, harness.Root, harness.CommandNamed("mkfs."+kind), harness.CommandNamed("skopeo"), harness.LoopDevices)
			s := harness.New(t)
			registry := harness.NewRegistry(t)
			i := noise(t, 1)
			remote := registry.Push(t, i, name)
			archive := i.OCIArchive(t, filepath.Join(s.Dir, "noise.tar"))
			disk := s.Disk(kind, 400)
			base := s.LoadBusybox()
			absent := func(ref string) func(*harness.Session) {
				return func(s *harness.Session) { s.Skiff("rmi", "-f", ref).Exits(0) }
			}
			s.OK("run", "--name", "source", "--network", "none", base, "sh", "-c",
				`for n in $(seq 100); do head -c $((n * n * 20)) /dev/urandom >/f$n; done; sha256sum /f* >/sums`)
			s.Removes("source")
			acts := []act{
				{"pull", absent(remote), []string{"pull", "-q", remote}, remote, false},
				{"load", absent(name), []string{"load", "-q", "-i", archive}, name, false},
				{"commit", absent("made:1"), []string{"commit", "source", "made:1"}, "made:1", false},
				{"rmi", func(s *harness.Session) { s.OK("load", "-q", "-i", archive) }, []string{"rmi", "-f", name}, name, true},
			}
			random := dice(t)
			limit := time.Second
			for n := range times(t, "SKIFF_CUTS", 2*len(acts)) {
				a := acts[n%len(acts)]
				a.prepare(s)
				settle(t, disk)
				// Half of the cuts come right after success: that is the promise.
				after := time.Duration(random.Int64N(int64(limit)))
				done, took := cut(s, disk, a.line, after, random.IntN(2) == 0 || n < len(acts))
				if done {
					limit = (3*limit + took) / 4
				}
				disk.Restore()
				check(s, a, done)
				check(s, act{image: base}, true)
				if t.Failed() {
					t.Fatalf("cut %d: %s, %v after its start, done: %v", n, a.name, after, done)
				}
			}
			// What nobody stands on is gone with the next command that may delete.
			s.OK("rm", "source")
			s.Skiff("rmi", "-f", remote, name, "made:1", base).Exits(0)
			if left := s.Layers(); len(left) > 0 {
				t.Errorf("layers without an image: %v", left)
			}
		})
	}
}

// settle writes what was prepared to the disk.
func settle(t *testing.T, disk *harness.Disk) {
	t.Helper()
	if err := disk.Sync(); err != nil {
		t.Fatal(err)
	}
}

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
		err = <-ended
		took = time.Since(begin)
	}
	if atEnd && err != nil {
		s.T.Errorf("%v: %v", line, err)
	}
	return err == nil, took
}

// check holds the store to the contract after a cut.
func check(s *harness.Session, a act, done bool) {
	s.T.Helper()
	listed := strings.Contains("\n"+s.OK("images", "--format", "{{.Repository}}:{{.Tag}}")+"\n", "\n"+tagged(a.image)+"\n")
	if done && listed == a.gone {
		s.T.Errorf("after success %s is listed: %v", a.image, listed)
	}
	if !listed {
		return
	}
	line := []string{"run", "--rm", "--pull", "never", "--network", "none", a.image, "sh", "-c"}
	if a.name == "" {
		s.Skiff(append(line, "echo ok")...).Exits(0).Prints("ok")
		return
	}
	s.Skiff(append(line, "sha256sum -cs /sums && echo whole")...).Exits(0).Prints("whole")
}

func tagged(ref string) string {
	if strings.Contains(ref[strings.LastIndexByte(ref, '/')+1:], ":") {
		return ref
	}
	return ref + ":latest"
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
