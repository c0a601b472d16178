package durable_test

import (
	"fmt"
	"os"
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

// After many runs the store has what it had after the first. SKIFF_CYCLES is how
// many.
func TestCycles_LeaveNothing(t *testing.T) {
	s := harness.New(t)
	s.OK("tag", s.LoadBusybox(), "busybox")
	cycle := func() {
		s.OK("run", "--name", "one", "--network", "none", "busybox", "true")
		s.OK("rm", "one")
	}
	for range 3 {
		cycle()
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
	files, bytes := count()
	n := times(t, "SKIFF_CYCLES", 10)
	for range n {
		cycle()
	}
	s.Alone()
	filesNow, bytesNow := count()
	t.Logf("%d cycles: %d files and %d bytes before, %d and %d after", n, files, bytes, filesNow, bytesNow)
	if filesNow != files || bytesNow > bytes+bytes/100 {
		t.Errorf("the store has grown: %d files and %d bytes, then %d and %d", files, bytes, filesNow, bytesNow)
	}
}
