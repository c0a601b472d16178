package contents

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tree makes a layer's directory: "d/" is a directory, "d/!" makes d opaque,
// "-f" marks f as removed, "f=text" is a file.
func tree(t *testing.T, entries ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, e := range entries {
		name, text, _ := strings.Cut(e, "=")
		dir, base := filepath.Split(filepath.Join(root, strings.TrimPrefix(name, "-")))
		if strings.HasPrefix(name, "-") {
			base = whiteoutPrefix + base
		}
		path := filepath.Join(dir, base)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case base == "!":
			if err = unix.Lsetxattr(dir, opaqueNames[0], []byte("y"), 0); err != nil {
				err = os.WriteFile(filepath.Join(dir, opaqueMark), nil, 0o644)
			}
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// All of the same age, so that only what differs differs.
	old := time.Unix(1000, 0)
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, old, old)
	})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func lines(changes []Change) string {
	var all []string
	for _, c := range changes {
		all = append(all, fmt.Sprintf("%c %s", c.Kind, c.Path))
	}
	return strings.Join(all, "\n")
}

// members lists a tar stream as names, a file's contents behind.
func members(t *testing.T, stream []byte) []string {
	t.Helper()
	all := []string{}
	for r := tar.NewReader(bytes.NewReader(stream)); ; {
		h, err := r.Next()
		if err == io.EOF {
			slices.Sort(all)
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		name := h.Name
		if len(data) > 0 {
			name += "=" + string(data)
		}
		if h.Typeflag == tar.TypeLink {
			name += " -> " + h.Linkname
		}
		all = append(all, name)
	}
}

func TestRoot(t *testing.T) {
	cases := []struct {
		name    string
		upper   []string
		lower   [][]string // topmost first
		changes string
		layer   []string
		export  []string
	}{
		{
			"nothing was changed", nil, [][]string{{"a=1"}}, "", nil, []string{"a=1"},
		},
		{
			"a file is added, changed and removed",
			[]string{"d/new=n", "d/old=xy", "-d/gone"},
			[][]string{{"d/old=x", "d/gone=g"}},
			"C /d\nD /d/gone\nA /d/new\nC /d/old",
			[]string{"d/", "d/.wh.gone", "d/new=n", "d/old=xy"},
			[]string{"d/", "d/new=n", "d/old=xy"},
		},
		{
			"a copy that is the same is no change, but is in the layer",
			[]string{"d/same=s"},
			[][]string{{"d/same=s"}},
			"",
			[]string{"d/", "d/same=s"},
			[]string{"d/", "d/same=s"},
		},
		{
			"an opaque directory hides what was in it",
			[]string{"d/!", "d/new=n", "d/sub/kept=k"},
			[][]string{{"d/a=1", "d/b/c=2", "d/sub/kept=k", "d/sub/lost=l"}},
			"C /d\nD /d/a\nD /d/b\nA /d/new\nC /d/sub\nD /d/sub/lost",
			[]string{"d/", "d/.wh..wh..opq", "d/new=n", "d/sub/", "d/sub/kept=k"},
			[]string{"d/", "d/new=n", "d/sub/", "d/sub/kept=k"},
		},
		{
			"a new directory needs no mark though overlay makes it opaque",
			[]string{"d/!", "d/f=1"},
			[][]string{{"a=1"}},
			"A /d\nA /d/f",
			[]string{"d/", "d/f=1"},
			[]string{"a=1", "d/", "d/f=1"},
		},
		{
			"layers below hide each other",
			[]string{"d/x=x"},
			[][]string{{"-d/a", "e/!", "e/n=n"}, {"d/a=1", "d/b=2", "e/o=o", "f=f"}},
			"C /d\nA /d/x",
			[]string{"d/", "d/x=x"},
			[]string{"d/", "d/b=2", "d/x=x", "e/", "e/n=n", "f=f"},
		},
		{
			"a mark over nothing is nothing",
			[]string{"-d/a", "-b"},
			[][]string{{"-d/a", "d/k=k"}, {"d/a=1"}},
			"",
			[]string{"d/"},
			[]string{"d/", "d/k=k"},
		},
		{
			"a directory becomes a file, a file a directory",
			[]string{"d=file", "f/in=i"},
			[][]string{{"d/a=1", "f=was"}},
			"C /d\nC /f\nA /f/in",
			[]string{"d=file", "f/", "f/in=i"},
			[]string{"d=file", "f/", "f/in=i"},
		},
		{
			"mount points of ours are no change",
			[]string{"proc/", "sys/", "dev/", "etc/hosts=", "etc/resolv.conf="},
			[][]string{{"a=1"}},
			"", nil,
			[]string{"a=1", "dev/", "etc/", "etc/hosts", "etc/resolv.conf", "proc/", "sys/"},
		},
		{
			"what a user writes beside them is",
			[]string{"etc/hosts=", "etc/mine=m"},
			[][]string{{"a=1"}},
			"A /etc\nA /etc/mine",
			[]string{"etc/", "etc/mine=m"},
			[]string{"a=1", "etc/", "etc/hosts", "etc/mine=m"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var lower []string
			for _, l := range c.lower {
				lower = append(lower, tree(t, l...))
			}
			root := Open(tree(t, c.upper...), lower)
			changes, err := root.Changes()
			if err != nil {
				t.Fatal(err)
			}
			if got := lines(changes); got != c.changes {
				t.Errorf("changes:\n%s\nwant:\n%s", got, c.changes)
			}
			var layer, export bytes.Buffer
			n, err := root.PackLayer(&layer)
			if err != nil {
				t.Fatal(err)
			}
			if got := members(t, layer.Bytes()); !slices.Equal(got, c.layer) || n != len(got) {
				t.Errorf("layer: %q (%d entries), want %q", got, n, c.layer)
			}
			if err := root.Export(&export); err != nil {
				t.Fatal(err)
			}
			if got := members(t, export.Bytes()); !slices.Equal(got, c.export) {
				t.Errorf("export: %q, want %q", got, c.export)
			}
		})
	}
}

// The owner of the layer may put links where directories were.
func TestRoot_DoesNotFollowLinks(t *testing.T) {
	outside := tree(t, "secret=classified")
	upper, lower := tree(t, "d/"), tree(t, "d/x=1")
	if err := os.Symlink(outside, filepath.Join(upper, "out")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(lower, "low")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(upper, "low"), 0o755); err != nil {
		t.Fatal(err)
	}
	root := Open(upper, []string{lower})
	var b bytes.Buffer
	if err := root.Export(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := root.PackLayer(&b); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b.Bytes(), []byte("classified")) {
		t.Error("a link was followed")
	}
}

// What a file is besides its contents goes with it.
func TestPackLayer_KeepsWhatAFileIs(t *testing.T) {
	upper := t.TempDir()
	odd := "ödd\n\x01 name\xff"
	if err := os.WriteFile(filepath.Join(upper, odd), []byte("o"), 0o4751); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(upper, odd), 0o4751&0o777|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(upper, odd), filepath.Join(upper, "second")); err != nil {
		t.Fatal(err)
	}
	when := time.Unix(1234567890, 123456789)
	if err := os.Chtimes(filepath.Join(upper, odd), when, when); err != nil {
		t.Fatal(err)
	}
	hasXattr := unix.Lsetxattr(filepath.Join(upper, odd), "user.colour", []byte("red\x00\n"), 0) == nil
	if hasXattr {
		if err := unix.Lsetxattr(filepath.Join(upper, odd), "user.overlay.origin", []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := Open(upper, nil).PackLayer(&b); err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(&b)
	first, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	// Names are sorted, bytes above ASCII last.
	if first.Name != "second" || first.Mode != 0o4751 || !first.ModTime.Equal(when) {
		t.Errorf("%q mode %o, time %v", first.Name, first.Mode, first.ModTime)
	}
	if hasXattr && (first.PAXRecords["SCHILY.xattr.user.colour"] != "red\x00\n" || first.PAXRecords["SCHILY.xattr.user.overlay.origin"] != "") {
		t.Errorf("attributes %q", first.PAXRecords)
	}
	second, err := r.Next()
	if err != nil || second.Name != odd || second.Typeflag != tar.TypeLink || second.Linkname != "second" {
		t.Errorf("hard link %+v, %v", second, err)
	}
}
