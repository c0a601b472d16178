package image_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"skiff/tests/harness"
)

// kills is how many pulls are killed. SKIFF_KILLS=200 is the long form.
func kills(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("SKIFF_KILLS"))
	if err != nil {
		n = 20
	}
	t.Logf("%d kills, seed %d", n, killSeed)
	return n
}

const killSeed = 20261121

// noise returns n bytes that do not compress, the same ones for a seed.
func noise(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 0))
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return string(data)
}

// leftovers are the unpublished files of transfers in the store. Parts of blobs
// that the next pull goes on with are none: they lie in the cache.
func leftovers(s *harness.Session) (all []string) {
	for _, pattern := range []string{"tmp/[^.]*", "storage/overlay/staging/*", "storage/overlay/[0-9a-f]*/diff"} {
		found, _ := filepath.Glob(filepath.Join(s.Store(), pattern))
		all = append(all, found...)
	}
	return all
}

// What a killed pull leaves is gone after the next command, whichever that is.
func TestPull_KilledLeavesNothing(t *testing.T) {
	s := harness.New(t)
	registry := harness.NewRegistry(t)
	i := harness.BusyboxImage(t)
	for n := range 3 {
		i.Layers = append(i.Layers, harness.Layer{harness.File("noise"+strconv.Itoa(n), noise(uint64(n), 8<<20))})
	}
	ref := registry.Push(t, i, "big:1")
	start := time.Now()
	s.OK("pull", "-q", ref)
	whole := time.Since(start)
	s.OK("rmi", ref)
	next := [][]string{{"images", "-q"}, {"ps", "-aq"}, {"info"}, {"rmi", "nosuch"}, {"volume", "ls"}}
	random := rand.New(rand.NewPCG(killSeed, 1))
	for n := range kills(t) {
		after := time.Duration(random.Int64N(int64(whole)))
		func() {
			killed, story := s.Kill(after, "pull", "-q", ref)
			table, then, listed := s.ImageTable(), next[n%len(next)], ""
			defer s.Keep(func() string {
				return fmt.Sprintf("kill %d: %s\nthe table of images was %q, then %v, listed %q; now it is %q", n, story, table, then, listed, s.ImageTable())
			})
			if !killed {
				s.OK("rmi", ref)
				return
			}
			s.Skiff(then...)
			if listed = s.OK("images", "--no-trunc"); strings.Contains(listed, "sha256:") {
				// Killed after it was named, before it said so.
				s.OK("rmi", ref)
			}
			if left := leftovers(s); len(left) > 0 {
				t.Fatalf("left %v", left)
			}
		}()
	}
	s.OK("pull", "-q", ref)
	s.Skiff("run", "--rm", "--network", "none", ref, "sh", "-c", "cat /noise* | wc -c").Exits(0).Prints("25165824")
	s.OK("rmi", ref)
}
