package durable_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"skiff/tests/harness"
)

// fullDisk is a way in which a disk takes nothing more.
type fullDisk struct {
	name string
	kind string // of file system
	// put puts the session's home on such a disk.
	put func(s *harness.Session)
	// fill is a line of sh that takes all that there is, and says so if it cannot;
	// empty gives it back.
	fill, empty string
	// words are the kernel's.
	words string
}

// bytesLeft takes all bytes, in pieces that become smaller.
const bytesLeft = `n=0; while dd if=/dev/zero of=filler$n bs=64k 2>/dev/null; do n=$((n+1)); done
	while dd if=/dev/zero of=tiny$n bs=1k 2>/dev/null; do n=$((n+1)); done; sync; ! echo more >more 2>/dev/null || test ! -s more`

func fullDisks(t *testing.T) []fullDisk {
	return []fullDisk{
		{
			"no bytes", "ext4", func(s *harness.Session) { s.Disk("ext4", 40) },
			bytesLeft, "rm -f filler* tiny* more", "no space left on device",
		},
		{
			"no inodes", "ext4", func(s *harness.Session) { s.Disk("ext4", 64, "-N", "800") },
			"mkdir -p full; cd full; n=0; while true 2>/dev/null >f$n; do n=$((n+1)); done; ! mkdir more 2>/dev/null",
			"rm -rf full", "no space left on device",
		},
		{
			// The one kind of quota that each kernel with the file system has. As with a
			// user's or a project's on others, the disk itself has room.
			"quota", "btrfs", func(s *harness.Session) {
				d := s.Disk("btrfs", 300)
				for _, line := range [][]string{{"quota", "enable", d.Path()}, {"qgroup", "limit", "32M", d.Path()}} {
					if out, err := exec.Command("btrfs", line...).CombinedOutput(); err != nil {
						t.Fatalf("btrfs %v: %v\n%s", line, err, out)
					}
				}
			},
			bytesLeft, "rm -f filler* tiny* more; sync", "disk quota exceeded",
		},
	}
}

// A full disk is emptied with skiff itself.
func TestFullDisk(t *testing.T) {
	for _, full := range fullDisks(t) {
		t.Run(full.name, func(t *testing.T) {
			harness.Requires(t, harness.Root, harness.CommandNamed("mkfs."+full.kind), harness.LoopDevices)
			s := harness.New(t)
			full.put(s)
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
			s.OK("run", "-d", "--name", "box", "--network", "none", base, "sleep", "1000")
			s.OK("volume", "create", "full")
			s.OK("network", "create", "full")
			fill := func() {
				t.Helper()
				s.Shell(full.fill).Exits(0)
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
			fill()
			s.Skiff("stop", "-t", "0", "box").Exits(0)
			s.Skiff("ps", "-a", "--format", "{{.Names}} {{.State}}").Exits(0).Prints("box exited")
			fill()
			s.Skiff("container", "prune", "-f").Exits(0)
			s.Skiff("ps", "-aq").Prints("")
			fill()
			s.Skiff("volume", "rm", "full").Exits(0)
			fill()
			s.Skiff("network", "rm", "full").Exits(0)
			fill()
			s.Skiff("rmi", base).Exits(0)
			s.Skiff("images", "-aq").Exits(0).Prints("")
			if left := s.Layers(); len(left) > 0 {
				t.Errorf("layers left: %v", left)
			}
			s.Shell(full.empty).Exits(0)
			s.Load(harness.BusyboxImage(t))
			s.Skiff("run", "--rm", "--network", "none", base, "echo", "again").Exits(0).Prints("again")
		})
	}
}

// A container that ends on a full disk has its exit code, and its policy.
func TestFullDisk_AnEndIsRecorded(t *testing.T) {
	for _, full := range fullDisks(t) {
		t.Run(full.name, func(t *testing.T) {
			harness.Requires(t, harness.Root, harness.CommandNamed("mkfs."+full.kind), harness.LoopDevices)
			s := harness.New(t)
			full.put(s)
			base := s.LoadBusybox()
			ends := func(code int) []string {
				return []string{base, "sh", "-c", fmt.Sprintf("trap 'exit %d' USR1; touch /run/ready; while :; do sleep 0.02; done", code)}
			}
			s.OK(append([]string{"run", "-d", "--name", "box", "--tmpfs", "/run", "--network", "none"}, ends(7)...)...)
			s.OK(append([]string{"run", "-d", "--name", "again", "--restart", "on-failure:2", "--stop-signal", "TERM", "--tmpfs", "/run", "--network", "none"}, ends(5)...)...)
			// Not by a line in the log: a full disk takes none.
			ready := func(name string) {
				t.Helper()
				s.Eventually(name+" listens to signals", func() bool {
					return s.Skiff("exec", name, "test", "-e", "/run/ready").Code == 0
				})
			}
			ready("box")
			ready("again")
			s.Shell(full.fill).Exits(0)
			s.OK("kill", "-s", "USR1", "box")
			s.Skiff("wait", "box").Exits(0).Prints("7")
			s.Skiff("ps", "-a", "--filter", "name=box", "--format", "{{.Status}}").Exits(0).PrintsMatch(`Exited \(7\) .*`)
			harness.Equal(t, "box", s.Inspect("box", "{{.State.Status}} {{.State.Pid}} {{.State.ExitCode}}"), "exited 0 7")
			for n := range 3 {
				ready("again")
				harness.Equal(t, "again", s.Inspect("again", "{{.State.Status}} {{.RestartCount}}"), fmt.Sprintf("running %d", n))
				s.OK("kill", "-s", "USR1", "again")
				s.Eventually("it has ended", func() bool {
					now := s.Inspect("again", "{{.State.Status}} {{.RestartCount}}")
					return now == fmt.Sprintf("running %d", n+1) || now == "exited 2"
				})
			}
			s.Skiff("wait", "again").Exits(0).Prints("5")
			harness.Equal(t, "again", s.Inspect("again", "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}"), "exited 5 2")
			s.Shell(full.empty).Exits(0)
			s.OK("start", "box")
			ready("box")
			s.Skiff("stop", "-t", "0", "box").Exits(0)
			if left, err := filepath.Glob(filepath.Join(s.Store(), "containers/*/state.spare")); len(left) > 0 || err != nil {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
}

// What does not fit fails with the kernel's words, and gives back what it took. That
// of bytes is told for each command elsewhere, too; here it is left to the long form.
func TestFullDisk_WhatFailsLeavesNothing(t *testing.T) {
	for _, full := range fullDisks(t) {
		if full.name == "no bytes" && os.Getenv("SKIFF_CRAFTED") != "all" {
			continue
		}
		t.Run(full.name, func(t *testing.T) {
			harness.Requires(t, harness.Root, harness.CommandNamed("mkfs."+full.kind), harness.CommandNamed("skopeo"), harness.LoopDevices)
			s := harness.New(t)
			i := harness.BusyboxImage(t)
			big := harness.Layer{harness.Dir("many"), harness.File("big", strings.Repeat("zero", 12<<20))}
			for n := range 800 {
				big = append(big, harness.File(fmt.Sprintf("many/%d", n), ""))
			}
			i.Layers = append(i.Layers, harness.Layer{harness.File("small", "x")}, big)
			remote := harness.NewRegistry(t).Push(t, i, "big:1")
			archive := i.OCIArchive(t, filepath.Join(s.Dir, "big.tar"))
			full.put(s)
			base := s.LoadBusybox()
			dir := filepath.Join(s.TempDir(), "context") // on another disk
			t.Cleanup(func() { os.RemoveAll(dir) })
			s.Shell("mkdir -p " + dir + "/many; cd " + dir + `; dd if=/dev/zero of=big bs=1M count=48 2>/dev/null
				n=0; while test $n -lt 800; do : >many/$n; n=$((n+1)); done
				echo FROM busybox >Dockerfile; echo COPY Dockerfile /d >>Dockerfile`).Exits(0)
			s.OK("build", "-q", "--network", "none", "-t", "app", dir)
			s.Shell("echo COPY many /many >>" + dir + "/Dockerfile; echo COPY big / >>" + dir + "/Dockerfile").Exits(0)
			s.Skiff("pull", "127.0.0.1:1/none").Exits(1) // makes what any pull makes
			// What the store has, but for what bounds itself and what a cache may keep.
			files := func() []string {
				return strings.Fields(s.Shell("cd .local/share/skiff; find . -type f ! -path './events/*' ! -name reserve ! -path './build/*' ! -path './cache/*'").Exits(0).Out())
			}
			before := files()
			for _, line := range [][]string{
				{"pull", "-q", remote},
				{"load", "-q", "-i", archive},
				{"build", "-q", "--network", "none", "-t", "app", dir},
				{"run", "--rm", "--network", "none", base, "sh", "-ec", "for n in $(seq 900); do : >/f$n; done; dd if=/dev/zero of=/big bs=1M count=48"},
			} {
				r := s.Skiff(line...)
				if r.Code == 0 || !strings.Contains(strings.ToLower(r.Stderr), full.words) {
					t.Errorf("%s: exit code %d, and not a word of %q\n%s", r.Line, r.Code, full.words, r.Stderr)
				}
				s.OK("ps", "-aq") // takes away what cannot go at once
				s.Alone()
				for _, name := range files() {
					if !slices.Contains(before, name) {
						t.Fatalf("%s: left %s", r.Line, name)
					}
				}
				if bytes, err := strconv.Atoi(s.Shell("du -sm .local/share/skiff | cut -f1").Exits(0).Out()); err != nil || bytes > 12 {
					t.Errorf("%s: the store has %d MB: %v", r.Line, bytes, err)
				}
			}
			s.Skiff("run", "--rm", "--network", "none", "app", "cat", "/d").Exits(0).Says("FROM busybox")
		})
	}
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
