package flags

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestReadPairs(t *testing.T) {
	caller := func(name string) (string, bool) { return "caller", name == "KNOWN" }
	cases := []struct {
		name, in string
		want     []string
		err      string
	}{
		{"plain", "A=1\nB=two words \n", []string{"A=1", "B=two words "}, ""},
		{"comments, blanks and a byte order mark", "\ufeffA=1\n\n  # no\n\t B=#yes\r\n", []string{"A=1", "B=#yes"}, ""},
		{"quotes are kept", `A="1"`, []string{`A="1"`}, ""},
		{"a name alone", "KNOWN\nUNKNOWN\n", []string{"KNOWN=caller"}, ""},
		{"export is no keyword", "export A=1", nil, "variable 'export A' contains whitespaces"},
		{"no name", "=1", nil, "no variable name on line '=1'"},
		{"no text", "A=\xff", nil, `invalid utf8 bytes at line 1: "A=\xff"`},
	}
	for _, c := range cases {
		got, err := readPairs(strings.NewReader(c.in), caller)
		if !reflect.DeepEqual(got, c.want) || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%s: %q, %v; want %q, %q", c.name, got, err, c.want, c.err)
		}
	}
}

func TestEnvironment_FilesComeFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte("A=file\nB=file"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Environment([]string{path}, []string{"A=flag"}, Environ(nil))
	if want := []string{"A=flag", "B=file"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]syscall.Signal{
		"9": 9, "KILL": 9, "sigterm": 15, "SIGUSR1": 10, "RTMIN": 34, "SIGRTMIN+3": 37, "RTMAX-1": 63,
	} {
		if got, err := ParseSignal(in); err != nil || got != want {
			t.Errorf("%s: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "0", "65", "-1", "SIG", "NOPE", "RTMIN+31", "RTMIN3", "RTMAX+1"} {
		if got, err := ParseSignal(in); err == nil {
			t.Errorf("%q: %d", in, got)
		}
	}
}

func TestParsePublish(t *testing.T) {
	cases := []struct{ in, want string }{
		{"80", "80/tcp <- :"},
		{"8080:80/UDP", "80/udp <- :8080"},
		{"[::1]:8080:80", "80/tcp <- ::1:8080"},
		{"1.2.3.4::80", "80/tcp <- 1.2.3.4:"},
		{"8000-8001:80-81", "80/tcp <- :8000 81/tcp <- :8001"},
		{"8000-8010:80", "80/tcp <- :8000-8010"},
		{"", ""},
		{"x", ""},
		{"80/icmp", ""},
		{"65536", ""},
		{"81-80", ""},
		{"1.2.3:1:2", ""},
		{"1-2:3-5", ""},
		{"a:80", ""},
	}
	for _, c := range cases {
		bindings, err := ParsePublish(c.in)
		var words []string
		for _, b := range bindings {
			words = append(words, b.Port+" <- "+b.HostIP+":"+b.HostPort)
		}
		if got := strings.Join(words, " "); got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%q: %q, %v; want %q", c.in, got, err, c.want)
		}
	}
}

func TestParseCPUs(t *testing.T) {
	for in, want := range map[string]int64{"1": 1e9, "1.5": 15e8, ".25": 25e7, "0.000000001": 1} {
		if got, err := parseCPUs(in); err != nil || got != want {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{".", "x", "1.0000000001", "1.-5", "1e3"} {
		if got, err := parseCPUs(in); err == nil {
			t.Errorf("%q: %d", in, got)
		}
	}
}

func FuzzParseVolume(f *testing.F) {
	f.Add("/a:/b:ro,z")
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := ParseVolume(s, "/dir"); err == nil {
			if _, err := CheckDestination(v.Destination); err != nil || v.Destination == "/" {
				t.Errorf("%q mounts on %q", s, v.Destination)
			}
		}
	})
}

func FuzzParseMount(f *testing.F) {
	f.Add("type=bind,src=/a,dst=/b,ro")
	f.Fuzz(func(t *testing.T, s string) {
		if m, err := ParseMount(s, "/dir"); err == nil && m.Target == "" {
			t.Errorf("%q has no target", s)
		}
	})
}

func FuzzReadPairs(f *testing.F) {
	f.Add("A=1\n#\nB")
	f.Fuzz(func(t *testing.T, s string) {
		pairs, err := readPairs(strings.NewReader(s), Environ(nil))
		for _, p := range pairs {
			if i := strings.IndexByte(p, '='); err == nil && (i < 1 || strings.ContainsAny(p, "\n\x00")) {
				t.Errorf("%q gives %q", s, p)
			}
		}
	})
}

func FuzzParsePublish(f *testing.F) {
	for _, s := range []string{"80", "8080:80/udp", "127.0.0.1:8000-8010:80-90", "[::1]::80/tcp", "0-65535:0-65535"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		bindings, err := ParsePublish(s)
		if err == nil && (len(bindings) == 0 || len(bindings) > 65536) {
			t.Errorf("%q gives %d bindings", s, len(bindings))
		}
	})
}

func FuzzParseUlimit(f *testing.F) {
	f.Add("nofile=1:2")
	f.Fuzz(func(t *testing.T, s string) {
		if u, err := ParseUlimit(s); err == nil && u.Hard != -1 && u.Soft > u.Hard {
			t.Errorf("%q gives %+v", s, u)
		}
	})
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"":                     {},
		"10m":                  now.Add(-10 * time.Minute),
		"2026-01-01":           time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		"2026-01-01T10:00":     time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC),
		"2026-01-01T10:00:01Z": time.Date(2026, 1, 1, 10, 0, 1, 0, time.UTC),
		"1700000000.5":         time.Unix(1700000000, 5e8),
	} {
		if got, err := ParseTime(in, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"x", "1.x", "1.1234567890", "2026-13-01"} {
		if got, err := ParseTime(in, now); err == nil {
			t.Errorf("%q: %v", in, got)
		}
	}
}
