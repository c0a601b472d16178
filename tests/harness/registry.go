package harness

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Registry is a real registry on 127.0.0.1, as long as a test lasts.
type Registry struct {
	Address string // host:port
	Dir     string // of its contents
	cmd     *exec.Cmd
}

// RegistryUser and RegistryPassword open a registry of NewRegistryWithPassword.
const (
	RegistryUser     = "ana"
	RegistryPassword = "secret"
	// htpasswd is the file for them: bcrypt, cost 5.
	htpasswd = "ana:$2a$05$MU5DdEy4/C5jdVzk9OjdTuRFS//D.U.J1kgaTMk8zmTXpJwp0fLPu\n"
)

// NewRegistry starts Debian's docker-registry on a free port.
func NewRegistry(t *testing.T) *Registry {
	t.Helper()
	return newRegistry(t, "")
}

// NewRegistryWithPassword is NewRegistry for one that lets only RegistryUser in.
func NewRegistryWithPassword(t *testing.T) *Registry {
	t.Helper()
	path := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(path, []byte(htpasswd), 0o644); err != nil {
		t.Fatal(err)
	}
	return newRegistry(t, fmt.Sprintf("auth: {htpasswd: {realm: test, path: %s}}\n", path))
}

func newRegistry(t *testing.T, more string) *Registry {
	t.Helper()
	Requires(t, CommandNamed("docker-registry"))
	r := &Registry{Address: freeAddress(t), Dir: t.TempDir()}
	config := filepath.Join(r.Dir, "config.yml")
	text := fmt.Sprintf(`version: 0.1
log: {accesslog: {disabled: true}, level: error}
storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}
http: {addr: %s}
%s`, filepath.Join(r.Dir, "data"), r.Address, more)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r.Start(t)
	t.Cleanup(r.Stop)
	return r
}

// Start starts the registry, after a Stop with the same contents and address.
func (r *Registry) Start(t *testing.T) {
	t.Helper()
	r.cmd = exec.Command("docker-registry", "serve", filepath.Join(r.Dir, "config.yml"))
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	own.add(r.cmd.Process.Pid)
	if !within(comesWithin, func() bool {
		c, err := net.Dial("tcp", r.Address)
		if err == nil {
			c.Close()
		}
		return err == nil
	}) {
		t.Fatal("the registry does not answer")
	}
}

// Stop ends the registry: nobody listens at its address then.
func (r *Registry) Stop() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	own.remove(r.cmd.Process.Pid)
	r.cmd = nil
}

// Has reports whether the registry has a blob in a repository.
func (r *Registry) Has(repository, digest string) bool {
	hex := strings.TrimPrefix(digest, "sha256:")
	return Exists(filepath.Join(r.Dir, "data/docker/registry/v2/repositories", repository, "_layers/sha256", hex))
}

// Push puts an image into the registry with skopeo and returns its reference.
func (r *Registry) Push(t *testing.T, i Image, name string) string {
	t.Helper()
	return r.PushArchive(t, "oci-archive:"+i.OCIArchive(t, filepath.Join(t.TempDir(), "push.tar")), name)
}

// PushArchive is Push of an image that skopeo finds under a name of its own
// ("oci-archive:path", "docker-archive:path").
func (r *Registry) PushArchive(t *testing.T, source, name string) string {
	t.Helper()
	Requires(t, CommandNamed("skopeo"))
	reference := r.Address + "/" + name
	out, err := exec.Command("skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false",
		source, "docker://"+reference).CombinedOutput()
	if err != nil {
		t.Fatalf("push %s: %v\n%s", reference, err, out)
	}
	return reference
}

// freeAddress is an address of this machine that nobody listens on right now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
