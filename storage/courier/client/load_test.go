package client

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"skiff/storage"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// configFor is an image configuration for layers.
func configFor(t *testing.T, layers ...[]byte) string {
	t.Helper()
	ids := []string{}
	for _, l := range layers {
		ids = append(ids, digestOf(l))
	}
	data, err := json.Marshal(map[string]any{"architecture": "amd64", "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": ids}})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// dockerArchive is what `docker save` writes: two images with a common layer.
func dockerArchive(t *testing.T) map[string]string {
	t.Helper()
	base, top := tarOf(map[string]string{"f": "base"}), tarOf(map[string]string{"f": "top"})
	return map[string]string{
		"base/layer.tar": string(base),
		"top.tar":        string(compress(top)),
		"one.json":       configFor(t, base),
		"two.json":       configFor(t, base, top),
		"manifest.json": `[{"Config":"one.json","RepoTags":["one:1","u/one:latest"],"Layers":["base/layer.tar"]},
			{"Config":"two.json","RepoTags":null,"Layers":["base/layer.tar","top.tar"]}]`,
	}
}

// ociArchive is an OCI layout of one image.
func ociArchive(t *testing.T, annotations map[string]string) map[string]string {
	t.Helper()
	layer := tarOf(map[string]string{"f": "oci"})
	files := map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`}
	add := func(content string) (digest string, size int) {
		d := digestOf([]byte(content))
		files["blobs/sha256/"+strings.TrimPrefix(d, "sha256:")] = content
		return d, len(content)
	}
	marshal := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	layerDigest, layerSize := add(string(compress(layer)))
	configDigest, configSize := add(configFor(t, layer))
	manifest, size := add(marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": map[string]any{"mediaType": configType, "digest": configDigest, "size": configSize},
		"layers": []any{map[string]any{"mediaType": layerType, "digest": layerDigest, "size": layerSize}},
	}))
	files["index.json"] = marshal(map[string]any{
		"schemaVersion": 2,
		"manifests":     []any{map[string]any{"mediaType": manifestType, "digest": manifest, "size": size, "annotations": annotations}},
	})
	return files
}

// file puts data where the courier can read it.
func file(t *testing.T, data []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// pipe lets the courier read data from a pipe.
func pipe(t *testing.T, data []byte) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		// The reader may end early, on bad archives.
		_, _ = w.Write(data)
		w.Close()
	}()
	t.Cleanup(func() { r.Close() })
	return r
}

func load(t *testing.T, st *storage.Store, archive *os.File) ([]message.Loaded, error) {
	t.Helper()
	result, err := Load(t.Context(), st, archive, message.Load{}, nil)
	return result.Loaded, err
}

func TestLoad_DockerArchive(t *testing.T) {
	archive := tarOf(dockerArchive(t))
	for name, input := range map[string]func() *os.File{
		"file":            func() *os.File { return file(t, archive) },
		"compressed file": func() *os.File { return file(t, compress(archive)) },
		"pipe":            func() *os.File { return pipe(t, archive) },
		"compressed pipe": func() *os.File { return pipe(t, compress(archive)) },
	} {
		t.Run(name, func(t *testing.T) {
			st := newStore(t)
			loaded, err := load(t, st, input())
			if err != nil {
				t.Fatal(err)
			}
			if len(loaded) != 2 || !slices.Equal(loaded[0].Names, []string{"docker.io/library/one:1", "docker.io/u/one:latest"}) || loaded[1].Names != nil {
				t.Fatalf("got %+v", loaded)
			}
			if got := contents(t, st, "u/one", "f"); got != "base" {
				t.Errorf("first image: got %q, want base", got)
			}
			if got := contents(t, st, loaded[1].ID, "f"); got != "top" {
				t.Errorf("second image: got %q, want top", got)
			}
		})
	}
}

func TestLoad_OCIArchive(t *testing.T) {
	tests := []struct {
		name        string
		annotations map[string]string
		want        []string
	}{
		{"containerd's name", map[string]string{"io.containerd.image.name": "docker.io/library/x:1", "org.opencontainers.image.ref.name": "1"}, []string{"docker.io/library/x:1"}},
		{"whole name", map[string]string{"org.opencontainers.image.ref.name": "u/x:2"}, []string{"docker.io/u/x:2"}},
		{"a tag alone is no name", map[string]string{"org.opencontainers.image.ref.name": "latest"}, nil},
		{"no name", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := newStore(t)
			loaded, err := load(t, st, file(t, tarOf(ociArchive(t, tt.annotations))))
			if err != nil || len(loaded) != 1 || !slices.Equal(loaded[0].Names, tt.want) {
				t.Fatalf("got %+v %v, want %v", loaded, err, tt.want)
			}
			if got := contents(t, st, loaded[0].ID, "f"); got != "oci" {
				t.Errorf("got %q, want oci", got)
			}
		})
	}
}

func TestLoad_BothLayouts(t *testing.T) {
	st := newStore(t)
	both := ociArchive(t, nil)
	maps.Copy(both, dockerArchive(t))
	loaded, err := load(t, st, file(t, tarOf(both)))
	if err != nil || len(loaded) != 2 {
		t.Fatalf("got %+v %v, want the two images of manifest.json", loaded, err)
	}
}

func TestLoad_FollowsLinksWithinTheArchiveOnly(t *testing.T) {
	layer := tarOf(map[string]string{"f": "linked"})
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, h := range []struct {
		name, link, content string
		kind                byte
	}{
		{"a/layer.tar", "", string(layer), tar.TypeReg},
		{"b/layer.tar", "../a/layer.tar", "", tar.TypeSymlink},
		{"c.json", "", configFor(t, layer), tar.TypeReg},
		{"manifest.json", "", `[{"Config":"c.json","RepoTags":["x:1"],"Layers":["b/layer.tar"]}]`, tar.TypeReg},
	} {
		if err := w.WriteHeader(&tar.Header{Name: h.name, Linkname: h.link, Typeflag: h.kind, Size: int64(len(h.content)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(h.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	st := newStore(t)
	if _, err := load(t, st, file(t, buffer.Bytes())); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, st, "x:1", "f"); got != "linked" {
		t.Errorf("got %q, want linked", got)
	}
}

func TestLoad_Refuses(t *testing.T) {
	good := dockerArchive(t)
	with := func(name, content string) []byte {
		files := maps.Clone(good)
		files[name] = content
		return tarOf(files)
	}
	without := func(name string) []byte {
		files := maps.Clone(good)
		delete(files, name)
		return tarOf(files)
	}
	oci := ociArchive(t, nil)
	for name := range oci {
		if strings.HasPrefix(name, "blobs/") {
			oci[name] += " " // every digest is wrong
		}
	}
	whole := tarOf(good)
	for name, archive := range map[string][]byte{
		"nothing":                         nil,
		"no archive":                      []byte(strings.Repeat("no tar", 500)),
		"an archive of something else":    tarOf(map[string]string{"x": "y"}),
		"an archive that ends early":      whole[:len(whole)/2],
		"a compressed one that ends":      compress(whole)[:200],
		"a missing layer":                 without("base/layer.tar"),
		"a missing configuration":         without("one.json"),
		"a layer of other contents":       with("base/layer.tar", string(tarOf(map[string]string{"f": "evil"}))),
		"a configuration that is a path":  with("manifest.json", `[{"Config":"../../../etc/passwd","Layers":[]}]`),
		"a layer that is a path":          with("manifest.json", `[{"Config":"one.json","RepoTags":[],"Layers":["/etc/passwd"]}]`),
		"a tag with a path":               with("manifest.json", `[{"Config":"one.json","RepoTags":["../../y"],"Layers":["base/layer.tar"]}]`),
		"a manifest that is no JSON":      with("manifest.json", `[{`),
		"a configuration with few layers": with("one.json", configFor(t)),
		"blobs of wrong digests":          tarOf(oci),
	} {
		t.Run(name, func(t *testing.T) {
			st := newStore(t)
			_, err := load(t, st, pipe(t, archive))
			if !errors.Is(err, message.ErrInvalid) {
				t.Errorf("got %v, want %v", err, message.ErrInvalid)
			}
			if images, err := image.List(st); err != nil || len(images) != 0 {
				t.Errorf("images: got %v %v, want none", images, err)
			}
		})
	}
}

func TestLoad_SaysWhatLosesItsName(t *testing.T) {
	st := newStore(t)
	one := tarOf(map[string]string{"f": "old"})
	old := tarOf(map[string]string{"l": string(one), "c": configFor(t, one), "manifest.json": `[{"Config":"c","RepoTags":["one:1"],"Layers":["l"]}]`})
	if _, err := load(t, st, file(t, old)); err != nil {
		t.Fatal(err)
	}
	var notes []string
	_, err := Load(t.Context(), st, file(t, tarOf(dockerArchive(t))), message.Load{}, func(e message.Event) {
		if e.Kind == message.Note {
			notes = append(notes, e.Text)
		}
	})
	want := "The image one:1 already exists, renaming the old one with ID " + digestOf([]byte(configFor(t, one))) + " to empty string"
	if err != nil || !slices.Equal(notes, []string{want}) {
		t.Errorf("got %q %v, want %q", notes, err, want)
	}
}
