package image_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// odd is an image whose layers have all that an archive may lose: owners, modes,
// times, hard links, links, pipes, sparse files, names of any bytes, marks for
// what is gone and, where the file system has them, extended attributes.
func odd(s *harness.Session) string {
	s.T.Helper()
	image := s.LoadBusybox()
	s.OK("run", "--name", "odd", "--network", "none", image, "sh", "-c", `
		mkdir -p /odd/sub && cd /odd && echo 1 >plain && chown 1:2 plain && chmod 6751 plain && ln plain hard && ln -s nowhere soft &&
		mkfifo -m 640 pipe && chmod 1777 sub && truncate -s 10M sparse && echo end >>sparse && touch "sub/$(printf 'new\nline \303\244 \377')" &&
		touch "$(head -c 240 /dev/zero | tr '\0' n)" && touch -d '1999-12-31 23:59:59' plain && rm /bin/vi`)
	s.OK("commit", "-m", "odd things", "odd", "odd:1")
	s.OK("rm", "odd")
	return "odd:1"
}

// look describes what a container of the image sees.
func look(s *harness.Session, image string) string {
	s.T.Helper()
	return s.OK("run", "--rm", "--network", "none", image, "sh", "-c",
		`cd /odd; stat -c '%n %F %a %u:%g %h %s %Y' * sub/*; sha256sum plain sparse; readlink soft; test -e /bin/vi || echo gone; stat -c %i plain hard | uniq | wc -l`)
}

func TestSave_RoundTrip(t *testing.T) {
	s := harness.New(t)
	image := odd(s)
	before, id := look(s, image), s.Inspect(image, "{{.Id}}")
	if !strings.Contains(before, "regular file 6751 1:2 2 ") || !strings.Contains(before, "10485764") || !strings.Contains(before, "gone") {
		t.Fatalf("the image is not odd:\n%s", before)
	}
	s.OK("tag", image, "registry.example:5000/team/odd:v2")
	path := filepath.Join(s.Home(), "two.tar")
	s.Skiff("save", "-o", path, "odd", "registry.example:5000/team/odd:v2", "busybox").Exits(0).Silent()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The same images make the same archive, wherever it goes.
	harness.Equal(t, "the stream is the file", s.Skiff("image", "save", "odd", "registry.example:5000/team/odd:v2", "busybox").Exits(0).Stdout == string(data), true)
	s.OK("rmi", "-f", id)
	s.OK("rmi", "busybox")
	s.Skiff("images", "-aq").Prints("")
	s.Skiff("load", "-i", path).Exits(0).Prints("Loaded image: odd:1\nLoaded image: registry.example:5000/team/odd:v2\nLoaded image: busybox:latest")
	harness.Equal(t, "id", s.Inspect(image, "{{.Id}}"), id)
	harness.Equal(t, "files", look(s, image), before)
	// By its ID an image has no name in the archive.
	s.Shell("skiff save " + id[7:19] + " >untagged.tar").Exits(0)
	s.OK("rmi", "-f", id)
	s.Skiff("load", "-i", "untagged.tar").Exits(0).Prints("Loaded image ID: " + id)
}

// The archive is three things at once, and others say so.
func TestSave_OthersReadIt(t *testing.T) {
	s := harness.New(t)
	image := odd(s)
	id := s.Inspect(image, "{{.Id}}")
	path := filepath.Join(s.Home(), "odd.tar")
	s.OK("save", "-o", path, image)
	tool := func(t *testing.T, name string, args ...string) string {
		t.Helper()
		harness.Requires(t, harness.CommandNamed(name))
		out, err := exec.Command(name, args...).Output()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	t.Run("skopeo, as docker's", func(t *testing.T) {
		tool(t, skopeo, "inspect", "docker-archive:"+path+":odd:1")
		raw := tool(t, skopeo, "inspect", "--config", "--raw", "docker-archive:"+path+":odd:1")
		var config struct{ History []struct{ Comment string } }
		if err := json.Unmarshal([]byte(raw), &config); err != nil || config.History[len(config.History)-1].Comment != "odd things" {
			t.Errorf("configuration %s, %v", raw, err)
		}
	})
	t.Run("skopeo, as OCI's", func(t *testing.T) {
		var m struct{ Config struct{ Digest string } }
		if err := json.Unmarshal([]byte(tool(t, skopeo, "inspect", "--raw", "oci-archive:"+path+":1")), &m); err != nil {
			t.Fatal(err)
		}
		harness.Equal(t, "id", m.Config.Digest, id)
	})
	t.Run("umoci", func(t *testing.T) {
		dir := t.TempDir()
		tool(t, "tar", "-xf", path, "-C", dir)
		harness.Equal(t, "tags", tool(t, "umoci", "ls", "--layout", dir), "1")
		tool(t, "umoci", "unpack", "--rootless", "--image", dir+":1", filepath.Join(dir, "bundle"))
		if data, err := os.ReadFile(filepath.Join(dir, "bundle/rootfs/odd/plain")); err != nil || string(data) != "1\n" {
			t.Errorf("unpacked %q, %v", data, err)
		}
	})
	t.Run("podman", func(t *testing.T) {
		harness.Requires(t, harness.Root)
		dir := t.TempDir()
		podman := []string{"--root", dir + "/root", "--runroot", dir + "/run", "--storage-driver", "vfs"}
		tool(t, "podman", append(podman, "load", "-q", "-i", path)...)
		harness.Equal(t, "id", tool(t, "podman", append(podman, "images", "-q", "--no-trunc")...), id)
		// And back: what podman saves is the same image again.
		back := filepath.Join(s.Home(), "podman.tar")
		tool(t, "podman", append(podman, "save", "-q", "-o", back, strings.TrimPrefix(id, "sha256:"))...)
		if err := os.Chmod(back, 0o644); err != nil {
			t.Fatal(err)
		}
		s := s.In(t)
		s.OK("rmi", "-f", id)
		s.Skiff("load", "-i", back).Exits(0).Prints("Loaded image ID: " + id)
	})
	t.Run("docker", func(t *testing.T) {
		harness.Requires(t, harness.Root, harness.CommandNamed("docker"), harness.CommandNamed("dockerd"))
		docker := harness.NewDocker(t)
		out := docker(t, "load", "-i", path)
		harness.Equal(t, "docker load", out, "Loaded image: odd:1")
		harness.Equal(t, "id", docker(t, "images", "-q", "--no-trunc", "odd:1"), id)
		back := filepath.Join(s.Home(), "docker.tar")
		docker(t, "save", "-o", back, "odd:1")
		if err := os.Chmod(back, 0o644); err != nil {
			t.Fatal(err)
		}
		s := s.In(t)
		s.Skiff("load", "-i", back).Exits(0).Prints("Loaded image: odd:1")
		harness.Equal(t, "id", s.Inspect("odd:1", "{{.Id}}"), id)
	})
}

func TestSave_FailsAsDockerDoes(t *testing.T) {
	s := harness.New(t)
	s.LoadBusybox()
	s.Skiff("save").Exits(1).Complains("requires at least 1 argument")
	s.Skiff("save", "nosuch").Exits(1).Complains("No such image: nosuch")
	s.Skiff("save", "busybox", "nosuch:1").Exits(1).Complains("No such image: nosuch:1")
	s.Skiff("save", "-o", "/nosuch/x", "busybox").Exits(1).Complains("failed to save image: invalid output path: stat /nosuch: no such file or directory")
	s.Skiff("save", "-o", "/dev/null", "busybox").Exits(1).Complains("failed to save image: cannot write to a character device file")
	s.Skiff("save", "--platform", "linux/s390x", "busybox").Exits(1).Complains("linux/s390x")
	s.Skiff("save", "-o", "some.tar", "nosuch").Exits(1)
	if entries := harness.Entries(s.Home()); strings.Join(entries, " ") != ".local" {
		t.Errorf("left in the directory: %v", entries)
	}
	s.Shell("skiff save busybox | head -c 100 >/dev/null").Exits(0)
	onTerminal := s.Terminal("save", "busybox")
	onTerminal.Expect("cowardly refusing to save to a terminal. Use the -o flag or redirect")
	onTerminal.Exits(1)
	onTerminal = s.Terminal("load")
	onTerminal.Expect("requested load from stdin, but stdin is empty")
	onTerminal.Exits(1)
}

// A layer whose files were changed behind the store's back is not passed on.
func TestSave_NoticesDamage(t *testing.T) {
	s := harness.New(t)
	i := harness.BusyboxImage(t)
	i.Layers = append(i.Layers, harness.Layer{harness.File("precious", "0123456789")})
	s.Load(i)
	found, err := filepath.Glob(filepath.Join(s.Store(), "storage/overlay/*/diff/precious"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	if err := os.WriteFile(found[0], []byte("0123456789"[:4]+"spoilt"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.Skiff("save", "-o", "out.tar", "busybox").Exits(1).Complains("is damaged")
	if err := os.Truncate(found[0], 3); err != nil {
		t.Fatal(err)
	}
	s.Skiff("save", "-o", "out.tar", "busybox").Exits(1).Complains("shorter")
	if harness.Exists(filepath.Join(s.Home(), "out.tar")) {
		t.Error("half an archive is there")
	}
}

func TestImport_FromAURL(t *testing.T) {
	s := harness.New(t)
	tarball := harness.Busybox(t).Tar(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/root.tar.gz" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(harness.Gzip(t, tarball))
	}))
	defer server.Close()
	url := server.URL + "/root.tar.gz"
	out := s.OK("import", "-m", "from the net", "-c", `CMD ["sh"]`, "-c", "LABEL a=b", "--platform", "linux/arm64/v8", url, "net:1")
	if !strings.HasPrefix(out, "Downloading from "+url+"\nsha256:") {
		t.Errorf("prints %q", out)
	}
	harness.Equal(t, "image", s.Inspect("net:1", "{{.Comment}}|{{.Config.Cmd}}|{{.Config.Labels.a}}|{{.Architecture}}{{.Variant}}"), "from the net|[sh]|b|arm64v8")
	s.Skiff("import", server.URL+"/nosuch").Exits(1).Complains("failed to GET " + server.URL + "/nosuch with status 404")
	s.Skiff("import", "http://127.0.0.1:1/x").Exits(1).Complains("connection refused")
	s.Skiff("import", "ftp://x/y").Exits(1).Complains("open ftp://x/y: no such file or directory")
	s.Skiff("import", "-c", "RUN x", url).Exits(1).Complains("run is not a valid change command")
	s.Skiff("images", "-q").PrintsMatch("[0-9a-f]{12}")
}
