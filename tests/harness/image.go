package harness

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// Layer is the tar entries of one image layer, base first.
type Layer []Entry

// Entry is one tar entry; a zero Typeflag means a regular file.
type Entry struct {
	tar.Header
	Content []byte
}

// File is a regular file.
func File(name, content string) Entry {
	return Entry{tar.Header{Name: name, Mode: 0o644}, []byte(content)}
}

// Program is an executable file.
func Program(name, content string) Entry {
	return Entry{tar.Header{Name: name, Mode: 0o755}, []byte(content)}
}

// Dir is a directory.
func Dir(name string) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}}
}

// Symlink is a symbolic link.
func Symlink(name, target string) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}}
}

// FIFO is a named pipe.
func FIFO(name string) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeFifo, Name: name, Mode: 0o644}}
}

// Tar returns the layer as a tar file.
func (l Layer) Tar(t *testing.T) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range l {
		h := e.Header
		h.Size = int64(len(e.Content))
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		h.ModTime = time.Unix(1_700_000_000, 0)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.Content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// Busybox is a root file system with a shell and the usual small programs. It
// needs Debian's busybox-static and skips the test without.
func Busybox(t *testing.T) Layer {
	t.Helper()
	Requires(t, BusyboxStatic)
	l, err := busybox()
	if err != nil {
		t.Fatal(err)
	}
	return append(Layer(nil), l...)
}

var busybox = sync.OnceValues(func() (Layer, error) {
	program, err := os.ReadFile(busyboxPath)
	if err != nil {
		return nil, err
	}
	applets, err := exec.Command(busyboxPath, "--list").Output()
	if err != nil {
		return nil, err
	}
	l := Layer{
		Dir("bin"), Dir("etc"), Dir("proc"), Dir("sys"), Dir("dev"), Dir("root"), Dir("home"), Dir("var"),
		{Header: tar.Header{Typeflag: tar.TypeDir, Name: "tmp", Mode: 0o1777}},
		Program("bin/busybox", string(program)),
		File("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nana:x:1000:1000:Ana:/home:/bin/sh\n"),
		File("etc/group", "root:x:0:\nana:x:1000:\naudio:x:29:ana\n"),
		File("etc/os-release", "ID=busybox\n"),
	}
	for name := range strings.FieldsSeq(string(applets)) {
		if name != "busybox" {
			l = append(l, Symlink("bin/"+name, "busybox"))
		}
	}
	return l, nil
})

// Image is an image to be written as an archive.
type Image struct {
	Layers []Layer
	Config map[string]any // the "config" object of the OCI image configuration
	Name   string         // a tag for the archive, may be empty
}

// BusyboxImage is the image that most tests load.
func BusyboxImage(t *testing.T) Image {
	t.Helper()
	return Image{
		Layers: []Layer{Busybox(t)},
		Name:   "busybox:latest",
		Config: map[string]any{
			"Cmd": []string{"sh"},
			"Env": []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		},
	}
}

// blobs of an image: its layers, plain, and its configuration.
func (i Image) blobs(t *testing.T) (config []byte, layers [][]byte) {
	t.Helper()
	diffIDs := []string{}
	for _, l := range i.Layers {
		data := l.Tar(t)
		layers = append(layers, data)
		diffIDs = append(diffIDs, digest(data))
	}
	return configOf(t, i.Config, diffIDs), layers
}

func configOf(t *testing.T, config map[string]any, diffIDs []string) []byte {
	t.Helper()
	return encode(t, map[string]any{
		"architecture": goruntime.GOARCH, "os": "linux", "created": "2023-11-14T22:13:20Z",
		"config": config,
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
}

// OCIArchive writes the image as an OCI layout in a tar file, layers gzipped.
func (i Image) OCIArchive(t *testing.T, path string) string {
	t.Helper()
	config, layers := i.blobs(t)
	return ociArchive(t, path, i.Name, config, layers)
}

// OCIArchiveOf is OCIArchive of an image whose only layer is a tar file.
func OCIArchiveOf(t *testing.T, tarball, path string, config map[string]any) string {
	t.Helper()
	layer, err := os.ReadFile(tarball)
	if err != nil {
		t.Fatal(err)
	}
	return ociArchive(t, path, "", configOf(t, config, []string{digest(layer)}), [][]byte{layer})
}

func ociArchive(t *testing.T, path, name string, config []byte, layers [][]byte) string {
	t.Helper()
	out := Layer{Dir("blobs"), Dir("blobs/sha256"), File("oci-layout", `{"imageLayoutVersion":"1.0.0"}`)}
	add := func(mediaType string, data []byte) map[string]any {
		out = append(out, File("blobs/sha256/"+digest(data)[len("sha256:"):], string(data)))
		return map[string]any{"mediaType": mediaType, "digest": digest(data), "size": len(data)}
	}
	descriptors := []any{}
	for _, l := range layers {
		descriptors = append(descriptors, add("application/vnd.oci.image.layer.v1.tar+gzip", Gzip(t, l)))
	}
	manifest := add("application/vnd.oci.image.manifest.v1+json", encode(t, map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": add("application/vnd.oci.image.config.v1+json", config),
		"layers": descriptors,
	}))
	if name != "" {
		manifest["annotations"] = map[string]string{
			"io.containerd.image.name":          name,
			"org.opencontainers.image.ref.name": name,
		}
	}
	out = append(out, File("index.json", string(encode(t, map[string]any{
		"schemaVersion": 2, "manifests": []any{manifest},
	}))))
	return writeArchive(t, path, out.Tar(t))
}

// DockerArchive writes the image as `docker save` of before its version 25.
func (i Image) DockerArchive(t *testing.T, path string) string {
	t.Helper()
	config, layers := i.blobs(t)
	configName := digest(config)[len("sha256:"):] + ".json"
	out := Layer{File(configName, string(config))}
	names := []string{}
	for _, l := range layers {
		name := digest(l)[len("sha256:"):] + "/layer.tar"
		out = append(out, Dir(filepath.Dir(name)), File(name, string(l)))
		names = append(names, name)
	}
	tags := []string{}
	if i.Name != "" {
		tags = append(tags, i.Name)
	}
	out = append(out, File("manifest.json", string(encode(t, []any{
		map[string]any{"Config": configName, "RepoTags": tags, "Layers": names},
	}))))
	return writeArchive(t, path, out.Tar(t))
}

func writeArchive(t *testing.T, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Gzip compresses data.
func Gzip(t *testing.T, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Load loads an image into the session's store and returns its name.
func (s *Session) Load(i Image) string {
	s.T.Helper()
	path := i.OCIArchive(s.T, filepath.Join(s.Dir, "load.tar"))
	s.OK("load", "-q", "-i", path)
	if err := os.Remove(path); err != nil {
		s.T.Fatal(err)
	}
	return strings.TrimSuffix(i.Name, ":latest")
}

// LoadBusybox loads the image that most tests run and returns its name.
func (s *Session) LoadBusybox() string {
	s.T.Helper()
	return s.Load(BusyboxImage(s.T))
}

// LoadPayload loads an image whose only file and entrypoint is /payload.
func (s *Session) LoadPayload() string {
	s.T.Helper()
	program, err := os.ReadFile(Payload(s.T))
	if err != nil {
		s.T.Fatal(err)
	}
	return s.Load(Image{
		Name:   "payload:latest",
		Layers: []Layer{{Program("payload", string(program))}},
		Config: map[string]any{"Entrypoint": []string{"/payload"}},
	})
}

// LoadWeb loads an image whose only file and entrypoint is /web, tests/payload/web.
func (s *Session) LoadWeb() string {
	s.T.Helper()
	path, err := web()
	if err != nil {
		s.T.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		s.T.Fatal(err)
	}
	return s.Load(Image{
		Name:   "web:latest",
		Layers: []Layer{{Program("web", string(program))}},
		Config: map[string]any{"Entrypoint": []string{"/web"}},
	})
}

// Digest is the sha256 digest of data, with its algorithm in front.
func Digest(data []byte) string { return digest(data) }
