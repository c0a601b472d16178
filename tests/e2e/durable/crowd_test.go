package durable_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"skiff/tests/harness"
)

// Many commands at once, and none fails that would not fail alone. SKIFF_CHURN is
// how long it lasts.
func TestCrowd_OfEverything(t *testing.T) {
	s := harness.New(t)
	i := noise(t, 5)
	remote := harness.NewRegistry(t).Push(t, i, name)
	s.OK("tag", s.LoadBusybox(), "busybox")
	dir := s.Mkdir("context")
	s.WriteFile("context/Dockerfile", "FROM busybox\nARG N\nRUN echo $N >/n\n")
	lasts := 2 * time.Second
	if text := os.Getenv("SKIFF_CHURN"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	end := time.Now().Add(lasts)
	var crowd sync.WaitGroup
	var mu sync.Mutex
	counts, failures := map[string]int{}, 0
	// worker does something again and again until the time is over.
	worker := func(what string, line func(n int) []string, tolerated ...string) {
		crowd.Go(func() {
			for n := 0; n == 0 || time.Now().Before(end); n++ {
				r := s.Skiff(line(n)...)
				mu.Lock()
				counts[what]++
				fine := r.Code == 0
				for _, text := range tolerated {
					fine = fine || strings.Contains(r.Stderr, text)
				}
				if !fine {
					if failures++; failures <= 5 {
						t.Errorf("%s: exit code %d\n%s", r.Line, r.Code, r.Stderr)
					}
				}
				mu.Unlock()
			}
		})
	}
	fixed := func(line ...string) func(int) []string { return func(int) []string { return line } }
	for w := range 3 {
		worker("run", fixed("run", "--rm", "--network", "none", "busybox", "echo", "x"))
		worker("pull", fixed("pull", "-q", remote))
		worker("build", func(n int) []string {
			return []string{"build", "-q", "--network", "none", "--build-arg", fmt.Sprintf("N=%d-%d", w, n), "-t", fmt.Sprintf("app:%d", w), dir}
		})
	}
	// Alone, too, rmi says so of an image that is not there just now.
	worker("rmi", fixed("rmi", "-f", remote), "No such image")
	worker("image prune", fixed("image", "prune", "-f"))
	worker("container prune", fixed("container", "prune", "-f"))
	worker("images", fixed("images", "-a"))
	worker("ps", fixed("ps", "-a"))
	crowd.Wait()
	t.Logf("%v: %v, %d failures", lasts, counts, failures)
	s.Skiff("run", "--rm", "--network", "none", "busybox", "echo", "alive").Exits(0).Prints("alive")
}

// After many runs the store has what it had after the first, and what lives on beside
// them, a container's monitor and the network's program, has neither more descriptors
// nor much more memory. SKIFF_CYCLES is how many.
func TestCycles_LeaveNothing(t *testing.T) {
	s := harness.New(t)
	s.OK("tag", s.LoadBusybox(), "busybox")
	s.OK("run", "-d", "--name", "stays", "busybox", "sleep", "100000")
	networks := []string{"none", "bridge", "none", "none"}
	cycle := func(n int) {
		s.OK("run", "--name", "one", "--network", networks[n%len(networks)], "busybox", "true")
		s.OK("rm", "one")
	}
	for n := range 2 * len(networks) {
		cycle(n)
	}
	living := func() (all []harness.Process) {
		s.Eventually("nothing but what stays", func() bool {
			all = slices.DeleteFunc(s.Processes(), func(p harness.Process) bool { return strings.HasPrefix(p.Line, "sleep ") })
			return len(all) == 2
		})
		slices.SortFunc(all, func(a, b harness.Process) int { return strings.Compare(a.Line, b.Line) })
		return all
	}
	count := func() (files int, bytes int64) {
		harness.Walk(t, s.Store(), func(name string, info os.FileInfo) error {
			if !strings.HasPrefix(name, "events") { // bounded by itself: 1 MiB twice
				files++
				bytes += info.Size()
			}
			return nil
		})
		return files, bytes
	}
	type figures struct{ descriptors, private int }
	before := map[string]figures{}
	for _, p := range living() {
		before[p.Line] = figures{p.Descriptors(), p.Private()}
	}
	files, bytes := count()
	n := times(t, "SKIFF_CYCLES", 12)
	for i := range n {
		cycle(i)
	}
	for _, p := range living() {
		was, now := before[p.Line], figures{p.Descriptors(), p.Private()}
		t.Logf("%s: %d descriptors and %d KiB before, %d and %d after", p.Line, was.descriptors, was.private, now.descriptors, now.private)
		if now.descriptors > was.descriptors || now.private > 2*was.private+8<<10 {
			t.Errorf("%s has grown", p.Line)
		}
	}
	filesNow, bytesNow := count()
	t.Logf("%d cycles: %d files and %d bytes before, %d and %d after", n, files, bytes, filesNow, bytesNow)
	if filesNow != files || bytesNow > bytes+bytes/100 {
		t.Errorf("the store has grown: %d files and %d bytes, then %d and %d", files, bytes, filesNow, bytesNow)
	}
	s.OK("rm", "-f", "stays")
	s.Alone()
}
