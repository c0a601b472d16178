package network_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// registryImage is Debian's docker-registry with the libraries that it names.
func registryImage(t *testing.T, s *harness.Session) string {
	t.Helper()
	harness.Requires(t, harness.CommandNamed("docker-registry"), harness.CommandNamed("ldd"))
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Fatal(err)
	}
	read := func(path string) string {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	layer := harness.Layer{harness.Program("bin/registry", read(program)), harness.File("etc/registry.yml", `version: 0.1
log: {accesslog: {disabled: true}, level: error}
storage: {filesystem: {rootdirectory: /var/lib/registry}}
http: {addr: ":5000"}
`), harness.Dir("tmp")}
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	for word := range strings.FieldsSeq(string(out)) {
		if filepath.IsAbs(word) {
			layer = append(layer, harness.Program(strings.TrimPrefix(word, "/"), read(word)))
		}
	}
	return s.Load(harness.Image{
		Name: "registry:latest", Layers: []harness.Layer{layer},
		Config: map[string]any{"Entrypoint": []string{"/bin/registry", "serve", "/etc/registry.yml"}, "ExposedPorts": map[string]any{"5000/tcp": struct{}{}}},
	})
}

// A private registry in a container: pushed to, asked, and pulled from by
// somebody with another store.
func TestRegistry_InAContainer(t *testing.T) {
	s := harness.New(t)
	img := registryImage(t, s)
	dir := s.Mkdir("registry")
	port := freePort(t)
	s.OK("run", "-d", "--name", "registry", "-p", fmt.Sprintf("%d:5000", port), "-v", dir+":/var/lib/registry", img)
	at := fmt.Sprintf("127.0.0.1:%d", port)
	get := func(path string) string {
		r, err := http.Get("http://" + at + path)
		if err != nil {
			return err.Error()
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		return strings.TrimSpace(string(body))
	}
	s.Eventually("the registry answers", func() bool { return get("/v2/") == "{}" })
	payload := s.LoadPayload()
	s.OK("tag", payload, at+"/team/payload:1")
	s.Skiff("push", at+"/team/payload:1").Exits(0).Says("1: digest: sha256:")
	harness.Equal(t, "the catalogue", get("/v2/_catalog"), `{"repositories":["team/payload"]}`)

	other := harness.New(t)
	other.Skiff("run", "--rm", at+"/team/payload:1", "args", "pulled").Exits(0).Prints("pulled")
	s.OK("rm", "-f", "registry")
	if !harness.Exists(filepath.Join(dir, "docker/registry/v2/repositories/team/payload")) {
		t.Error("the registry's data is not in the directory that was bound")
	}
}
