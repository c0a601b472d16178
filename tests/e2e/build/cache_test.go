package build_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"skiff/tests/harness"
)

func TestBuilder_TellsAndPrunes(t *testing.T) {
	s, dir := begin(t, "FROM busybox AS one\nRUN --mount=type=cache,target=/c echo 1234567 | tee /c/f > /f\nFROM busybox\nCOPY --from=one /f /f\n")
	s.OK("build", "-q", "-t", "app", dir)
	du := s.OK("builder", "du")
	if !strings.HasPrefix(du, "ID") || strings.Count(du, "8B") < 3 || strings.Count(du, "16B") != 2 {
		t.Errorf("du:\n%s", du)
	}
	s.Skiff("system", "df").Exits(0).PrintsMatch(`(?s).*Build Cache +3 +0 +16B +16B \(100%\)\n?`)
	s.OK("buildx", "du", "--verbose")
	s.Skiff("builder", "prune", "-f", "--filter", "until=1h").Exits(0).Prints("Total reclaimed space: 0B")
	s.Skiff("builder", "prune", "-f").Exits(0).Says("Total reclaimed space: 16B")
	if r := s.Skiff("build", dir).Exits(0); strings.Count(r.Stderr, "CACHED") < 2 {
		t.Errorf("the image's own step was forgotten:\n%s", r.Stderr)
	}
	s.OK("builder", "prune", "-af")
	harness.Equal(t, "what is left", strings.Join(harness.Entries(s.Store()+"/build/layers"), " "), "")
	harness.Equal(t, "the image", inside(s, "app", "cat /f"), "1234567")
	s.OK("build", "-q", "-t", "app", dir)
	s.Skiff("builder", "prune", "-f", "--filter", "x=y").Exits(1).Complains("invalid filter")
	s.OK("buildx", "ls")
	s.OK("buildx", "version")
	s.Skiff("buildx", "inspect", "other").Exits(1).Complains(`no builder "other" found`)
	s.OK("buildx", "build", "-q", dir)
	s.OK("image", "build", "-q", dir)
	s.OK("builder", "build", "-q", dir)
}

// A kill at any moment leaves nothing, and the next build is right.
func TestBuild_Killed(t *testing.T) {
	s, dir := begin(t, "FROM busybox AS a\nRUN for i in $(seq 30); do echo $i > /f$i; done\nFROM busybox\nCOPY --from=a /f* /d/\nCOPY f /\nRUN sleep 0.05; cat /d/* | wc -l > /n\n", "f", "f")
	n, err := strconv.Atoi(os.Getenv("SKIFF_KILLS")) // 200 is the long form
	if err != nil {
		n = 8
	}
	points := rand.New(rand.NewPCG(6, 6)) //nolint:gosec // the same points each time
	killed := 0
	for range n {
		if before, _ := s.Kill(time.Duration(points.IntN(300))*time.Millisecond, "build", "-q", "--no-cache", "--network", "none", "-t", "app", dir); before {
			killed++
		}
	}
	t.Logf("%d of %d builds were killed", killed, n)
	s.OK("build", "-q", "-t", "app", dir)
	harness.Equal(t, "the image after kills", inside(s, "app", "cat /n /f"), "30\nf")
}

func TestBuild_Interrupted(t *testing.T) {
	s, dir := begin(t, "FROM busybox\nRUN echo be''gun; sleep 1000\n")
	cmd := s.Command(context.Background(), s.Binary(), "build", "-t", "app", dir)
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	said := func() string {
		text, err := os.ReadFile(stderr.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.Eventually("the step runs", func() bool { return strings.Contains(said(), "begun") })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	harness.Equal(t, "exit code", cmd.ProcessState.ExitCode(), 130)
	if err == nil || !strings.Contains(said(), "context canceled") {
		t.Errorf("%v: %s", err, said())
	}
	harness.Equal(t, "images", s.OK("images", "-q", "app"), "")
}

// Builds at the same moment share the cache and do not disturb each other.
func TestBuild_SideBySide(t *testing.T) {
	s, dir := begin(t, "FROM busybox\nRUN echo 1 > /1\nRUN echo 2 > /2\nCOPY f /\n", "f", "f")
	ended := make(chan *harness.Result)
	for range 6 {
		go func() { ended <- s.Skiff("build", "-q", "-t", "app", dir) }()
	}
	for range 6 {
		if r := <-ended; r.Code != 0 {
			t.Errorf("exit code %d: %s", r.Code, r.Stderr)
		}
	}
	harness.Equal(t, "the image", inside(s, "app", "cat /1 /2 /f"), "1\n2\nf")
}
