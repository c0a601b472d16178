package archive

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzUnpack unpacks any bytes beside a file and a directory that must stay as
// they are.
func FuzzUnpack(f *testing.F) {
	for _, list := range [][]tar.Header{
		{{Name: "a", Typeflag: tar.TypeReg, Mode: 0o644}},
		{{Name: "../victim", Typeflag: tar.TypeReg, Mode: 0o644}},
		{{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../outside"}, {Name: "l/x", Typeflag: tar.TypeReg}},
		{{Name: "l", Typeflag: tar.TypeLink, Linkname: "../victim"}, {Name: "l", Typeflag: tar.TypeReg}},
		{{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o7777}, {Name: "d/.wh.x", Typeflag: tar.TypeReg}},
		{{Name: "f", Typeflag: tar.TypeFifo}, {Name: "c", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for i := range list {
			if err := w.WriteHeader(&list[i]); err != nil {
				f.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "victim"), "untouched")
		write(t, filepath.Join(dir, "outside/file"), "untouched")
		if err := os.Mkdir(filepath.Join(dir, "in"), 0o755); err != nil {
			t.Fatal(err)
		}
		root, err := os.Open(filepath.Join(dir, "in"))
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		_ = Beneath(root).Unpack(bytes.NewReader(data), "/", false)
		for _, name := range []string{"victim", "outside/file"} {
			if got := read(t, filepath.Join(dir, name)); got != "untouched" {
				t.Errorf("%s is %q", name, got)
			}
		}
		for _, where := range []string{dir, filepath.Join(dir, "outside")} {
			if list, err := os.ReadDir(where); err != nil || len(list) != map[bool]int{true: 3, false: 1}[where == dir] {
				t.Errorf("%s: %v, %v", where, list, err)
			}
		}
	})
}
