package client

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"skiff/storage"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

func TestImport(t *testing.T) {
	st := newStore(t)
	archive := tarOf(map[string]string{"f": "imported"})
	want := message.Import{
		Reference: "docker.io/library/i:1", Message: "hi", Platform: "linux/arm64",
		Changes: []string{`CMD ["a"]`, "ENV K=v"},
	}
	result, err := Import(t.Context(), st, pipe(t, compress(archive)), want, nil)
	if err != nil {
		t.Fatal(err)
	}
	img, err := image.Resolve(st, "i:1")
	if err != nil {
		t.Fatal(err)
	}
	c := img.Config
	if img.ID != result.ID || c.Architecture != "arm64" || c.Comment != "hi" || !slices.Equal(c.Config.Cmd, []string{"a"}) || !slices.Equal(c.Config.Env, []string{"K=v"}) {
		t.Errorf("got %+v", c)
	}
	if !slices.Equal(c.RootFS.DiffIDs, []string{digestOf(archive)}) {
		t.Errorf("got %v, want the archive's digest", c.RootFS.DiffIDs)
	}
	if got := contents(t, st, "i:1", "f"); got != "imported" {
		t.Errorf("got %q", got)
	}
}

func TestImport_Refuses(t *testing.T) {
	for name, tt := range map[string]struct {
		archive []byte
		changes []string
	}{
		"no archive":       {archive: []byte(strings.Repeat("no tar", 500))},
		"a wrong change":   {archive: tarOf(nil), changes: []string{"RUN x"}},
		"a cut-off stream": {archive: compress(tarOf(map[string]string{"f": "x"}))[:60]},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStore(t)
			_, err := Import(t.Context(), st, pipe(t, tt.archive), message.Import{Changes: tt.changes}, nil)
			if !errors.Is(err, message.ErrInvalid) {
				t.Errorf("got %v, want %v", err, message.ErrInvalid)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("got more than a line: %q", err)
			}
		})
	}
}

// tarOfHeaders is an archive of entries without contents.
func tarOfHeaders(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func TestImport_LayerStaysInItsPlace(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	for name, headers := range map[string][]tar.Header{
		"through a link": {{Name: "link", Linkname: filepath.Dir(outside), Typeflag: tar.TypeSymlink}, {Name: "link/outside", Typeflag: tar.TypeReg}},
		"upwards":        {{Name: strings.Repeat("../", 20) + outside, Typeflag: tar.TypeReg}},
		"by a hard link": {{Name: "h", Linkname: "../../../../../../../../../../etc/passwd", Typeflag: tar.TypeLink}},
		"a whiteout":     {{Name: "link", Linkname: filepath.Dir(outside), Typeflag: tar.TypeSymlink}, {Name: "link/.wh.outside", Typeflag: tar.TypeReg}},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStore(t)
			// Refusing is as good as keeping it inside.
			_, err := Import(t.Context(), st, pipe(t, tarOfHeaders(t, headers...)), message.Import{}, nil)
			t.Log(err)
			if _, err := os.Lstat(outside); err == nil {
				t.Error("a layer wrote outside of itself")
			}
			if linked, _ := filepath.Glob(filepath.Join(st.Layers(), "*", "diff", "h")); len(linked) > 0 {
				t.Error("a layer linked a file of this machine")
			}
		})
	}
}

func TestImport_LayerCannotSteerOverlay(t *testing.T) {
	st := newStore(t)
	result, err := Import(t.Context(), st, pipe(t, tarOfHeaders(t, tar.Header{
		Name: "redirected", Typeflag: tar.TypeDir, Mode: 0o755,
		PAXRecords: map[string]string{"SCHILY.xattr.user.overlay.redirect": "/etc", "SCHILY.xattr.user.kept": "yes"},
	})), message.Import{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	img, err := image.Find(st, result.ID)
	if err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 100)
	n, err := unix.Llistxattr(filepath.Join(st.Layers(), img.Layers[0], "diff", "redirected"), buffer)
	if got := string(buffer[:n]); err != nil || got != "user.kept\x00" {
		t.Errorf("attributes: got %q %v, want user.kept alone", got, err)
	}
}

func TestTag_MovesTheName(t *testing.T) {
	st := newStore(t)
	a, b := importOne(t, st, "a"), importOne(t, st, "b")
	for _, id := range []string{a, b} {
		if err := Tag(t.Context(), st, message.Tag{ID: id, Reference: "docker.io/library/x:latest"}); err != nil {
			t.Fatal(err)
		}
	}
	if img, err := image.Find(st, "x"); err != nil || img.ID != b {
		t.Errorf("got %+v %v, want %s", img, err, b)
	}
	if err := Tag(t.Context(), st, message.Tag{ID: strings.Repeat("0", 64), Reference: "docker.io/library/x:latest"}); !errors.Is(err, message.ErrNotFound) {
		t.Errorf("absent image: got %v, want %v", err, message.ErrNotFound)
	}
}

// importOne makes an image without a name.
func importOne(t *testing.T, st *storage.Store, content string) string {
	t.Helper()
	result, err := Import(t.Context(), st, pipe(t, tarOf(map[string]string{"f": content})), message.Import{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return result.ID
}

func TestRemove(t *testing.T) {
	const a, b = "docker.io/library/a:1", "docker.io/library/b:1"
	digest := "docker.io/library/a@sha256:" + strings.Repeat("d", 64)
	stopped := message.User{ID: strings.Repeat("c", 64)}
	running := message.User{ID: strings.Repeat("r", 64), Running: true}
	tests := []struct {
		name     string
		names    []string
		want     message.Remove // without ID
		removed  []string       // ID and LAYER stand for the image's
		conflict string
		gone     bool
	}{
		{name: "last name", names: []string{a}, want: message.Remove{Reference: a}, removed: []string{a, "ID", "LAYER"}, gone: true},
		{name: "one of two names", names: []string{a, b}, want: message.Remove{Reference: a}, removed: []string{a}},
		{name: "digests go with the last tag", names: []string{a, digest}, want: message.Remove{Reference: a}, removed: []string{a, digest, "ID", "LAYER"}, gone: true},
		{name: "digest while the tag is there", names: []string{a, digest}, want: message.Remove{Reference: digest}, removed: []string{digest}},
		{name: "id with one name", names: []string{a, digest}, want: message.Remove{}, removed: []string{a, digest, "ID", "LAYER"}, gone: true},
		{name: "id without a name", want: message.Remove{}, removed: []string{"ID", "LAYER"}, gone: true},
		{name: "id with two names", names: []string{a, b}, want: message.Remove{}, conflict: "conflict: unable to delete SHORT (must be forced) - image is referenced in multiple repositories"},
		{name: "id with two names, forced", names: []string{a, b}, want: message.Remove{Force: true}, removed: []string{a, b, "ID", "LAYER"}, gone: true},
		{
			name: "name of a stopped container's image", names: []string{a}, want: message.Remove{Reference: a, Users: []message.User{stopped}},
			conflict: "conflict: unable to delete a:1 (must be forced) - container cccccccccccc is using its referenced image SHORT",
		},
		{name: "the same forced leaves the image", names: []string{a}, want: message.Remove{Reference: a, Users: []message.User{stopped}, Force: true}, removed: []string{a}},
		{name: "another name of it", names: []string{a, b}, want: message.Remove{Reference: a, Users: []message.User{running}}, removed: []string{a}},
		{
			name: "id of a stopped container's image", names: []string{a}, want: message.Remove{Users: []message.User{stopped}},
			conflict: "conflict: unable to delete SHORT (must be forced) - image is being used by stopped container cccccccccccc",
		},
		{name: "the same forced leaves the layers to the container", names: []string{a}, want: message.Remove{Users: []message.User{stopped}, Force: true}, removed: []string{a}},
		{
			name: "id of a nameless image, forced", want: message.Remove{Users: []message.User{stopped}, Force: true},
			conflict: "conflict: unable to delete SHORT (cannot be forced) - image is being used by stopped container cccccccccccc",
		},
		{
			name: "id of a running container's image, forced", names: []string{a}, want: message.Remove{Users: []message.User{running}, Force: true},
			conflict: "conflict: unable to delete SHORT (cannot be forced) - image is being used by running container rrrrrrrrrrrr",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := newStore(t)
			id := importOne(t, st, "x")
			img, err := image.Find(st, id)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range tt.names {
				if err := Tag(t.Context(), st, message.Tag{ID: id, Reference: n}); err != nil {
					t.Fatal(err)
				}
			}
			tt.want.ID = id
			removed, err := Remove(t.Context(), st, tt.want)
			words := strings.NewReplacer("SHORT", id[:12], "ID", "sha256:"+id, "LAYER", "sha256:"+img.Layers[0])
			if tt.conflict != "" {
				if !errors.Is(err, message.ErrInUse) || err.Error() != words.Replace(tt.conflict) {
					t.Errorf("got %v, want %s", err, words.Replace(tt.conflict))
				}
			} else if err != nil {
				t.Error(err)
			}
			var got, want []string
			for _, r := range removed {
				got = append(got, r.Untagged+r.Deleted)
			}
			for _, w := range tt.removed {
				want = append(want, words.Replace(w))
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			_, err = image.Find(st, id)
			if gone := errors.Is(err, image.ErrNotFound); gone != tt.gone {
				t.Errorf("gone: got %v (%v), want %v", gone, err, tt.gone)
			}
			if _, err := os.Stat(filepath.Join(st.Layers(), img.Layers[0])); tt.gone != errors.Is(err, os.ErrNotExist) {
				t.Errorf("layer: got %v, want gone %v", err, tt.gone)
			}
		})
	}
}
