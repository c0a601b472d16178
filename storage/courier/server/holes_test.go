package server

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"skiff/storage/container/archive"
)

// The names are the archive's: what they mean in the end may be something else.
func TestHoles_DigOnlyWhereThereIsNothing(t *testing.T) {
	const size = 4 * archive.HoleSize
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	blocks := func(path string) int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Blocks * 512
	}
	outside := filepath.Join(t.TempDir(), "outside")
	full := bytes.Repeat([]byte{1}, size)
	mixed := append(make([]byte, 2*archive.HoleSize), full[:2*archive.HoleSize]...)
	for path, data := range map[string][]byte{
		at("zero"): make([]byte, size), at("mixed"): mixed, at("replaced"): full, at("setuid"): make([]byte, size), outside: make([]byte, size),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(at("setuid"), 0o600|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, at("link")); err != nil {
		t.Fatal(err)
	}
	then := time.Unix(1_000_000_000, 5)
	if err := os.Chtimes(at("zero"), then, then); err != nil {
		t.Fatal(err)
	}
	h := &holes{}
	for name, data := range map[string][]byte{
		"./zero": make([]byte, size), "mixed": mixed, "/replaced": make([]byte, size), "setuid": make([]byte, size), "link": make([]byte, size), "gone": make([]byte, size),
	} {
		if n, sum, err := h.Put(name, bytes.NewReader(data)); n != int64(len(data)) || len(sum) != 8 || err != nil {
			t.Errorf("%s: %d, %x, %v", name, n, sum, err)
		}
	}
	h.dig(dir)
	for name, want := range map[string]int64{"zero": 0, "mixed": size / 2, "replaced": size, "setuid": size} {
		if got := blocks(at(name)); got != want {
			t.Errorf("%s takes %d bytes, want %d", name, got, want)
		}
	}
	if got := blocks(outside); got != size {
		t.Errorf("the file outside takes %d bytes", got)
	}
	for name, want := range map[string][]byte{"mixed": mixed, "replaced": full, "zero": make([]byte, size)} {
		if got, err := os.ReadFile(at(name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s has other contents, %v", name, err)
		}
	}
	info, err := os.Stat(at("zero"))
	if err != nil || !info.ModTime().Equal(then) {
		t.Errorf("the file's time is %v, %v", info.ModTime(), err)
	}
}
