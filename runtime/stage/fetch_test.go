package stage

import (
	"net"
	"strings"
	"testing"

	"skiff/runtime/stage/message"
)

func TestFetch(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		any          bool
		want         string // the error, empty for none
	}{
		{name: "a good status", answer: "HTTP/1.1 200 OK\r\n\r\nbody"},
		{name: "a redirection", answer: "HTTP/1.0 302\r\n\r\n"},
		{name: "a bad status", answer: "HTTP/1.1 500 Oh\r\n\r\n", want: "HTTP status 500"},
		{name: "a bad status will do", answer: "HTTP/1.1 500 Oh\r\n\r\n", any: true},
		{name: "no HTTP", answer: "220 mail\r\n", any: true, want: "does not speak HTTP"},
		{name: "no status", answer: "HTTP/1.1 2x0 OK\r\n", any: true, want: "does not speak HTTP"},
		{name: "nothing", want: "does not speak HTTP"},
		{name: "without end", answer: "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 1<<20)},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			got := make([]byte, len("GET"))
			_, _ = conn.Read(got)
			_, _ = conn.Write([]byte(c.answer))
		}()
		at := l.Addr().(*net.TCPAddr)
		err = fetch(&message.Fetch{IP: at.IP.To4(), Port: at.Port, Request: []byte("GET"), AnyStatus: c.any})
		if err == nil != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		l.Close()
		if err := fetch(&message.Fetch{IP: at.IP.To4(), Port: at.Port}); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("nobody there: got %v", err)
		}
	}
}
