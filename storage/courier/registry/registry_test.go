package registry

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseChallenge(t *testing.T) {
	for _, tt := range []struct {
		header, scheme string
		parameters     map[string]string
	}{
		{`Basic realm="here"`, "basic", map[string]string{"realm": "here"}},
		{`Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"`, "bearer", map[string]string{"realm": "https://a/t", "service": "s", "scope": "repository:x:pull,push"}},
		{`bearer realm=https://a/t , service = "s"`, "bearer", map[string]string{"realm": "https://a/t", "service": "s"}},
		{`Bearer realm="a\"b"`, "bearer", map[string]string{"realm": `a"b`}},
		{`Bearer realm="unclosed`, "bearer", map[string]string{"realm": "unclosed"}},
		{`Bearer`, "bearer", map[string]string{}},
		{``, "", map[string]string{}},
	} {
		scheme, parameters := parseChallenge(tt.header)
		if scheme != tt.scheme || !maps.Equal(parameters, tt.parameters) {
			t.Errorf("%s: got %s %v", tt.header, scheme, parameters)
		}
	}
}

func FuzzParseChallenge(f *testing.F) {
	f.Add(`Bearer realm="https://a/t",service="s",scope="x"`)
	f.Add(`Basic realm="\`)
	f.Fuzz(func(_ *testing.T, header string) { parseChallenge(header) })
}

// Credentials for a registry go to a token server of the same party only.
func TestSameParty(t *testing.T) {
	for _, tt := range []struct {
		registry, realm string
		want            bool
	}{
		{"https://registry-1.docker.io", "https://auth.docker.io/token", true},
		{"https://ghcr.io", "https://ghcr.io/token", true},
		{"https://registry.gitlab.com", "https://gitlab.com/jwt/auth", true},
		{"https://reg.corp.com:5000", "https://reg.corp.com:5001/auth", true},
		{"https://reg.corp.com", "https://evil.com/auth", false},
		{"https://reg.corp.com", "http://reg.corp.com/auth", false},
		{"https://a.co.uk", "https://b.co.uk/auth", false},
		{"https://a.github.io", "https://b.github.io/auth", false},
		{"http://127.0.0.1:1", "http://127.0.0.1:1/token", true},
		{"http://127.0.0.1:1", "http://127.0.0.1:2/token", false},
		{"https://10.0.0.1", "https://10.0.0.1:5001/token", false},
		{"http://reg.corp.com", "https://reg.corp.com/token", true},
	} {
		registry, err := url.Parse(tt.registry)
		if err != nil {
			t.Fatal(err)
		}
		realm, err := url.Parse(tt.realm)
		if err != nil {
			t.Fatal(err)
		}
		if got := sameParty(registry, realm); got != tt.want {
			t.Errorf("%s, %s: got %v, want %v", tt.registry, tt.realm, got, tt.want)
		}
	}
}

func TestRangeStart(t *testing.T) {
	for header, want := range map[string]int64{"bytes 5-9/10": 5, "bytes 0-0/*": 0, "bytes 5": -1, "5-9/10": -1, "bytes -5/10": -1, "": -1} {
		got, ok := rangeStart(header)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: got %d %v", header, got, ok)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{"3": 3 * time.Second, "": 0, "-3": 0, "soon": 0, "Thu, 01 Jan 1970 00:00:00 GMT": 0} {
		if got := retryAfter(&http.Response{Header: http.Header{"Retry-After": {value}}}); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
	soon := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	if got := retryAfter(&http.Response{Header: http.Header{"Retry-After": {soon}}}); got < 59*time.Minute {
		t.Errorf("in an hour: got %v", got)
	}
}

func TestBackoff_EndsByTriesAndByTime(t *testing.T) {
	why := io.ErrUnexpectedEOF
	b := Patience{Pause: time.Microsecond, Total: time.Minute}.Backoff(nil)
	n := 0
	for b.Wait(t.Context(), why, 0) {
		n++
	}
	if n != tries {
		t.Errorf("got %d tries, want %d", n, tries)
	}
	b.Progress()
	if !b.Wait(t.Context(), why, 0) {
		t.Error("progress does not count")
	}
	if b.Wait(t.Context(), why, 2*time.Minute) {
		t.Error("it would wait longer than it is worth")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if (Patience{Pause: time.Hour, Total: 3 * time.Hour}).Backoff(nil).Wait(ended, why, 0) {
		t.Error("it goes on after the context has ended")
	}
}

// A registry that falls silent whenever it is asked is given up in bounded time:
// after 90 seconds with the patience that users have.
func TestBackoff_EndsBySilence(t *testing.T) {
	b := Patience{Pause: time.Microsecond}.Backoff(nil)
	var silent time.Duration
	for {
		silent += b.stall()
		if !b.Wait(t.Context(), ErrStalled, 0) {
			break
		}
	}
	if silent != 90*time.Second {
		t.Errorf("given up after %v of silence", silent)
	}
	b.Progress()
	if got := b.stall(); got != 60*time.Second {
		t.Errorf("after progress: got %v", got)
	}
}

func TestTemporary(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{&Error{Status: 500}, true},
		{&Error{Status: 503}, true},
		{&Error{Status: 429}, true},
		{&Error{Status: 501}, false},
		{&Error{Status: 404}, false},
		{&Error{Status: 401}, false},
		{syscall.ECONNRESET, true},
		{io.ErrUnexpectedEOF, true},
		{ErrStalled, true},
		{context.Canceled, false},
		{errors.New("x509: certificate signed by unknown authority"), false},
	} {
		if got := Temporary(tt.err); got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.err, got, tt.want)
		}
	}
}

func TestReadError_UsesTheRegistrysWords(t *testing.T) {
	for _, tt := range []struct {
		status     int
		body, want string
	}{
		{404, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`, "manifest unknown: manifest unknown"},
		{401, `{"details":"incorrect username or password"}`, "incorrect username or password"},
		{401, ``, "unauthorized: authentication required"},
		{403, `<html>`, "denied: requested access to the resource is denied"},
		{500, `oops`, "received unexpected HTTP status: 500 Internal Server Error"},
		{400, `{"errors":[{"code":"X","message":"two\nlines"}]}`, "x: two lines"},
		{400, `{"errors":[{"code":"X","message":"` + strings.Repeat("m", 9999) + `"}]}`, "x: " + strings.Repeat("m", maxErrorText) + "..."},
	} {
		err := readError(&http.Response{StatusCode: tt.status, Body: io.NopCloser(strings.NewReader(tt.body))})
		if err.Error() != tt.want {
			t.Errorf("%d %.40s: got %q, want %q", tt.status, tt.body, err, tt.want)
		}
	}
}

// A list may come in pages, and a bad registry may send us round in circles or
// elsewhere.
func TestTags_ComeInPages(t *testing.T) {
	var elsewhere string
	mux := http.NewServeMux()
	mux.HandleFunc("/v2/", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/v2/good/tags/list", func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Query().Get("last") == "" {
			w.Header().Set("Link", `</v2/good/tags/list?n=1&last=b>; rel="next"`)
			_, _ = io.WriteString(w, `{"tags":["b"]}`)
			return
		}
		_, _ = io.WriteString(w, `{"tags":["a"]}`)
	})
	mux.HandleFunc("/v2/circle/tags/list", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", `</v2/circle/tags/list?n=1>; rel="next"`)
		_, _ = io.WriteString(w, `{"tags":["a"]}`)
	})
	mux.HandleFunc("/v2/away/tags/list", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", `<`+elsewhere+`/list>; rel="next"`)
		_, _ = io.WriteString(w, `{"tags":["a"]}`)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another server was asked") }))
	defer other.Close()
	elsewhere = other.URL
	c, err := New(strings.TrimPrefix(server.URL, "http://"), Options{Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	for repository, want := range map[string]string{"good": "a b", "circle": "a a", "away": "a"} {
		got, err := c.Tags(t.Context(), repository)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: got %v %v, want %s", repository, got, err, want)
		}
	}
}
