package harness

import (
	"os"
	"syscall"
	"testing"
)

// Exists reports whether path is there.
func Exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Owner returns the uid of a file as seen from outside of any container.
func Owner(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// Entries lists the names in a directory; an absent one has none.
func Entries(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}
