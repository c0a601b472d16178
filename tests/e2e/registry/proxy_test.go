package registry_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"skiff/tests/harness"
	"skiff/tests/registry"
)

// proxy is an HTTP proxy that takes every host for one server, and notes for
// what it was used.
type proxy struct {
	*httptest.Server
	mu   sync.Mutex
	used []string
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	p := &proxy{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		p.mu.Lock()
		p.used = append(p.used, q.Method+" "+q.Host)
		p.mu.Unlock()
		if q.Method == http.MethodConnect {
			tunnel(w, server)
			return
		}
		q.RequestURI, q.URL.Host = "", server
		answer, err := http.DefaultTransport.RoundTrip(q)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body) // the other side says what it misses
	}))
	t.Cleanup(p.Close)
	return p
}

// tunnel connects the two sides of a CONNECT until one of them ends.
func tunnel(w http.ResponseWriter, server string) {
	far, err := net.Dial("tcp", server)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	_, _ = io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n")
	done := make(chan struct{}, 2)
	for _, way := range [][2]any{{far, buffered}, {near, far}} {
		go func() {
			_, _ = io.Copy(way[0].(io.Writer), way[1].(io.Reader))
			done <- struct{}{}
		}()
	}
	<-done
}

// took returns what the proxy was used for since the last call.
func (p *proxy) took() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	used := strings.Join(p.used, "\n")
	p.used = nil
	return used
}

func TestProxy_IsTheWayToRegistries(t *testing.T) {
	s := harness.New(t)
	s.Shell(`mkdir -p ~/.config/docker; echo '{"insecure-registries":["far.test","plain.test:80"]}' >~/.config/docker/daemon.json`)
	r := registry.New(t)
	r.Add("app", "1", harness.Busybox(t).Tar(t))
	secure := httptest.NewTLSServer(r.Handler())
	t.Cleanup(secure.Close)
	https := newProxy(t, strings.TrimPrefix(secure.URL, "https://"))
	s.Setenv("HTTPS_PROXY", https.URL)
	s.Setenv("NO_PROXY", "near.test")
	s.Skiff("pull", "-q", "far.test/ok/app:1").Exits(0)
	if used := https.took(); !strings.Contains(used, "CONNECT far.test:443") {
		t.Errorf("pull used the proxy for %q", used)
	}
	s.OK("rmi", "far.test/ok/app:1")
	s.Skiff("pull", "near.test/ok/app:1").Exits(1)
	if used := https.took(); used != "" {
		t.Errorf("a host of NO_PROXY used the proxy for %q", used)
	}

	// A registry that takes pushes, over plain http.
	closed := harness.NewRegistryWithPassword(t)
	plain := newProxy(t, closed.Address)
	s.Unsetenv("HTTPS_PROXY")
	s.Setenv("http_proxy", plain.URL) // in small letters, too
	name := "plain.test:80/app"
	s.OK("tag", s.LoadBusybox(), name)
	for _, line := range [][]string{
		{"login", "-u", "ana", "-p", "secret", "plain.test:80"},
		{"push", "-q", name},
		{"manifest", "inspect", "--insecure", name},
		{"search", "plain.test:80/app"},
	} {
		s.Skiff(line...).Exits(0)
		if used := plain.took(); !strings.Contains(used, " plain.test:80") {
			t.Errorf("%s used the proxy for %q", line[0], used)
		}
	}
	s.OK("rmi", name)
}

// Containers get what config.json says, and not what the caller's environment
// happens to hold.
func TestProxies_OfConfigJSONAreForContainers(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	s.Setenv("HTTP_PROXY", "http://of.the.caller:1")
	show := "env | grep -i _proxy | sort"
	s.Skiff("run", "--rm", "--network", "none", image, "sh", "-c", show).Prints("")
	s.Shell(`mkdir -p ~/.docker; echo '{"proxies":{"default":{"httpProxy":"http://p:1","noProxy":"x,y"}}}' >~/.docker/config.json`)
	s.Skiff("run", "--rm", "--network", "none", image, "sh", "-c", show).
		Prints("HTTP_PROXY=http://p:1\nNO_PROXY=x,y\nhttp_proxy=http://p:1\nno_proxy=x,y")
	s.Skiff("run", "--rm", "--network", "none", "-e", "HTTP_PROXY=own", "-e", "no_proxy", image, "sh", "-c", show).
		Prints("HTTP_PROXY=own\nNO_PROXY=x,y\nhttp_proxy=http://p:1")
	dockerfile := strings.NewReader("FROM " + image + "\nRUN --network=none " + show + " >/seen\n")
	s.SkiffInput(dockerfile, "build", "-q", "-t", "seen", "--build-arg", "NO_PROXY=own", "-").Exits(0)
	s.Skiff("run", "--rm", "--network", "none", "seen", "cat", "/seen").
		Prints("HTTP_PROXY=http://p:1\nNO_PROXY=own\nhttp_proxy=http://p:1\nno_proxy=x,y")
	if said := s.Skiff("history", "--no-trunc", "seen").Exits(0).Stdout; strings.Contains(said, "http://p:1") {
		t.Errorf("history tells the proxy:\n%s", said)
	}
	s.Shell(`echo '{"proxies":' >~/.docker/config.json`)
	s.Skiff("run", "--rm", "--network", "none", image, "true").Exits(0).Complains("WARNING: Error loading config file: ")
}
