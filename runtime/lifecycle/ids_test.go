package lifecycle

import (
	"os"
	"path/filepath"
	"testing"

	"skiff/storage"
	"skiff/storage/container"
)

func TestFreeIDs_TakesTheFirstThatAreTogether(t *testing.T) {
	for _, c := range []struct {
		name  string
		used  [][2]uint32 // host, size
		size  uint32
		start uint32
		ok    bool
	}{
		{"nobody has any", nil, 10, 1, true},
		{"all", nil, 99, 1, true},
		{"one too many", nil, 100, 1, false},
		{"behind the others", [][2]uint32{{1, 10}, {11, 5}}, 10, 16, true},
		{"in whatever order they come", [][2]uint32{{11, 5}, {1, 10}}, 10, 16, true},
		{"in a gap", [][2]uint32{{1, 10}, {21, 5}}, 10, 11, true},
		{"not in a gap that is too small", [][2]uint32{{1, 10}, {20, 5}}, 10, 25, true},
		{"before the first", [][2]uint32{{11, 80}}, 10, 1, true},
		{"twice the same", [][2]uint32{{1, 10}, {1, 10}}, 10, 11, true},
		{"one within another", [][2]uint32{{1, 50}, {5, 2}}, 10, 51, true},
		{"no room at the end", [][2]uint32{{1, 95}}, 10, 96, false},
		{"more than there are now", [][2]uint32{{1, 500}}, 10, 501, false},
	} {
		var used []container.IDMapping
		for _, u := range c.used {
			used = append(used, container.IDMapping{Host: u[0], Size: u[1]})
		}
		if start, ok := freeIDs(used, c.size, 100); ok != c.ok || ok && start != c.start {
			t.Errorf("%s: %d %v, want %d %v", c.name, start, ok, c.start, c.ok)
		}
	}
}

func TestIDsOf_CountsWhatTheImageNames(t *testing.T) {
	st := &storage.Store{Dir: t.TempDir()}
	write := func(layer, name, text string) {
		t.Helper()
		path := filepath.Join(st.Layers(), layer, "diff", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("low", "etc/passwd", "root:x:0:0::/:\nbig:x:90000:90001::/:\n")
	write("low", "etc/group", "root:x:0:\nstaff:x:5000:\n")
	write("top", "etc/passwd", "root:x:0:0::/:\nuser:x:3000:3001::/:\nnobody:x:65534:65534::/:\nbroken\n:x:y:z\n")
	write("odd", "etc/group", "huge:x:99999999999:\n")
	for _, c := range []struct {
		name   string
		layers []string
		user   string
		groups []string
		want   uint32
	}{
		{"nothing is known", nil, "", nil, 1024},
		{"the topmost file counts", []string{"top", "low"}, "", nil, 5001},
		{"a user's group counts", []string{"top"}, "", nil, 3002},
		{"the user asked for", []string{"top"}, "4000:7000", nil, 7001},
		{"a group asked for", []string{"top"}, "root", []string{"8000"}, 8001},
		{"what is no id counts for nothing", []string{"odd"}, "", nil, 1024},
		{"a large one", []string{"low"}, "", nil, 90002},
	} {
		cfg := &container.Config{Layers: c.layers}
		cfg.Config.User, cfg.Host.GroupAdd = c.user, c.groups
		if got := idsOf(st, cfg); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	// What lies there may be anything.
	if err := os.MkdirAll(filepath.Join(st.Layers(), "link", "diff", "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(st.Layers(), "link", "diff", "etc", "passwd")); err != nil {
		t.Fatal(err)
	}
	if got := idsOf(st, &container.Config{Layers: []string{"link"}}); got != 1024 {
		t.Errorf("a link that leads out: %d", got)
	}
}

func TestAutoSize_ReadsTheSize(t *testing.T) {
	for mode, want := range map[string]uint32{"auto": 0, "auto:": 0, "auto:size=5": 5} {
		if got, err := AutoSize(mode); got != want || err != nil {
			t.Errorf("%s: %d %v", mode, got, err)
		}
	}
	for _, mode := range []string{"auto:size", "auto:size=", "auto:size=-1", "auto:size=0", "auto:size=99999999999", "auto:uid=1", "auto:size=1,uid=2"} {
		if n, err := AutoSize(mode); err == nil {
			t.Errorf("%s gave %d", mode, n)
		}
	}
}
