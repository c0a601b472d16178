package hostile_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"skiff/tests/harness"
)

// escapes are layers that try to write, link or delete outside of their root;
// H is the canary.
func escapes(h string) map[string][]harness.Layer {
	up := strings.Repeat("../", 20)
	hardlink := func(name, target string) harness.Entry {
		return harness.Entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}}
	}
	one := func(entries ...harness.Entry) []harness.Layer { return []harness.Layer{entries} }
	return map[string][]harness.Layer{
		"a name with ..":                      one(harness.File(up+h+"/victim", "evil")),
		"an absolute name":                    one(harness.File(h+"/victim", "evil")),
		"through a link in the same layer":    one(harness.Symlink("esc", h), harness.File("esc/victim", "evil")),
		"through a link in the layer below":   {{harness.Symlink("esc", h)}, {harness.File("esc/victim", "evil"), harness.File("esc/new", "evil")}},
		"through a relative link":             {{harness.Symlink("esc", up+h)}, {harness.File("esc/victim", "evil")}},
		"through a link to a file":            {{harness.Symlink("esc", h+"/victim")}, {harness.File("esc", "evil")}},
		"a hard link to a file of the host":   one(hardlink("stolen", h+"/secret"), harness.File("stolen", "evil")),
		"a hard link with ..":                 one(hardlink("stolen", up+h+"/secret")),
		"a hard link through a link":          one(harness.Symlink("esc", h), hardlink("stolen", "esc/secret")),
		"a whiteout through a link":           {{harness.Symlink("esc", h)}, {harness.File("esc/.wh.victim", "")}},
		"an opaque mark through a link":       {{harness.Symlink("esc", h)}, {harness.File("esc/.wh..wh..opq", "")}},
		"a whiteout with ..":                  one(harness.File(up+h+"/.wh.victim", "")),
		"a whiteout of ..":                    one(harness.Dir("d"), harness.File("d/.wh...", "")),
		"a whiteout of the root":              one(harness.File(".wh..", "")),
		"a hard link to itself":               one(hardlink("self", "self")),
		"a directory becomes a link":          {{harness.Dir("d")}, {harness.Symlink("d", h), harness.File("d/victim", "evil")}},
		"a link named like a directory":       one(harness.Symlink("./", h), harness.File("victim", "evil")),
		"a link over the root":                one(harness.Symlink(".", h), harness.File("victim", "evil")),
		"a name of dots and slashes":          one(harness.File(".//..//./victim", "evil")),
		"the same name twice":                 one(harness.File("twice", "1"), harness.Symlink("twice", h+"/victim"), harness.File("twice", "evil")),
		"a link to /proc/self/cwd":            one(harness.Symlink("esc", "/proc/self/cwd"), harness.File("esc/victim", "evil")),
		"a link to /proc/1/root":              {{harness.Symlink("esc", "/proc/1/root"+h)}, {harness.File("esc/victim", "evil")}},
		"a fifo that is then written through": one(harness.FIFO("f"), harness.File("f", "evil")),
	}
}

func TestA20_LayersCannotEscape(t *testing.T) {
	s := harness.New(t)
	h := canary(s)
	for name, layers := range escapes(h) {
		t.Run(name, func(t *testing.T) {
			s := s.In(t)
			i := with(t, nil, nil)
			i.Layers = append(i.Layers, layers...)
			archive := i.OCIArchive(t, filepath.Join(s.Dir, "x.tar"))
			// Whether it is refused does not matter; what the container sees does.
			if s.Skiff("load", "-q", "-i", archive).Code == 0 {
				r := run(s, "--entrypoint", "/bin/busybox", "hostile", "cat", "/stolen", "/esc/secret")
				if strings.Contains(r.Stdout, "mine") {
					t.Errorf("the container reads %q", r.Stdout)
				}
				s.OK("rmi", "hostile")
			}
		})
	}
}

func TestA20_ImportAndCopyCannotEscape(t *testing.T) {
	s := harness.New(t)
	h := canary(s)
	image := s.LoadBusybox()
	s.OK("create", "--name", "target", "--network", "none", image)
	s.Removes("target")
	out := s.Mkdir("out")
	for name, layers := range escapes(h) {
		t.Run(name, func(t *testing.T) {
			s := s.In(t)
			for i, layer := range layers {
				data := layer.Tar(t)
				if r := s.SkiffInput(bytes.NewReader(data), "import", "-", "imported"); r.Code == 0 {
					s.Skiff("rmi", "imported").Exits(0)
				}
				s.SkiffInput(bytes.NewReader(data), "cp", "-", "target:/")
				// The links that the first part made are in the container now.
				s.Skiff("cp", "target:/esc", filepath.Join(out, fmt.Sprint(i)))
				s.Skiff("cp", "target:/stolen", filepath.Join(out, fmt.Sprint(i)))
			}
			for _, e := range harness.Entries(out) {
				if data, err := os.ReadFile(filepath.Join(out, e)); err == nil && strings.Contains(string(data), "mine") {
					if info, err := os.Lstat(filepath.Join(out, e)); err == nil && info.Mode().IsRegular() {
						t.Errorf("cp read the host's file: %q", data)
					}
				}
				os.RemoveAll(filepath.Join(out, e))
			}
		})
	}
}

func TestA21_DevicesAndOverlayAttributes(t *testing.T) {
	s := harness.New(t)
	canary(s)
	device := func(name string, kind byte, major, minor int64) harness.Entry {
		return harness.Entry{Header: tar.Header{Typeflag: kind, Name: name, Devmajor: major, Devminor: minor, Mode: 0o666}}
	}
	t.Run("a device of the machine is not made", func(t *testing.T) {
		s := s.In(t)
		for _, d := range []harness.Entry{device("disk", tar.TypeBlock, 8, 0), device("mem", tar.TypeChar, 1, 1)} {
			archive := with(t, harness.Layer{d}, nil)
			if s.Skiff("load", "-q", "-i", archive.OCIArchive(t, filepath.Join(s.Dir, "d.tar"))).Code == 0 {
				run(s, "hostile", "sh", "-c", "test -b /disk && head -c1 /disk; test -c /mem && head -c1 /mem").Prints("")
				s.OK("rmi", "hostile")
			}
		}
	})
	t.Run("A-22: a device 0/0 is dropped like any other", func(t *testing.T) {
		s := s.In(t)
		archive := with(t, harness.Layer{device("bin/vi", tar.TypeChar, 0, 0)}, nil)
		if s.Skiff("load", "-q", "-i", archive.OCIArchive(t, filepath.Join(s.Dir, "w.tar"))).Code == 0 {
			run(s, "hostile", "sh", "-c", "test -f /bin/vi && echo there").Prints("there")
			s.OK("rmi", "hostile")
		}
	})
	t.Run("attributes of overlay are dropped", func(t *testing.T) {
		s := s.In(t)
		e := harness.Dir("e")
		e.Format = tar.FormatPAX
		e.PAXRecords = map[string]string{
			"SCHILY.xattr.user.overlay.redirect": "/etc", "SCHILY.xattr.user.overlay.metacopy": "", "SCHILY.xattr.trusted.overlay.redirect": "/etc",
		}
		s.Load(with(t, harness.Layer{e}, nil))
		run(s, "hostile", "ls", "-A", "/e").Exits(0).Prints("")
		found := s.Shell("getfattr -R -d -m - " + filepath.Join(s.Store(), "storage/overlay") + " 2>/dev/null | grep -c 'overlay.redirect\\|overlay.metacopy'")
		harness.Equal(t, "attributes left", found.Out(), "0")
		s.OK("rmi", "hostile")
	})
}

func TestA21_OwnersThatAreNone(t *testing.T) {
	s := harness.New(t)
	for name, change := range map[string]func(*tar.Header){
		"uid, PAX":      func(h *tar.Header) { h.Uid, h.Format = 1<<32-1, tar.FormatPAX },
		"gid, PAX":      func(h *tar.Header) { h.Gid, h.Format = 1<<32-1, tar.FormatPAX },
		"uid, base 256": func(h *tar.Header) { h.Uid, h.Format = 1<<32-1, tar.FormatGNU },
		"gid, base 256": func(h *tar.Header) { h.Gid, h.Format = 1<<32-1, tar.FormatGNU },
	} {
		t.Run(name, func(t *testing.T) {
			s := s.In(t)
			e := harness.File("f", "x")
			change(&e.Header)
			archive := with(t, harness.Layer{e}, nil).OCIArchive(t, filepath.Join(s.Dir, "x.tar"))
			s.Skiff("load", "-i", archive).Exits(1).Complains("a file belongs to the id 4294967295, which is none")
			s.SkiffInput(bytes.NewReader(harness.Layer{e}.Tar(t)), "import", "-").Exits(1).Complains("4294967295")
			s.Skiff("images", "-aq").Prints("")
		})
	}
	t.Run("an id that is not mapped", func(t *testing.T) {
		s := s.In(t)
		e := harness.File("f", "x")
		e.Uid = 2_000_000_000
		e.Format = tar.FormatPAX
		s.Skiff("load", "-i", with(t, harness.Layer{e}, nil).OCIArchive(t, filepath.Join(s.Dir, "x.tar"))).Exits(1)
		s.Skiff("images", "-aq").Prints("")
	})
}

// archiveOf is a tar file of the entries, written to a file.
func archiveOf(t *testing.T, s *harness.Session, entries ...harness.Entry) string {
	t.Helper()
	return s.WriteFile("hostile.tar", string(harness.Layer(entries).Tar(t)))
}

// document is JSON as a file of an archive.
func document(t *testing.T, name string, v any) harness.Entry {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return harness.File(name, string(data))
}

// archives that are not what they say.
func TestA40_ArchivesThatLie(t *testing.T) {
	s := harness.New(t)
	h := canary(s)
	layer := harness.Busybox(t).Tar(t)
	diffID := harness.Digest(layer)
	config := func(diffIDs ...string) harness.Entry {
		return document(t, "config.json", map[string]any{
			"architecture": "amd64", "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
		})
	}
	item := func(config string, layers ...string) harness.Entry {
		return document(t, "manifest.json", []any{map[string]any{"Config": config, "RepoTags": []string{"lie:1"}, "Layers": layers}})
	}
	tarFile := harness.File("layer.tar", string(layer))
	zeros := "sha256:" + strings.Repeat("0", 64)
	index := func(digest string, extra map[string]any) harness.Entry {
		manifest := map[string]any{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 10}
		for k, v := range extra {
			manifest[k] = v
		}
		return document(t, "index.json", map[string]any{"schemaVersion": 2, "manifests": []any{manifest}})
	}
	both := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"digest":"%s","size":1},"layers":[],"manifests":[{"digest":"%s","size":1}]}`, zeros, zeros)
	cases := map[string][]harness.Entry{
		"nothing":                                 {},
		"neither docker's nor OCI's":              {harness.File("x", "y")},
		"a manifest that is no list":              {harness.File("manifest.json", `{"Config":1}`)},
		"a manifest that is cut off":              {harness.File("manifest.json", `[{"Config":"config.json"`)},
		"a manifest of null":                      {harness.File("manifest.json", `[null]`)},
		"a configuration outside":                 {item("../../../../"+h+"/secret", "layer.tar"), tarFile},
		"a configuration with an absolute name":   {item(h+"/secret", "layer.tar"), tarFile},
		"a configuration that is a link outside":  {harness.Symlink("config.json", h+"/secret"), item("config.json", "layer.tar"), tarFile},
		"a layer that is a link outside":          {config(diffID), item("config.json", "layer.tar"), harness.Symlink("layer.tar", h+"/secret")},
		"a layer that is a link to itself":        {config(diffID), item("config.json", "layer.tar"), harness.Symlink("layer.tar", "layer.tar")},
		"a layer that is missing":                 {config(diffID), item("config.json", "layer.tar")},
		"another layer than the configuration's":  {config(zeros), item("config.json", "layer.tar"), tarFile},
		"fewer layers than the configuration has": {config(diffID, diffID), item("config.json", "layer.tar"), tarFile},
		"more layers than the configuration has":  {config(), item("config.json", "layer.tar"), tarFile},
		"a diff ID that is a path":                {config("sha256:../../../../" + h), item("config.json", "layer.tar"), tarFile},
		"a configuration without rootfs":          {harness.File("config.json", `{}`), item("config.json", "layer.tar"), tarFile},
		"a tag with control characters":           {config(diffID), document(t, "manifest.json", []any{map[string]any{"Config": "config.json", "RepoTags": []string{"\x1b[31mlie"}, "Layers": []string{"layer.tar"}}}), tarFile},
		"a tag that climbs":                       {config(diffID), document(t, "manifest.json", []any{map[string]any{"Config": "config.json", "RepoTags": []string{"../../x:1"}, "Layers": []string{"layer.tar"}}}), tarFile},
		"an index with a digest that is a path":   {index("sha256:../../../../"+h+"/secret", nil)},
		"an index with an odd digest":             {index("md5:0123", nil)},
		"an index of a blob that is not there":    {index(zeros, nil)},
		"a blob that is something else":           {index(zeros, nil), harness.File("blobs/sha256/"+zeros[7:], `{"schemaVersion":2}`)},
		"a manifest that is an index as well":     {index(harness.Digest([]byte(both)), nil), harness.File("blobs/sha256/"+harness.Digest([]byte(both))[7:], both)},
		"a name with control characters":          {index(zeros, map[string]any{"annotations": map[string]string{"io.containerd.image.name": "\x1b]0;x\a"}})},
		"a document nested two million deep":      {harness.File("manifest.json", strings.Repeat("[", 2_000_000))},
		"an index nested two million deep":        {harness.File("index.json", strings.Repeat(`{"a":`, 500_000))},
		"a manifest of 64 MB":                     {harness.File("manifest.json", `["`+strings.Repeat("x", 64<<20)+`"]`)},
		"a configuration of 64 MB":                {harness.File("config.json", `{"a":"`+strings.Repeat("x", 64<<20)+`"}`), item("config.json", "layer.tar"), tarFile},
		"a layer that is no tar":                  {config(harness.Digest([]byte("garbage"))), item("config.json", "layer.tar"), harness.File("layer.tar", "garbage")},
	}
	for name, entries := range cases {
		t.Run(name, func(t *testing.T) {
			s := s.In(t)
			r := s.Skiff("load", "-i", archiveOf(t, s, entries...))
			if r.Code == 0 {
				t.Errorf("was loaded: %s", r.Stdout)
			}
			if text := r.Stdout + r.Stderr; strings.Contains(text, "mine") || strings.Contains(text, "\x1b") || strings.Contains(text, "goroutine ") || len(text) > 2000 {
				t.Errorf("says %.3000q", text)
			}
			s.Skiff("images", "-aq").Exits(0).Prints("")
			if left := s.Layers(); len(left) > 0 {
				t.Errorf("layers left: %v", left)
			}
		})
	}
	t.Run("digests on the command line", func(t *testing.T) {
		s := s.In(t)
		for _, ref := range []string{"x@sha256:../../../etc/passwd", "x@sha256:" + strings.Repeat("g", 64), "sha256:../" + strings.Repeat("0", 61)} {
			s.Skiff("rmi", ref).Exits(1)
			s.Skiff("tag", ref, "y").Exits(1)
			s.Skiff("save", "-o", "x.tar", ref).Exits(1)
			s.Skiff("history", ref).Exits(1)
		}
	})
}

// The last of two files of one name counts, for every reader of tar; what was
// checked is what is used.
func TestA40_DuplicateNames(t *testing.T) {
	s := harness.New(t)
	canary(s)
	first, second := harness.Busybox(t).Tar(t), harness.Layer{harness.File("other", "x")}.Tar(t)
	config := document(t, "config.json", map[string]any{
		"architecture": "amd64", "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": []string{harness.Digest(first)}},
	})
	item := document(t, "manifest.json", []any{map[string]any{"Config": "config.json", "RepoTags": []string{"twice:1"}, "Layers": []string{"layer.tar"}}})
	s.Skiff("load", "-i", archiveOf(t, s, config, item, harness.File("layer.tar", string(first)), harness.File("layer.tar", string(second)))).Exits(1)
	s.Skiff("images", "-aq").Prints("")
	s.Skiff("load", "-i", archiveOf(t, s, config, item, harness.File("layer.tar", string(second)), harness.File("./layer.tar", string(first)))).Exits(0)
	run(s, "twice:1", "/bin/busybox", "echo", "right").Prints("right")
}

// inLittleMemory is a line's beginning that leaves each process 200 MB of memory
// to write to (RLIMIT_DATA, in kB): who needs more dies of it, and says so.
const inLittleMemory = "ulimit -d 204800; "

// A layer that unpacks to more than the disk holds is given up, and all that it
// took comes back.
func TestA26_LayerBombOnASmallDisk(t *testing.T) {
	harness.Requires(t, harness.Root, harness.CommandNamed("mkfs.ext4"), harness.LoopDevices)
	s := harness.New(t)
	disk := s.Disk("ext4", 64)
	image := s.LoadBusybox()
	before := free(t, disk.Path())
	path := filepath.Join(s.Dir, "bomb.tar.gz")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	const size = 512 << 20
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: "bomb", Typeflag: tar.TypeReg, Mode: 0o644, Size: size}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, zeroReader{}, size); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	s.Shell(inLittleMemory + "skiff import " + path + " bomb").Exits(1).Complains("no space left on device")
	s.Skiff("images", "-q").Exits(0).PrintsMatch("[0-9a-f]{12}")
	if after := free(t, disk.Path()); after < before-(2<<20) {
		t.Errorf("%d bytes free, %d before", after, before)
	}
	run(s, image, "echo", "alive").Prints("alive")
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { return len(p), nil }

// nothing of an image runs on this side.
func TestA28_ToolsInImagesAreNotRun(t *testing.T) {
	s := harness.New(t)
	h := canary(s)
	evil := "#!/bin/sh\ntouch " + h + "/ran\n"
	var layer harness.Layer
	layer = append(layer, harness.Dir("usr"), harness.Dir("usr/bin"))
	for _, tool := range []string{"xz", "gzip", "zstd", "unpigz", "tar", "bzip2"} {
		layer = append(layer, harness.Program("usr/bin/"+tool, evil))
	}
	i := with(t, layer, nil)
	archive := i.OCIArchive(t, filepath.Join(s.Dir, "x.tar"))
	data, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	s.SkiffInput(bytes.NewReader(harness.Gzip(t, data)), "load").Exits(0)
	s.OK("create", "--name", "c1", "--network", "none", "hostile")
	s.Removes("c1")
	s.SkiffInput(bytes.NewReader(harness.Gzip(t, harness.Layer{harness.File("f", "x")}.Tar(t))), "cp", "-", "c1:/")
	s.OK("commit", "c1", "again")
	s.OK("save", "-o", "x.tar", "hostile", "again")
	s.OK("export", "-o", "y.tar", "c1")
	s.OK("import", "y.tar", "third")
}

// free is how many bytes are left to an ordinary user.
func free(t *testing.T, dir string) int64 {
	t.Helper()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	return int64(fs.Bavail) * fs.Bsize
}
