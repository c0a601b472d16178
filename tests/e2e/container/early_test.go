package container_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// TestRun_StartsEarlyWhatTheLastRunSaid makes the link that the C entry follows
// say all kinds of things: run starts what it says, and uses it only when it is
// right.
func TestRun_StartsEarlyWhatTheLastRunSaid(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	run := func() { s.Skiff("run", "--rm", "--network", "none", img, "echo", "fine").Exits(0).Prints("fine") }
	run()
	cache := filepath.Join(s.Store(), "cache")
	link := filepath.Join(cache, "early")
	right, err := os.Readlink(link)
	if err != nil || !strings.HasPrefix(right, "stage-") {
		t.Fatalf("after a run the link says %q, %v", right, err)
	}
	run()

	name, hint, _ := strings.Cut(right, " ")
	// Any program will do that shows that it was started.
	s.Shell("cp $(command -v mkdir) " + cache + "/stage-other").Succeeds()
	for _, wrong := range []string{
		"stage-other started-early", "stage-gone " + hint, "stage-../../x " + hint, "stage-", " ", "nonsense",
		name, name + " ", name + " 0,false,false", name + " 6e020000,true,true", strings.Repeat("stage-x ", 200),
	} {
		s.Do(nil, "ln", "-sfn", wrong, link).Succeeds()
		run()
		if got, _ := os.Readlink(link); got != right {
			t.Errorf("%q was not mended: %q", wrong, got)
		}
	}
	s.Shell("rmdir started-early").Succeeds()

	// A stage that lacks its end is not used, and is put right.
	// The kernel lets nobody write to a program while the last run's still ends.
	s.Eventually("the last stage has ended", func() bool {
		return s.Shell("chmod u+w "+cache+"/"+name+" && truncate -s 4096 "+cache+"/"+name).Code == 0
	})
	run()
	s.Do(nil, "rm", filepath.Join(cache, name)).Succeeds()
	run()
	s.Skiff("run", "--rm", "--network", "none", "no.such/image:1", "true").Exits(125)
	s.Skiff("run", "--rm", "--network", "none", "--memory", "nonsense", img, "true").Exits(125)
}
