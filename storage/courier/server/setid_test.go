package server

import (
	"archive/tar"
	"bytes"
	"io"
	"maps"
	"testing"
)

func TestWithoutSetID(t *testing.T) {
	long := string(bytes.Repeat([]byte("long/"), 60)) + "name"
	headers := []*tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "su", Typeflag: tar.TypeReg, Mode: 0o4755, Size: 700, Uid: 3, Gid: 1 << 30},
		{Name: "mail", Typeflag: tar.TypeDir, Mode: 0o2775},
		{Name: "tmp", Typeflag: tar.TypeDir, Mode: 0o1777},
		{Name: long, Typeflag: tar.TypeReg, Mode: 0o6711, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b"}, Format: tar.FormatPAX},
		{Name: "link", Typeflag: tar.TypeSymlink, Linkname: long, Mode: 0o777},
		{Name: "again", Typeflag: tar.TypeLink, Linkname: "su", Mode: 0o4755},
		{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666},
	}
	var in bytes.Buffer
	w := tar.NewWriter(&in)
	for _, h := range headers {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	text := in.String()
	out := withoutSetID(&in)
	r := tar.NewReader(out)
	for _, want := range headers {
		got, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil || int64(len(data)) != want.Size {
			t.Errorf("%s: %d bytes, %v", want.Name, len(data), err)
		}
		if got.Name != want.Name || got.Mode != want.Mode&^0o6000 || got.Typeflag != want.Typeflag || got.Linkname != want.Linkname || got.Uid != want.Uid || got.Gid != want.Gid ||
			got.Devmajor != want.Devmajor || got.PAXRecords["SCHILY.xattr.user.a"] != want.PAXRecords["SCHILY.xattr.user.a"] {
			t.Errorf("got %+v of %+v, %v", got, want, maps.Keys(got.PAXRecords))
		}
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Error(err)
	}
	// One that is broken off is an error, not an end.
	if _, err := io.Copy(io.Discard, withoutSetID(bytes.NewReader([]byte(text[:1000])))); err == nil {
		t.Error("half an archive is whole")
	}
	if setIDRefused(t.TempDir()) {
		t.Error("refused here")
	}
}
