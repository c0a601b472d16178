package server

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"

	"github.com/vbatts/tar-split/tar/asm"
	tarsplit "github.com/vbatts/tar-split/tar/storage"
)

func TestTarWatch_CountsWhatDockerCounts(t *testing.T) {
	for _, tt := range []struct {
		name string
		h    tar.Header
		want int64
	}{
		{"a file", tar.Header{Typeflag: tar.TypeReg, Name: "f", Size: 700}, 700},
		{"a directory", tar.Header{Typeflag: tar.TypeDir, Name: "d/"}, 0},
		{"a symbolic link", tar.Header{Typeflag: tar.TypeSymlink, Name: "s", Linkname: "busybox"}, 7},
		{"one as long as the field", tar.Header{Typeflag: tar.TypeSymlink, Name: "s", Linkname: strings.Repeat("x", 100)}, 100},
		{"one in a record of its own", tar.Header{Typeflag: tar.TypeSymlink, Name: "s", Linkname: strings.Repeat("x", 300)}, 300},
		{"a hard link", tar.Header{Typeflag: tar.TypeLink, Name: "h", Linkname: "f"}, 0},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		// With something before and behind it.
		for _, h := range []tar.Header{{Typeflag: tar.TypeReg, Name: "before", Size: 3}, tt.h, {Typeflag: tar.TypeReg, Name: "behind", Size: 5}} {
			h.Mode = 0o644
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(make([]byte, h.Size)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		watch := &tarWatch{Packer: tarsplit.NewJSONPacker(&bytes.Buffer{})}
		stream, done, err := asm.NewInputTarStreamWithDone(&b, watch, &holes{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := new(bytes.Buffer).ReadFrom(stream); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := watch.size - 8; got != tt.want {
			t.Errorf("%s: %d bytes, want %d", tt.name, got, tt.want)
		}
	}
}
