package durable_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"skiff/tests/harness"
)

// Killed at any point, a command leaves a store in which the next one finds
// either what was before or what should be, and takes away the rest.
func TestKill(t *testing.T) {
	s := harness.New(t)
	i := noise(t, 2)
	archive := i.OCIArchive(t, filepath.Join(s.Dir, "noise.tar"))
	saved := filepath.Join(s.Mkdir("out"), "saved.tar")
	base := s.LoadBusybox()
	s.OK("run", "--name", "source", "--network", "none", base, "sh", "-c",
		`for n in $(seq 60); do head -c $((n * n * 20)) /dev/urandom >/f$n; done; sha256sum /f* >/sums`)
	s.Removes("source")
	without := func(s *harness.Session) { s.Skiff("rmi", "-f", name).Exits(0) }
	with := func(s *harness.Session) { s.OK("load", "-q", "-i", archive) }
	acts := []act{
		{"load", without, []string{"load", "-q", "-i", archive}, name, false},
		{"commit", func(s *harness.Session) { s.Skiff("rmi", "-f", "made:1").Exits(0) }, []string{"commit", "source", "made:1"}, "made:1", false},
		{"save", func(s *harness.Session) { with(s); os.Remove(saved) }, []string{"save", "-o", saved, name}, name, false},
		{"rmi", with, []string{"rmi", "-f", name}, name, true},
		{"image prune", with, []string{"image", "prune", "-af"}, name, true},
	}
	random := dice(t)
	took := map[string]time.Duration{}
	for n := range times(t, "SKIFF_KILLS", 3*len(acts)) {
		a := acts[n%len(acts)]
		a.prepare(s)
		limit := took[a.name]
		if limit == 0 {
			limit = 100 * time.Millisecond
		}
		after := time.Duration(random.Int64N(int64(limit)))
		done, duration := kill(s, a.line, after, random.IntN(2) == 0)
		if done {
			took[a.name] = duration
		} else if took[a.name] < 2*time.Second {
			took[a.name] = limit * 6 / 5 // it may take longer than we thought
		}
		check(s, a, done)
		if _, err := os.Stat(saved); done && a.name == "save" && err != nil {
			t.Error(err)
		}
		left(s)
		if t.Failed() {
			t.Fatalf("kill %d: %s, %v after its start, done: %v", n, a.name, after, done)
		}
	}
	for _, entry := range harness.Entries(filepath.Dir(saved)) {
		if entry != filepath.Base(saved) {
			t.Errorf("left beside the archive: %s", entry)
		}
	}
}

// kill runs a command and kills it after a while, alone or with all that it
// started. It reports whether the command had succeeded by then.
func kill(s *harness.Session, line []string, after time.Duration, all bool) (done bool, took time.Duration) {
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
	select {
	case err = <-ended:
		took = time.Since(begin)
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return err == nil, took
	case <-time.After(after):
	}
	pid := cmd.Process.Pid
	if all {
		pid = -pid
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	err = <-ended
	took = time.Since(begin)
	s.Alone()
	return err == nil, took
}

// left complains about everything in the store that belongs to nothing.
func left(s *harness.Session) {
	s.T.Helper()
	var found []string
	for range 20 { // the next command does not wait for a courier that is still dying
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
		if len(found) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.T.Errorf("left: %v", found)
}
