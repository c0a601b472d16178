package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func openDir(t *testing.T, path string) *os.File {
	t.Helper()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), path)
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t *testing.T, path, contents string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(contents), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestPlan(t *testing.T) {
	file, dir, none := Info{Exists: true}, Info{Exists: true, Dir: true}, Info{}
	cases := []struct {
		source string
		from   Info
		dest   string
		to     Info
		want   Placement
		err    error
	}{
		{"/a/f", file, "/d", dir, Placement{"/d", "f"}, nil},
		{"/a/f", file, "/d/g", file, Placement{"/d", "g"}, nil},
		{"/a/f", file, "/d/g", none, Placement{"/d", "g"}, nil},
		{"/a/f", file, "/d/g/", none, Placement{}, ErrDirNotExists},
		{"/a/f", file, "/d/g/", file, Placement{}, ErrNotDirectory},
		{"/a/f/", file, "/d", dir, Placement{}, ErrNotDirectory},
		{"/a/s", dir, "/d", dir, Placement{"/d", "s"}, nil},
		{"/a/s/", dir, "/d/", dir, Placement{"/d", "s"}, nil},
		{"/a/s/.", dir, "/d", dir, Placement{"/d", "."}, nil},
		{"/", dir, "/d", dir, Placement{"/d", "."}, nil},
		{"/a/s", dir, "/d/new", none, Placement{"/d", "new"}, nil},
		{"/a/s/.", dir, "/d/new/", none, Placement{"/d", "new"}, nil},
		{"/a/s", dir, "/d/f", file, Placement{}, ErrCannotCopyDir},
	}
	for _, c := range cases {
		got, err := Plan(c.source, c.from, c.dest, c.to)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s to %s: %+v, %v; want %+v, %v", c.source, c.dest, got, err, c.want, c.err)
		}
	}
}

func TestPackUnpack_RoundTrip(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	write(t, from+"/src/a", "alpha")
	write(t, from+"/src/sub/b", "beta")
	if err := os.Symlink("/src/a", from+"/src/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(from+"/src/a", from+"/src/hard"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(from+"/src/sub", 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(from+"/src/sub", 0o755); os.Chmod(to+"/dst/sub", 0o755) })
	old := time.Unix(1000, 0)
	if err := os.Chtimes(from+"/src/a", old, old); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := InRoot(openDir(t, from)).Pack(&b, "/src", "dst", false); err != nil {
		t.Fatal(err)
	}
	if err := Beneath(openDir(t, to)).Unpack(&b, "/", false); err != nil {
		t.Fatal(err)
	}
	if read(t, to+"/dst/a") != "alpha" || read(t, to+"/dst/sub/b") != "beta" {
		t.Error("contents differ")
	}
	if link, _ := os.Readlink(to + "/dst/link"); link != "/src/a" {
		t.Errorf("link %q", link)
	}
	a, _ := os.Stat(to + "/dst/a")
	hard, _ := os.Stat(to + "/dst/hard")
	sub, _ := os.Stat(to + "/dst/sub")
	if !os.SameFile(a, hard) || !a.ModTime().Equal(old) || sub.Mode().Perm() != 0o555 {
		t.Errorf("hard link, time or mode lost: %v %v", a.ModTime(), sub.Mode())
	}
}

// hostile makes a root whose links point out of it, and a secret outside.
func hostile(t *testing.T) (root, outside string) {
	root, outside = t.TempDir(), t.TempDir()
	write(t, outside+"/secret", "classified")
	for link, target := range map[string]string{
		"abs": outside, "up": strings.Repeat("../", 40) + outside, "file": outside + "/secret", "magic": "/proc/self/root",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	return root, outside
}

func TestPack_CannotReadOutside(t *testing.T) {
	root, outside := hostile(t)
	tree := InRoot(openDir(t, root))
	for _, name := range []string{"abs/secret", "up/secret", "file", "magic" + outside + "/secret", "../" + outside + "/secret"} {
		for _, follow := range []bool{true, false} {
			var b bytes.Buffer
			err := tree.Pack(&b, name, "x", follow)
			if bytes.Contains(b.Bytes(), []byte("classified")) || err == nil && follow {
				t.Errorf("%s (follow %v) got out: %v", name, follow, err)
			}
		}
	}
}

func TestUnpack_CannotWriteOutside(t *testing.T) {
	names := []string{"abs/new", "up/new", "magic/tmp/new", "../../new", "/new", "a/../../new"}
	for _, kind := range []func(*os.File) Tree{InRoot, Beneath} {
		for _, name := range names {
			root, outside := hostile(t)
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: 1}); err != nil {
				t.Fatal(err)
			}
			io.WriteString(w, "x")
			w.Close()
			// Whether it is refused or lands inside does not matter.
			_ = kind(openDir(t, root)).Unpack(&b, "/", false)
			if entries, _ := os.ReadDir(outside); len(entries) != 1 || read(t, outside+"/secret") != "classified" {
				t.Errorf("%s got out", name)
			}
			if _, err := os.Lstat("/tmp/new"); err == nil {
				t.Errorf("%s got to /tmp", name)
			}
		}
	}
}

func TestUnpack_HardLinkCannotReachOutside(t *testing.T) {
	root, outside := hostile(t)
	for _, target := range []string{"abs/secret", "../" + outside + "/secret", outside + "/secret"} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&tar.Header{Name: "stolen", Typeflag: tar.TypeLink, Linkname: target}); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if err := Beneath(openDir(t, root)).Unpack(&b, "/", false); err == nil {
			t.Errorf("a link to %s was made", target)
		}
	}
}

func TestUnpack_KeepsKinds(t *testing.T) {
	to := t.TempDir()
	write(t, to+"/file", "")
	write(t, to+"/dir/x", "")
	for name, kind := range map[string]byte{"dir": tar.TypeReg, "file/": tar.TypeDir} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: kind, Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if err := Beneath(openDir(t, to)).Unpack(&b, "/", false); err == nil || !strings.HasPrefix(err.Error(), "cannot overwrite ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
