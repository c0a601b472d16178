package image_test

import (
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"skiff/tests/harness"
)

// room is what the files below a directory take of the disk, in bytes.
func room(t *testing.T, dir string) (n int64) {
	t.Helper()
	harness.Walk(t, dir, func(_ string, info fs.FileInfo) error {
		n += info.Sys().(*syscall.Stat_t).Blocks * 512
		return nil
	})
	return n
}

// An archive has zeros where a sparse file has holes.
func TestSparseFilesStaySparse(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	const limit = 8 << 20
	look := func(of, image string) string {
		return of + s.Skiff("run", "--rm", "--network", "none", image, "sh", "-c", "stat -c '%n %s %a %u %Y' /large /bits && md5sum /large /bits").Exits(0).Stdout
	}
	s.OK("run", "--name", "c1", "--network", "none", image, "sh", "-c", `truncate -s 64M /large && echo end >>/large &&
		head -c 100000 /dev/urandom >/bits && truncate -s 24M /bits && head -c 3000000 /dev/urandom >>/bits && chown 7 /bits && chmod 640 /bits &&
		touch -d '2001-02-03 04:05:06' /large /bits`)
	before := room(t, s.Store())
	s.OK("commit", "c1", "sparse:1")
	if grown := room(t, s.Store()) - before; grown > limit {
		t.Errorf("commit: takes %d bytes", grown)
	}
	want := look("", "sparse:1")
	file := filepath.Join(s.Home(), "sparse.tar")
	s.OK("save", "-o", file, "sparse:1")
	s.OK("rmi", "sparse:1")
	s.OK("load", "-q", "-i", file)
	harness.Equal(t, "after load", look("", "sparse:1"), want)
	s.OK("export", "-o", file, "c1")
	s.OK("import", file, "flat:1")
	harness.Equal(t, "after import", look("", "flat:1"), want)
	if grown := room(t, s.Store()) - before; grown > 2*limit {
		t.Errorf("load and import: take %d bytes", grown)
	}
	// Through a registry.
	ref := harness.NewRegistry(t).Address + "/sparse:1"
	s.OK("tag", "sparse:1", ref)
	s.OK("push", "-q", ref)
	s.OK("rmi", "sparse:1", ref)
	before = room(t, s.Store())
	s.OK("pull", "-q", ref)
	if grown := room(t, s.Store()) - before; grown > limit {
		t.Errorf("pull: takes %d bytes", grown)
	}
	harness.Equal(t, "after pull", look("", ref), want)
	// cp, both ways.
	out := s.Mkdir("out")
	s.OK("cp", "c1:/large", out)
	if n := room(t, out); n > limit {
		t.Errorf("cp out of the container: takes %d bytes", n)
	}
	before = room(t, s.Store())
	s.OK("cp", filepath.Join(out, "large"), "c1:/again")
	if grown := room(t, s.Store()) - before; grown > limit {
		t.Errorf("cp into the container: takes %d bytes", grown)
	}
	s.OK("cp", "c1:/again", out)
	s.Shell("cmp " + filepath.Join(out, "again") + " " + filepath.Join(out, "large")).Exits(0)
}
