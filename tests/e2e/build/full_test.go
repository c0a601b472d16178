package build_test

import (
	"strings"
	"testing"

	"skiff/tests/harness"
)

// A build that fills the disk says so, gives the room back and leaves the cache
// and the store whole.
func TestBuild_OnAFullDisk(t *testing.T) {
	harness.Requires(t, harness.Root, harness.CommandNamed("mkfs.ext4"), harness.LoopDevices)
	s := harness.New(t)
	s.Disk("ext4", 64)
	s.LoadBusybox()
	dir := s.TempDir() + "/c" // on another disk
	dockerfile := func(text string) {
		t.Helper()
		s.Do(strings.NewReader(text), "sh", "-c", "mkdir -p "+dir+" && cat > "+dir+"/Dockerfile").Exits(0)
	}
	free := func() string {
		return s.Shell("sync; df --output=avail -m . | tail -1").Exits(0).Out()
	}
	dockerfile("FROM busybox\nRUN echo kept > /kept\n")
	s.OK("build", "-q", "-t", "app", dir) // the network's files are there from now on
	dockerfile("FROM busybox\nRUN echo kept > /kept\nRUN dd if=/dev/zero of=/big bs=1M count=100\n")
	before := free()
	s.Skiff("build", "-t", "app", dir).Exits(1).Complains("No space left on device")
	harness.Equal(t, "room after a RUN that filled the disk", free(), before)

	s.Shell("dd if=/dev/urandom of=" + dir + "/most bs=1M count=60 2>/dev/null").Exits(0)
	before = free()
	dockerfile("FROM busybox\nRUN echo kept > /kept\nCOPY most /one\n")
	s.Skiff("build", "-t", "app", dir).Exits(1).Complains("no space left on device")
	harness.Equal(t, "room after a COPY that filled the disk", free(), before)

	dockerfile("FROM busybox\nRUN echo kept > /kept\n")
	s.OK("build", "-q", "-t", "app", dir)
	harness.Equal(t, "the next build", inside(s, "app", "cat /kept"), "kept")
	s.Shell("rm -r " + dir).Exits(0)
}
