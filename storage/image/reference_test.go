package image

import (
	"errors"
	"strings"
	"testing"

	"github.com/distribution/reference"
)

var hex64 = strings.Repeat("0123456789abcdef", 4)

var references = []string{
	"", "a", "alpine", "alpine:3.20", "alpine@sha256:" + hex64, "alpine:3@sha256:" + hex64, "library/alpine",
	"docker.io/alpine", "docker.io/library/alpine:x", "index.docker.io/alpine", "index.docker.io/u/app",
	"docker.io/library/a/b", "localhost/x", "localhost:5000/x:y", "127.0.0.1:5000/a/b/c:1", "[::1]:5000/x", "[::1]/x",
	"ghcr.io/Owner/x", "Alpine", "GHCR.io/x", "Foo/bar", "foo/Bar", "a_b.c/d", "A_B.c/d", "a__b", "a___b", "a--b", "a-_b", "a.b", "a..b",
	"-a", "a-", "a:", "a:-x", "a:.x", "a:" + strings.Repeat("t", 128), "a:" + strings.Repeat("t", 129),
	hex64, hex64[:63], "sha256:" + hex64, "a@sha256:" + hex64[:63], "a@sha256:" + strings.ToUpper(hex64), "a@md5:" + hex64[:32],
	"a@SHA256:" + hex64, "a@sha512:" + hex64 + hex64, "a@sha256:../../../etc/passwd", "../../y", "a/../b", "a//b", "/a", "a/", "a b", "a\x00b", "É", "é",
	"x:5000/y", "x:y/z", "x:/y", strings.Repeat("a", 256), strings.Repeat("a/", 127) + "a", "example.com:080/x", "a@", "a@@", "a:b:c", "[::1/x", "[x]/y",
	"a.b:c", "a.b/c@sha256+b64:" + hex64, "UPPER_x.y/z:tag",
}

func TestParseReference_AgreesWithDistribution(t *testing.T) {
	for _, s := range references {
		compareWithOracle(t, s)
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range references {
		f.Add(s)
	}
	f.Fuzz(compareWithOracle)
}

func compareWithOracle(t *testing.T, s string) {
	t.Helper()
	want, wantErr := reference.ParseNormalizedNamed(s)
	got, err := ParseReference(s)
	if wantErr != nil {
		if err == nil || err.Error() != wantErr.Error() || !errors.Is(err, ErrInvalidReference) {
			t.Errorf("%q: got error %v, want %v", s, err, wantErr)
		}
		return
	}
	if err != nil {
		t.Errorf("%q: %v", s, err)
		return
	}
	if got.String() != want.String() {
		t.Errorf("%q: got %q, want %q", s, got, want)
	}
	if got, want := got.Familiar(), reference.FamiliarString(want); got != want {
		t.Errorf("familiar %q: got %q, want %q", s, got, want)
	}
	if got, want := got.Domain, reference.Domain(want); got != want {
		t.Errorf("domain of %q: got %q, want %q", s, got, want)
	}
	if got, want := got.WithDefaultTag().String(), reference.TagNameOnly(want).String(); got != want {
		t.Errorf("default tag of %q: got %q, want %q", s, got, want)
	}
}
