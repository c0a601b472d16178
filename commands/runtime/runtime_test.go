package runtime

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestParseUser(t *testing.T) {
	for _, c := range []struct {
		in       string
		uid, gid uint32
		good     bool
	}{
		{"0", 0, 0, true},
		{"1000:50", 1000, 50, true},
		{"web", 0, 0, false},
		{"1:", 0, 0, false},
		{"1:2:3", 0, 0, false},
		{"-1", 0, 0, false},
		{"4294967296", 0, 0, false},
	} {
		u, err := parseUser(c.in)
		if (err == nil) != c.good {
			t.Errorf("%q: got %v", c.in, err)
		} else if c.good && (u.UID != c.uid || u.GID != c.gid) {
			t.Errorf("%q: got %v", c.in, u)
		}
	}
}

func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	clock := func() time.Time { return time.Unix(0, 0).UTC() }
	for _, asJSON := range []bool{false, true} {
		l := log{path: path, json: asJSON, clock: clock}
		if err := l.write("error", `no "such"`); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	want := `time="1970-01-01T00:00:00Z" level=error msg="no \"such\""` + "\n" +
		`{"level":"error","msg":"no \"such\"","time":"1970-01-01T00:00:00Z"}` + "\n"
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	var none log
	if err := none.write("error", "lost"); err != nil {
		t.Error(err)
	}
}
