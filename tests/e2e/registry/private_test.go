package registry_test

import (
	"archive/tar"
	"context"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"skiff/tests/harness"
)

// registryImage is docker's registry as an image: this machine's program and the
// libraries that it needs.
func registryImage(t *testing.T) harness.Image {
	t.Helper()
	const program = "docker-registry"
	harness.Requires(t, harness.CommandNamed(program))
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	entries := []harness.Entry{
		harness.Dir("etc"), harness.File("etc/config.yml", "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: /var/lib/registry\nhttp:\n  addr: :5000\n"),
		harness.Dir("var"), harness.Dir("var/lib"), harness.Dir("var/lib/registry"),
	}
	add := func(file, name string) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, harness.Entry{Header: tar.Header{Name: name, Mode: 0o755}, Content: data})
	}
	add(path, "registry")
	// A static program has no libraries, and ldd fails for it.
	libraries, _ := exec.Command("ldd", path).Output()
	for _, library := range regexp.MustCompile(`/\S+`).FindAllString(string(libraries), -1) {
		add(library, strings.TrimPrefix(library, "/"))
	}
	return harness.Image{
		Name: "registry:2", Layers: []harness.Layer{entries},
		Config: map[string]any{
			"Entrypoint": []string{"/registry"}, "Cmd": []string{"serve", "/etc/config.yml"},
			"ExposedPorts": map[string]any{"5000/tcp": map[string]any{}}, "Volumes": map[string]any{"/var/lib/registry": map[string]any{}},
		},
	}
}

// The registry image as a private registry: pushed to, restarted, and pulled from
// by others.
func TestRegistryImage_IsAPrivateRegistry(t *testing.T) {
	s := harness.New(t)
	s.Load(registryImage(t))
	data := s.Mkdir("registry")
	s.OK("run", "-d", "--name", "reg", "-p", "127.0.0.1:0:5000", "-v", data+":/var/lib/registry", "registry:2")
	answers := func() string {
		address := s.OK("port", "reg", "5000")
		s.Eventually("the registry answers", func() bool {
			answer, err := http.Get("http://" + address + "/v2/")
			if err != nil {
				return false
			}
			answer.Body.Close()
			return answer.StatusCode == http.StatusOK
		})
		return address
	}
	address := answers()
	img := s.LoadBusybox()
	s.OK("tag", img, address+"/team/app:1")
	s.Skiff("push", address+"/team/app:1").Exits(0).Says(": Pushed\n")
	want := s.Inspect(img, "{{.Id}}")
	// Another store is another user's as far as images go.
	other := func(args string) *harness.Result { return s.Shell("XDG_DATA_HOME=$HOME/other skiff " + args) }
	other("pull -q " + address + "/team/app:1").Exits(0).Prints(address + "/team/app:1")
	other("image inspect -f '{{.Id}}' " + address + "/team/app:1").Prints(want)
	other("rmi " + address + "/team/app:1").Exits(0)
	byAnotherUser(s, "pull", "-q", address+"/team/app:1")
	s.Skiff("search", "--list-tags", address+"/team/app").Exits(0).Says("1")
	// What was pushed is on the host, and outlives the container.
	s.OK("rm", "-f", "reg")
	s.OK("run", "-d", "--name", "reg", "-p", "127.0.0.1:0:5000", "-v", data+":/var/lib/registry", "registry:2")
	address = answers()
	s.Skiff("pull", "-q", address+"/team/app:1").Exits(0)
	harness.Equal(t, "the image", s.Inspect(address+"/team/app:1", "{{.Id}}"), want)
	s.OK("rm", "-f", "-v", "reg")
	s.Shell("rm -rf ~/other").Exits(0)
}

// byAnotherUser runs skiff as nobody, who has a home for it.
func byAnotherUser(s *harness.Session, args ...string) {
	s.T.Helper()
	if os.Geteuid() != 0 {
		return
	}
	const nobody = 65534
	home, err := os.MkdirTemp("", "skiff-other-")
	if err == nil {
		err = os.Chown(home, nobody, nobody)
	}
	if err != nil {
		s.T.Fatal(err)
	}
	defer os.RemoveAll(home)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Binary(), args...)
	cmd.Dir, cmd.Env = "/", []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); err != nil {
		s.T.Errorf("as another user: %v: %v\n%s", args, err, out)
	}
}
