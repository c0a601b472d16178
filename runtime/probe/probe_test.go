package probe

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skiff/storage/container/hook"
)

// serve has h answer on a loopback address until the test ends.
func serve(t *testing.T, s *http.Server, h http.HandlerFunc, listen func(net.Listener) net.Listener) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if listen != nil {
		l = listen(l)
	}
	s.Handler, s.ErrorLog = h, log.New(io.Discard, "", 0)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	return port
}

// raw answers each connection with what write does.
func raw(t *testing.T, write func(net.Conn)) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				write(conn)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// ask returns what was said, or the error with "error: " before it.
func ask(t *testing.T, call *hook.Call) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	said, err := Ask(ctx, call)
	if err != nil {
		return "error: " + err.Error()
	}
	return said
}

func getCall(port int, path string) *hook.Call {
	return &hook.Call{Handler: hook.Handler{HTTPGet: &hook.HTTPGet{Port: port, Path: path}}}
}

func TestGet_StatusAndRedirections(t *testing.T) {
	port := serve(t, &http.Server{}, func(w http.ResponseWriter, r *http.Request) {
		if n, err := strconv.Atoi(strings.Trim(r.URL.Path, "/")); err == nil {
			w.Header().Set("Location", r.URL.Query().Get("to"))
			w.WriteHeader(n)
		}
	}, nil)
	for path, want := range map[string]string{
		"":                            "HTTP status 200",
		"/200":                        "HTTP status 200",
		"299":                         "HTTP status 299",
		"400":                         "error: HTTP probe failed with statuscode: 400",
		"500":                         "error: HTTP probe failed with statuscode: 500",
		"304":                         "HTTP status 304: a redirection to another host is not followed",
		"302?to=/500":                 "error: HTTP probe failed with statuscode: 500",
		"302?to=http://10.9.8.7:1/":   "HTTP status 302: a redirection to another host is not followed",
		"302?to=http://127.0.0.1:1/":  "HTTP status 302: a redirection to another host is not followed",
		"302?to=file:///etc/passwd":   "HTTP status 302: a redirection to another host is not followed",
		"302?to=http://localhost:1/x": "error: GET http://localhost:" + strconv.Itoa(port) + "/302?to=http://localhost:1/x: connect to 127.0.0.1:1: connection refused",
	} {
		if got := ask(t, getCall(port, path)); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	round := serve(t, &http.Server{}, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) }, nil)
	if got := ask(t, getCall(round, "")); !strings.Contains(got, "stopped after 10 redirections") {
		t.Errorf("round and round: %q", got)
	}
	hooked := getCall(port, "500")
	hooked.Hook = true
	if got := ask(t, hooked); got != "HTTP status 500" {
		t.Errorf("a hook takes any answer: %q", got)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	gone := l.Addr().(*net.TCPAddr).Port
	if got, want := ask(t, getCall(gone, "")), fmt.Sprintf("error: GET http://localhost:%d/: connect to 127.0.0.1:%d: connection refused", gone, gone); got != want {
		t.Errorf("nobody there: got %q, want %q", got, want)
	}
}

func TestGet_Request(t *testing.T) {
	got := make(chan string, 1)
	port := serve(t, &http.Server{}, func(_ http.ResponseWriter, r *http.Request) {
		var fields []string
		for name, values := range r.Header {
			fields = append(fields, name+"="+strings.Join(values, ","))
		}
		slices.Sort(fields)
		got <- r.Method + " " + r.RequestURI + " " + r.Host + " " + strings.Join(fields, " ")
	}, nil)
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	at := "localhost:" + strconv.Itoa(port)
	for name, c := range map[string]struct {
		get  hook.HTTPGet
		hook bool
		want string
	}{
		"least":    {hook.HTTPGet{}, false, "GET / " + at + " Accept=*/* Connection=close User-Agent=kube-probe/skiff"},
		"a hook's": {hook.HTTPGet{Path: "a?b=c%20d"}, true, "GET /a?b=c%20d " + at + " Accept=*/* Connection=close User-Agent=kube-lifecycle/skiff"},
		"headers": {
			hook.HTTPGet{Headers: []hook.Header{{Name: "host", Value: "me"}, {Name: "X-A", Value: "1"}, {Name: "x-a", Value: "2"}, {Name: "accept", Value: "a"}}},
			false,
			"GET / me Accept=a Connection=close User-Agent=kube-probe/skiff X-A=1,2",
		},
		"no name of our own": {hook.HTTPGet{Headers: []hook.Header{{Name: "User-Agent"}}}, false, "GET / " + at + " Accept=*/* Connection=close"},
	} {
		c.get.Port = port
		if said := ask(t, &hook.Call{Handler: hook.Handler{HTTPGet: &c.get}, Hook: c.hook}); said != "HTTP status 200" {
			t.Errorf("%s: %s", name, said)
			continue
		}
		if got := <-got; got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestGet_HTTPSWithoutVerification(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1, 0)} // long expired, nobody's
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	hello := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }
	port := serve(t, &http.Server{}, hello, func(l net.Listener) net.Listener { return tls.NewListener(l, conf) })
	call := getCall(port, "")
	call.HTTPGet.Scheme = "HTTPS"
	if got := ask(t, call); got != "HTTP status 200" {
		t.Errorf("got %q", got)
	}
	// What speaks no TLS is none; a hook, as the kubelet, takes it all the same.
	call.HTTPGet.Port = serve(t, &http.Server{}, hello, nil)
	if got := ask(t, call); !strings.Contains(got, "server gave HTTP response to HTTPS client") {
		t.Errorf("got %q", got)
	}
	call.Hook = true
	if got := ask(t, call); got != "HTTP status 200" {
		t.Errorf("a hook: got %q", got)
	}
}

// A server that does what it likes gets nothing out of it but its own failure.
func TestGet_HostileServers(t *testing.T) {
	forever := func(head, line string) func(net.Conn) {
		return func(c net.Conn) {
			// Before it is asked, an answer is none.
			_, _ = c.Read(make([]byte, 1))
			_, _ = io.WriteString(c, head)
			block := strings.Repeat(line, 1000)
			for {
				if _, err := io.WriteString(c, block); err != nil {
					return
				}
			}
		}
	}
	for name, c := range map[string]struct {
		write func(net.Conn)
		want  string
	}{
		"headers without end":       {forever("HTTP/1.1 200 OK\r\n", "A: b\r\n"), "error: GET http://localhost:PORT/: "},
		"a header without end":      {forever("HTTP/1.1 200 OK\r\nA: ", "bbbbbbb"), "error: GET http://localhost:PORT/: "},
		"a status without end":      {forever("HTTP/1.1 200 ", "OKOKOK"), "error: GET http://localhost:PORT/: "},
		"early answers without end": {forever("", "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n"), "error: GET http://localhost:PORT/: "},
		"a body without end":        {forever("HTTP/1.1 200 OK\r\n\r\n", "body"), "HTTP status 200"},
		"chunks without end":        {forever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n"), "HTTP status 200"},
		"another protocol":          {forever("220 mail\r\n", ""), "error: GET http://localhost:PORT/: "},
		"nothing":                   {func(c net.Conn) { _, _ = bufio.NewReader(c).ReadByte() }, "error: GET http://localhost:PORT/: "},
	} {
		port := raw(t, c.write)
		want := strings.ReplaceAll(c.want, "PORT", strconv.Itoa(port))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := ask(t, getCall(port, ""))
		runtime.ReadMemStats(&after)
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
		if len(got) > 300 {
			t.Errorf("%s: %d bytes are said of it", name, len(got))
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
			t.Errorf("%s: took %d bytes", name, took)
		}
	}
	// Who never answers has as long as whoever asks has patience.
	silent := raw(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for name, call := range map[string]*hook.Call{"HTTP": getCall(silent, ""), "gRPC": {Handler: hook.Handler{GRPC: &hook.GRPC{Port: silent}}}} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := Ask(ctx, call); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v", name, err)
		}
		cancel()
	}
	if got := ask(t, &hook.Call{Handler: hook.Handler{TCPSocket: &hook.TCPSocket{Port: silent}}}); got != "" {
		t.Errorf("a connection will do: %q", got)
	}
}

// healthServer answers as gRPC's servers do.
func healthServer(t *testing.T, answer func(service string) (body string, header, trailer map[string]string)) int {
	t.Helper()
	s := &http.Server{Protocols: new(http.Protocols)}
	s.Protocols.SetUnencryptedHTTP2(true)
	return serve(t, s, func(w http.ResponseWriter, r *http.Request) {
		said, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/grpc.health.v1.Health/Check" || r.Header.Get("Content-Type") != "application/grpc" || r.Header.Get("Te") != "trailers" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		service := ""
		if len(said) > 7 {
			service = string(said[7:]) // frame, key and length of a short one
		}
		body, header, trailer := answer(service)
		w.Header().Set("Content-Type", "application/grpc")
		for k, v := range header {
			w.Header().Set(k, v)
		}
		for k, v := range trailer {
			w.Header().Set(http.TrailerPrefix+k, v)
		}
		_, _ = io.WriteString(w, body)
	}, nil)
}

func TestCheck(t *testing.T) {
	ok := map[string]string{"Grpc-Status": "0"}
	port := healthServer(t, func(service string) (string, map[string]string, map[string]string) {
		switch service {
		case "":
			return "\x00\x00\x00\x00\x02\x08\x01", nil, ok
		case "more": // fields that are not known yet go before
			return "\x00\x00\x00\x00\x15\x12\x03abc\x19\x01\x02\x03\x04\x05\x06\x07\x08\x25\x01\x02\x03\x04\x08\x01", nil, ok
		case "ill":
			return "\x00\x00\x00\x00\x02\x08\x02", nil, ok
		case "zero":
			return "\x00\x00\x00\x00\x00", nil, ok
		case "odd":
			return "\x00\x00\x00\x00\x02\x08\x63", nil, ok
		case "unknown": // without a message, the status comes with the header
			return "", map[string]string{"Grpc-Status": "5", "Grpc-Message": "no%20such service"}, nil
		case "absent":
			return "", map[string]string{"Grpc-Status": "12", "Grpc-Message": "unknown service\x1b"}, nil
		case "late": // it was well, and then was not
			return "\x00\x00\x00\x00\x02\x08\x01", nil, map[string]string{"Grpc-Status": "13"}
		case "mute":
			return "\x00\x00\x00\x00\x02\x08\x01", nil, nil
		case "cut":
			return "\x00\x00\x00\x00\x03\x08\x01", nil, ok
		case "packed":
			return "\x01\x00\x00\x00\x02\x08\x01", nil, ok
		case "long":
			return strings.Repeat("x", 1<<20), nil, ok
		}
		return "\x00\x00\x00\x00\x02\x12\x7f", nil, ok
	})
	const malformed = "error: health rpc failed: the answer is malformed"
	for service, want := range map[string]string{
		"": "SERVING", "more": "SERVING",
		"ill": `error: service unhealthy (responded with "NOT_SERVING")`, "zero": `error: service unhealthy (responded with "UNKNOWN")`,
		"odd": `error: service unhealthy (responded with "99")`, "unknown": `error: health rpc failed: status 5: "no such service"`,
		"absent": `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): `,
		"late":   `error: health rpc failed: status 13: ""`, "mute": "error: what answered does not speak gRPC: there is no grpc-status",
		"cut": malformed, "packed": malformed, "beyond": malformed, "long": "error: health rpc failed: read answer: it is longer than 10240 bytes",
	} {
		got := ask(t, &hook.Call{Handler: hook.Handler{GRPC: &hook.GRPC{Port: port, Service: service}}})
		if !strings.HasPrefix(got, want) || strings.Contains(got, "\x1b") {
			t.Errorf("%q: got %q, want %q", service, got, want)
		}
	}
	plain := serve(t, &http.Server{}, func(http.ResponseWriter, *http.Request) {}, nil)
	if got := ask(t, &hook.Call{Handler: hook.Handler{GRPC: &hook.GRPC{Port: plain}}}); !strings.HasPrefix(got, fmt.Sprintf("error: connect to gRPC service %q: ", "localhost:"+strconv.Itoa(plain))) {
		t.Errorf("HTTP/1.1 is no gRPC: %q", got)
	}
	other := &http.Server{Protocols: new(http.Protocols)}
	other.Protocols.SetUnencryptedHTTP2(true)
	if got := ask(t, &hook.Call{Handler: hook.Handler{GRPC: &hook.GRPC{Port: serve(t, other, http.NotFound, nil)}}}); !strings.HasSuffix(got, "does not speak gRPC: HTTP status 404") {
		t.Errorf("no such method: %q", got)
	}
}

func TestLookup_ByTheContainersFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := &dialer{names: dir}
	if list, err := d.lookup(t.Context(), "far.example"); err == nil || !strings.Contains(err.Error(), "the container has no name server") {
		t.Errorf("without files: %v, %v", list, err)
	}
	write("hosts", "# none 1.1.1.1\n127.0.0.1 me # db\n10.0.0.2\tdb db.internal\nnonsense\n::2 DB\n")
	for name, want := range map[string]string{"db": "[10.0.0.2 ::2]", "db.internal": "[10.0.0.2]", "localhost": "[127.0.0.1 ::1]", "1.2.3.4": "[1.2.3.4]", "::1": "[::1]"} {
		if list, err := d.lookup(t.Context(), name); err != nil || fmt.Sprint(list) != want {
			t.Errorf("%s: got %v, %v, want %s", name, list, err, want)
		}
	}
	if got := servers([]byte("search x\nnameserver\nnameserver nonsense\nnameserver 10.0.0.1\n  nameserver fd00::1 # x\n")); !slices.Equal(got, []string{"10.0.0.1:53", "[fd00::1]:53"}) {
		t.Errorf("servers: %q", got)
	}
	// What the container may have put there leads nowhere, and does not last for ever.
	if err := os.Remove(filepath.Join(dir, "hosts")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/hosts", filepath.Join(dir, "hosts")); err != nil {
		t.Fatal(err)
	}
	if data := d.read("hosts"); data != nil {
		t.Errorf("a link was followed: %q", data)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data := d.read("fifo"); len(data) > 0 {
		t.Errorf("read %q", data)
	}
	write("long", strings.Repeat("x", 1<<20))
	if data := d.read("long"); len(data) != mostNames {
		t.Errorf("read %d bytes", len(data))
	}
}

func FuzzAnswered(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x02\x08\x01"))
	f.Add([]byte("\x00\x00\x00\x00\x15\x12\x03abc\x19\x01\x02\x03\x04\x05\x06\x07\x08\x25\x01\x02\x03\x04\x08\x01"))
	f.Fuzz(func(t *testing.T, body []byte) {
		status, err := answered(body)
		if err != nil && status != 0 {
			t.Errorf("%d and %v", status, err)
		}
	})
}

// A name server is asked for both families of addresses at once; go test -race looks on.
func TestLookup_AsksForBothFamilies(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte("nameserver 127.0.0.253\nnameserver 127.0.0.254\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for range 30 {
		if list, err := (&dialer{names: dir}).lookup(ctx, "nobody.invalid"); err == nil {
			t.Errorf("nobody answers, got %v", list)
		}
	}
}
