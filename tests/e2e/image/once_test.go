package image_test

import (
	"strings"
	"testing"

	"skiff/tests/harness"
	"skiff/tests/registry"
)

// Twenty pulls of one image at once ask for each blob once, and all succeed.
func TestPull_TwentyAtOnceFetchOnce(t *testing.T) {
	s := harness.New(t)
	r := registry.New(t)
	_, blobs := r.Add("app", "1", harness.Busybox(t).Tar(t), harness.Layer{harness.File("noise", noise(1, 1<<20))}.Tar(t))
	ref := r.Address + "/slow/app:1"
	line := "for i in $(seq 20); do skiff pull -q " + ref + " & done; wait"
	out := s.Shell(line).Exits(0).Out()
	harness.Equal(t, "the names that were printed", out, strings.TrimSuffix(strings.Repeat(ref+"\n", 20), "\n"))
	for _, d := range blobs {
		if n := r.Gets("slow", d); n != 1 {
			t.Errorf("blob %s was asked for %d times", d, n)
		}
	}
	s.Skiff("run", "--rm", "--network", "none", ref, "sh", "-c", "wc -c </noise").Exits(0).Prints("1048576")
	if left := harness.Entries(s.Store() + "/cache/partial"); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	s.OK("rmi", ref)
}
