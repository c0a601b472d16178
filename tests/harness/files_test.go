package harness

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The monitor of a container with --rm removes its directory after the command
// has ended: whoever looks through the store meets that.
func TestWalk_PassesOverWhatGoesAway(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b/in", "c"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var seen []string
	Walk(t, dir, func(name string, info fs.FileInfo) error {
		seen = append(seen, name)
		if name == "a" {
			return os.RemoveAll(filepath.Join(dir, "b"))
		}
		_, err := os.Lstat(filepath.Join(dir, name, "never"))
		return err
	})
	if !slices.Equal(seen, []string{"a", "c"}) {
		t.Errorf("saw %q", seen)
	}
}
