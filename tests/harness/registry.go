package harness

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Registry is a real registry on 127.0.0.1, as long as a test lasts.
type Registry struct {
	Address string // host:port
	Dir     string // of its contents
}

// NewRegistry starts Debian's docker-registry on a free port.
func NewRegistry(t *testing.T) *Registry {
	t.Helper()
	Requires(t, CommandNamed("docker-registry"))
	r := &Registry{Address: freeAddress(t), Dir: t.TempDir()}
	config := filepath.Join(r.Dir, "config.yml")
	text := fmt.Sprintf(`version: 0.1
log: {accesslog: {disabled: true}, level: error}
storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}
http: {addr: %s}
`, filepath.Join(r.Dir, "data"), r.Address)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("docker-registry", "serve", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	own.add(cmd.Process.Pid)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		own.remove(cmd.Process.Pid)
	})
	if !within(10*time.Second, func() bool {
		answer, err := http.Get("http://" + r.Address + "/v2/")
		if err == nil {
			answer.Body.Close()
		}
		return err == nil
	}) {
		t.Fatal("the registry does not answer")
	}
	return r
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
