package durable_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skiff/tests/harness"
)

// A full disk is emptied with skiff itself.
func TestFullDisk(t *testing.T) {
	harness.Requires(t, harness.Root, harness.CommandNamed("mkfs.ext4"), harness.LoopDevices)
	s := harness.New(t)
	s.Disk("ext4", 64)
	base := s.LoadBusybox()
	i := noise(t, 3)
	for range 2 { // the first one loses its name
		i.Layers = i.Layers[1:]
		i.Layers = append([]harness.Layer{harness.Busybox(t)}, i.Layers[1:]...)
		i.Config["Labels"] = map[string]string{"n": strings.Repeat("x", len(i.Layers))}
		s.Load(i)
	}
	s.OK("tag", name, "other:1")
	s.OK("run", "--name", "full", "--network", "none", base, "true")
	fill := func() {
		t.Helper()
		s.Shell(`n=0; while dd if=/dev/zero of=filler$n bs=64k 2>/dev/null; do n=$((n+1)); done
			while dd if=/dev/zero of=tiny$n bs=1k 2>/dev/null; do n=$((n+1)); done; sync; ! echo more >more 2>/dev/null || test ! -s more`).Exits(0)
	}
	fill()
	s.Skiff("images", "-a").Exits(0).Says("noise")
	s.Skiff("ps", "-a").Exits(0).Says("full")
	s.Skiff("system", "df").Exits(0).Says("Images          3 ")
	s.Skiff("history", base).Exits(0)
	s.Skiff("rmi", "other:1").Exits(0).Prints("Untagged: other:1")
	fill()
	s.Skiff("image", "prune", "-f").Exits(0).Says("Deleted Images:\n")
	fill()
	s.Skiff("rmi", name).Exits(0).Says("Untagged: " + name).Says("Deleted: ")
	fill()
	s.Skiff("rm", "full").Exits(0)
	s.Skiff("ps", "-aq").Prints("")
	fill()
	s.Skiff("rmi", base).Exits(0)
	s.Skiff("images", "-aq").Exits(0).Prints("")
	if left := s.Layers(); len(left) > 0 {
		t.Errorf("layers left: %v", left)
	}
	s.Shell("rm -f filler* tiny* more").Exits(0)
	s.Load(harness.BusyboxImage(t))
	s.Skiff("run", "--rm", "--network", "none", base, "echo", "again").Exits(0).Prints("again")
}

// G22: an image may have as many layers as the kernel takes; one more is refused in
// words. Without SKIFF_CRAFTED=all it has fewer, because each is put in place.
func TestLayers_AsManyAsTheKernelTakes(t *testing.T) {
	s := harness.New(t)
	count := 40
	if os.Getenv("SKIFF_CRAFTED") == "all" {
		count = 500
	}
	deep := func(n int) harness.Image {
		i := harness.BusyboxImage(t)
		i.Name = "deep:latest"
		for len(i.Layers) < n {
			i.Layers = append(i.Layers, harness.Layer{harness.File(fmt.Sprintf("layer%d", len(i.Layers)), "x")})
		}
		return i
	}
	path := deep(count).OCIArchive(t, filepath.Join(s.Dir, "deep.tar"))
	s.Within(5*time.Minute, "load", "-q", "-i", path).Succeeds()
	s.Skiff("run", "--rm", "--network", "none", "deep", "sh", "-c", "ls -d /layer* | wc -l; hostname >/dev/null && cat /etc/hosts | grep -c localhost").
		Exits(0).PrintsMatch(fmt.Sprintf("%d\n[12]", count-1))
	s.Skiff("system", "check", "--quick").Exits(0)
	path = deep(501).OCIArchive(t, path)
	s.Skiff("load", "-q", "-i", path).Exits(1).Complains("image has 501 layers; overlay takes at most 500")
}
