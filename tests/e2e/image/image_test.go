package image_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

const skopeo = "skopeo"

func TestPull_PrintsWhatDockerPrints(t *testing.T) {
	s := harness.New(t)
	registry := harness.NewRegistry(t)
	ref := registry.Push(t, harness.BusyboxImage(t), "tools/busybox:1")
	r := s.Skiff("pull", ref).Exits(0)
	r.PrintsMatch(`1: Pulling from tools/busybox\n` +
		`[0-9a-f]{12}: Pulling fs layer\n` +
		`([0-9a-f]{12}: (Verifying Checksum|Download complete)\n)*` +
		`[0-9a-f]{12}: Pull complete\n` +
		`Digest: sha256:[0-9a-f]{64}\n` +
		`Status: Downloaded newer image for ` + ref + `\n` + ref)
	s.Skiff("pull", ref).Exits(0).Says("Status: Image is up to date for " + ref)
	s.Skiff("pull", "-q", ref).Exits(0).Prints(ref)
	digest := strings.TrimPrefix(s.Inspect(ref, "{{index .RepoDigests 0}}"), registry.Address+"/tools/busybox@")
	byDigest := registry.Address + "/tools/busybox@" + digest
	s.Skiff("pull", byDigest, "-q").Exits(0).Prints(byDigest)
	s.Skiff("run", "--rm", "--network", "none", byDigest, "echo", "hi").Exits(0).Prints("hi")
	s.Skiff("inspect", "-s", "-f", "{{.Os}}", ref).Prints("linux").Complains("WARNING: --size ignored for image")
}

// name:tag@digest says which tag it was; the digest decides.
func TestPull_ByTagAndDigest(t *testing.T) {
	s := harness.New(t)
	registry := harness.NewRegistry(t)
	ref := registry.Push(t, harness.BusyboxImage(t), "tools/busybox:1")
	s.OK("pull", "-q", ref)
	byDigest := s.Inspect(ref, "{{index .RepoDigests 0}}")
	both := ref + strings.TrimPrefix(byDigest, registry.Address+"/tools/busybox")
	s.OK("rmi", ref)
	s.Skiff("pull", both).Exits(0).Says(byDigest + ": Pulling from tools/busybox\n").
		Says("Status: Downloaded newer image for " + byDigest + "\n" + both + "\n")
	s.Skiff("images", "--digests", "--format", "{{.Repository}}:{{.Tag}}").Says(registry.Address + "/tools/busybox:<none>\n")
	s.Skiff("image", "inspect", "-f", "{{.Os}}", both).Prints("linux")
	s.Skiff("rmi", both).Exits(0)
	s.Skiff("run", "--rm", "--network", "none", both, "echo", "hi").Exits(0).Prints("hi")
	s.Skiff("rmi", both).Exits(0)
	s.SkiffInput(strings.NewReader("FROM "+both+"\n"), "build", "-q", "-t", "built", "-").Exits(0)
	s.Skiff("manifest", "inspect", both).Exits(0).Says("\"layers\"")
	s.Skiff("pull", registry.Address+"/tools/busybox:nosuch@sha256:"+strings.Repeat("0", 64)).Exits(1).Complains("manifest unknown")
}

func TestPull_DefaultsToLatest(t *testing.T) {
	s := harness.New(t)
	registry := harness.NewRegistry(t)
	registry.Push(t, harness.BusyboxImage(t), "busybox:latest")
	s.Skiff("pull", registry.Address+"/busybox").Exits(0).Says("Using default tag: latest\n")
}

func TestPull_FailsAsDockerDoes(t *testing.T) {
	s := harness.New(t)
	registry := harness.NewRegistry(t)
	registry.Push(t, harness.BusyboxImage(t), "busybox:1")
	s.Skiff("pull", registry.Address+"/busybox:2").Exits(1).Complains("manifest for " + registry.Address + "/busybox:2 not found")
	s.Skiff("pull", registry.Address+"/nosuch").Exits(1)
	s.Skiff("pull", "127.0.0.1:1/x").Exits(1).Complains("connection refused")
	s.Skiff("pull", "UPPER").Exits(1).Complains("invalid reference format")
	s.Skiff("pull").Exits(1).Complains(" requires 1 argument")
	zeros := strings.Repeat("0", 64)
	s.Skiff("pull", registry.Address+"/busybox@sha256:"+zeros).Exits(1).Complains("not found")
	s.Skiff("images", "-q").Exits(0).Prints("")
}

func TestPull_RefusesWrongContents(t *testing.T) {
	s := harness.New(t)
	registry := harness.NewRegistry(t)
	ref := registry.Push(t, harness.BusyboxImage(t), "busybox:1")
	// Spoil the largest blob, the layer, behind the registry's back.
	var layer string
	var size int64
	blobs, err := filepath.Glob(filepath.Join(registry.Dir, "data/docker/registry/v2/blobs/sha256/*/*/data"))
	if err != nil || len(blobs) == 0 {
		t.Fatalf("no blobs in the registry: %v", err)
	}
	for _, b := range blobs {
		if info, err := os.Stat(b); err == nil && info.Size() > size {
			layer, size = b, info.Size()
		}
	}
	data, err := os.ReadFile(layer)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 0xff
	if err := os.WriteFile(layer, data, 0o644); err != nil {
		t.Fatal(err)
	}
	s.Skiff("pull", ref).Exits(1)
	s.Skiff("images", "-q").Exits(0).Prints("")
	s.Skiff("run", "--rm", "--pull", "never", ref, "true").Exits(125)
}

func TestLoad_TakesEveryArchive(t *testing.T) {
	i := harness.BusyboxImage(t)
	i.Name = "tools/busybox:1"
	dir := t.TempDir()
	oci := i.OCIArchive(t, filepath.Join(dir, "oci.tar"))
	docker := i.DockerArchive(t, filepath.Join(dir, "docker.tar"))
	archives := map[string]string{"OCI": oci, "docker": docker}
	for name, path := range map[string]string{"OCI": oci, "docker": docker} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		archives[name+", gzipped"] = path + ".gz"
		if err := os.WriteFile(path+".gz", harness.Gzip(t, data), 0o644); err != nil {
			t.Fatal(err)
		}
		for tool, suffix := range map[string]string{"xz": ".xz", "zstd": ".zst", "bzip2": ".bz2"} {
			if _, err := exec.LookPath(tool); err == nil {
				if out, err := exec.Command(tool, "-k", "-1", path).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", tool, err, out)
				}
				archives[name+", "+tool] = path + suffix
			}
		}
	}
	if _, err := exec.LookPath(skopeo); err == nil {
		made := filepath.Join(dir, "skopeo.tar")
		out, err := exec.Command(skopeo, "copy", "-q", "--insecure-policy", "oci-archive:"+oci, "docker-archive:"+made+":tools/busybox:1").CombinedOutput()
		if err != nil {
			t.Fatalf("skopeo: %v\n%s", err, out)
		}
		archives["docker, by skopeo"] = made
	}
	for name, path := range archives {
		t.Run(name, func(t *testing.T) {
			s := harness.New(t)
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s.SkiffInput(f, "load").Exits(0).Prints("Loaded image: tools/busybox:1")
			s.Skiff("run", "--rm", "--network", "none", "tools/busybox:1", "echo", "hi").Exits(0).Prints("hi")
		})
	}
}

func TestLoad_FromAFile(t *testing.T) {
	s := harness.New(t)
	i := harness.BusyboxImage(t)
	s.Skiff("load", "-i", i.OCIArchive(t, filepath.Join(s.Dir, "a.tar"))).Exits(0).Prints("Loaded image: busybox:latest")
	i.Name = ""
	i.Config["Labels"] = map[string]string{"other": "image"}
	s.Skiff("load", "-i", i.OCIArchive(t, filepath.Join(s.Dir, "b.tar"))).Exits(0).PrintsMatch("Loaded image ID: sha256:[0-9a-f]{64}")
	s.Skiff("load", "-i", "nosuch.tar").Exits(1).Complains("no such file")
	s.SkiffInput(strings.NewReader("not an archive"), "load").Exits(1)
	s.SkiffInput(strings.NewReader(""), "load").Exits(1)
}

func TestImport_MakesAnImageOfATree(t *testing.T) {
	s := harness.New(t)
	tree := harness.Busybox(t).Tar(t)
	path := filepath.Join(s.Dir, "tree.tar")
	if err := os.WriteFile(path, tree, 0o644); err != nil {
		t.Fatal(err)
	}
	id := s.Skiff("import", "-c", "CMD [\"echo\",\"default\"]", "-c", "ENV A=1", "-c", "WORKDIR /tmp", "-m", "by hand", path, "mine:1").
		Exits(0).PrintsMatch("sha256:[0-9a-f]{64}").Out()
	harness.Equal(t, "the id of the tag", s.Inspect("mine:1", "{{.Id}}"), id)
	harness.Equal(t, "the configuration", s.Inspect("mine:1", "{{.Config.Cmd}} {{.Config.Env}} {{.Config.WorkingDir}} {{.Comment}}"), "[echo default] [A=1] /tmp by hand")
	s.Skiff("run", "--rm", "--network", "none", "mine:1").Exits(0).Prints("default")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s.SkiffInput(f, "import", "-", "piped").Exits(0).PrintsMatch("sha256:[0-9a-f]{64}")
	s.Skiff("run", "--rm", "--network", "none", "piped", "echo", "x").Exits(0).Prints("x")
	s.Skiff("import", "nosuch.tar").Exits(1).Complains("nosuch.tar")
}

func TestImages_ListsImages(t *testing.T) {
	s := harness.New(t)
	s.Skiff("images").Exits(0).PrintsMatch(`REPOSITORY   TAG       IMAGE ID   CREATED   SIZE`)
	s.LoadBusybox()
	s.OK("tag", "busybox", "registry.example/team/app:2")
	harness.Golden(t, "images", s.Skiff("images").Exits(0).Stdout)
	id := s.Inspect("busybox", "{{.Id}}")
	tests := []struct{ name, args, want string }{
		{"shows ids, once an image", "images -q | sort -u", id[7:19]},
		{"shows whole ids", "images -q --no-trunc busybox", id},
		{"shows one repository", "images --format '{{.Repository}}:{{.Tag}}' busybox", "busybox:latest"},
		{"filters by reference", "images -f reference='registry.example/*/*' --format '{{.Repository}} {{.Tag}}'", "registry.example/team/app 2"},
		{"finds none dangling", "images -f dangling=true -q", ""},
		{"prints json a line each", `images --format json | grep -c '"Repository":"busybox"'`, "1"},
		{"feeds awk", "images | awk 'NR>1{print $3}' | sort -u", id[7:19]},
		{"shows digests with a column more", "images --digests | head -1 | tr -s ' '", "REPOSITORY TAG DIGEST IMAGE ID CREATED SIZE"},
		{"has a management form", "image ls -q | sort -u", id[7:19]},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s.In(t).Shell("skiff " + test.args).Exits(0).Prints(test.want)
		})
	}
	s.Skiff("images", "-f", "nosuch=1").Exits(1).Complains("invalid filter 'nosuch'")
}

func TestTag_NamesAnImageAgain(t *testing.T) {
	s := harness.New(t)
	s.LoadBusybox()
	id := s.Inspect("busybox", "{{.Id}}")
	s.Skiff("tag", "busybox", "app").Exits(0).Silent()
	s.Skiff("tag", id[7:19], "app:2").Exits(0).Silent()
	harness.Equal(t, "the id of the new tag", s.Inspect("app:2", "{{.Id}}"), id)
	s.Skiff("tag", "nosuch", "x").Exits(1).Complains("No such image: nosuch:latest")
	s.Skiff("tag", "busybox", "UPPER").Exits(1).Complains("must be lowercase")
	s.Skiff("tag", "busybox", "../../y").Exits(1).Complains("invalid reference format")
}

func TestRmi_UntagsThenDeletes(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	id := s.Inspect("busybox", "{{.Id}}")
	s.OK("tag", "busybox", "app:2")
	s.Skiff("rmi", id[7:19]).Exits(1).Complains("image is referenced in multiple repositories")
	s.Skiff("rmi", "app:2").Exits(0).Prints("Untagged: app:2")
	c := s.OK("create", "--name", "it", img, "true")
	s.Skiff("rmi", img).Exits(1).Complains("container " + c[:12] + " is using its referenced image " + id[7:19])
	s.OK("start", "it")
	s.OK("wait", "it")
	s.OK("rm", "it")
	r := s.Skiff("rmi", img).Exits(0)
	if lines := strings.Split(r.Out(), "\n"); lines[0] != "Untagged: busybox:latest" || !strings.Contains(r.Stdout, "Deleted: "+id) {
		t.Errorf("rmi prints\n%s", r.Stdout)
	}
	s.Skiff("images", "-q").Exits(0).Prints("")
	s.Skiff("rmi", img).Exits(1).Complains("No such image: busybox:latest")
	if layers, _ := filepath.Glob(filepath.Join(s.Store(), "storage/overlay/*/diff")); len(layers) > 0 {
		t.Errorf("layers left: %v", layers)
	}
}

func TestRmi_RefusesWhatRuns(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "it", "--network", "none", img, "sleep", "1000")
	s.Skiff("rmi", "-f", s.Inspect(img, "{{.Id}}")).Exits(1).Complains("image is being used by running container")
	s.Skiff("exec", "it", "echo", "alive").Exits(0).Prints("alive")
	s.OK("rm", "-f", "it")
	s.OK("rmi", img)
}

func TestInspect_SaysWhatTheImageSays(t *testing.T) {
	s := harness.New(t)
	i := harness.BusyboxImage(t)
	i.Config["Entrypoint"] = []string{"/bin/sh"}
	i.Config["Labels"] = map[string]string{"a": "b"}
	i.Config["ExposedPorts"] = map[string]any{"80/tcp": map[string]any{}}
	i.Config["User"] = "ana"
	i.Config["Healthcheck"] = map[string]any{"Test": []string{"CMD", "true"}}
	img := s.Load(i)
	tests := []struct{ name, template, want string }{
		{"its tags", "{{.RepoTags}}", "[busybox:latest]"},
		{"its platform", "{{.Os}}/{{.Architecture}}", "linux/amd64"},
		{"its command line", "{{.Config.Entrypoint}} {{.Config.Cmd}}", "[/bin/sh] [sh]"},
		{"its labels", "{{.Config.Labels.a}}", "b"},
		{"its user", "{{.Config.User}}", "ana"},
		{"its ports", `{{json .Config.ExposedPorts}}`, `{"80/tcp":{}}`},
		{"its health check", "{{.Config.Healthcheck.Test}}", "[CMD true]"},
		{"its creation", "{{.Created}}", "2023-11-14T22:13:20Z"},
		{"its layers", "{{.RootFS.Type}} {{len .RootFS.Layers}}", "layers 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			harness.Equal(t, test.template, s.In(t).Inspect(img, test.template), test.want)
		})
	}
	s.Skiff("image", "inspect", "nosuch").Exits(1).Prints("[]").Complains("No such image: nosuch")
}
