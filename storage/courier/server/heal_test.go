package server

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/storage"
)

// An empty link would take the short names of all layers with it.
func TestDropEmptyLinks(t *testing.T) {
	st := &storage.Store{Dir: t.TempDir()}
	want := map[string]bool{"l": false} // has a link afterwards
	for n, link := range []string{"SHORT", "", "x"} {
		id := strings.Repeat(string(rune('a'+n)), 64)
		dir := filepath.Join(st.Layers(), id)
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "link"), []byte(link), 0o600)); err != nil {
			t.Fatal(err)
		}
		want[id] = link != ""
	}
	if err := os.Mkdir(filepath.Join(st.Layers(), "l"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := dropEmptyLinks(st); err != nil {
			t.Fatal(err)
		}
		for name, there := range want {
			if _, err := os.Lstat(filepath.Join(st.Layers(), name, "link")); (err == nil) != there {
				t.Errorf("link of %.3s: %v, want it there: %v", name, err, there)
			}
		}
	}
	if left := emptyLinks(st); len(left) > 0 {
		t.Errorf("empty links: %v", left)
	}
}
