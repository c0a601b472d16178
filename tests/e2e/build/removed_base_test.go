package build_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"skiff/tests/harness"
)

// The base of a build that runs may be removed: the build has its layers.
func TestBuild_BaseIsRemovedMeanwhile(t *testing.T) {
	for _, args := range [][]string{{"rmi", "base"}, {"rmi", "-f", "base", "busybox"}, {"system", "prune", "-af"}} {
		s, dir := begin(t, "FROM busybox AS own\nRUN echo base >/base\n")
		s.OK("build", "-q", "-t", "base", dir)
		s.OK("builder", "prune", "-af")
		s.WriteFile("c/Dockerfile", `FROM base
RUN --mount=type=cache,target=/c touch /c/started && until [ -e /c/go ]; do sleep 0.1; done; cat /base >/copy
RUN cat /base /copy >/both
`)
		done := make(chan *harness.Result, 1)
		go func() { done <- s.Skiff("build", "--network", "none", "-t", "app", dir) }()
		meeting := ""
		s.Eventually("the step to run", func() bool {
			harness.Walk(t, s.Store(), func(name string, _ fs.FileInfo) error {
				if filepath.Base(name) == "started" {
					meeting = filepath.Join(s.Store(), filepath.Dir(name))
				}
				return nil
			})
			return meeting != ""
		})
		removed := s.Skiff(args...).Exits(0)
		if args[0] == "system" {
			removed.Complains("WARNING: the build cache is in use by a build that runs")
			s.Skiff("builder", "prune", "-af").Exits(0).Prints("Total reclaimed space: 0B")
		}
		if err := os.WriteFile(filepath.Join(meeting, "go"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		r := <-done
		if r.Exits(0); t.Failed() {
			t.Fatalf("after %q, which printed\n%s%s", args, removed.Stdout, removed.Stderr)
		}
		harness.Equal(t, "what it made", inside(s, "app", "cat /both"), "base\nbase")
		// Nothing holds the layers any more.
		s.OK("rmi", "app")
		s.OK("system", "prune", "-af")
		if left := s.Layers(); len(left) > 0 {
			t.Errorf("layers that nobody has: %q", left)
		}
	}
}
