package unpacked

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

const contents = "what is executed"

func keep(t *testing.T, name string) (unpacked bool) {
	t.Helper()
	err := Keep(name, int64(len(contents)), func() (string, error) {
		unpacked = true
		return contents, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil || string(data) != contents {
		t.Errorf("kept %q, %v", data, err)
	}
	return unpacked
}

func TestKeep_ComparesOncePerBoot(t *testing.T) {
	if boot() == "" {
		t.Skip("no " + bootFile)
	}
	sum := sha256.Sum256([]byte(contents))
	cache := filepath.Join(t.TempDir(), "cache")
	name := filepath.Join(cache, "stage-"+hex.EncodeToString(sum[:])[:digits])
	damage := func() {
		t.Helper()
		if err := errors.Join(os.Remove(name), os.WriteFile(name, []byte("what is executeD"), 0o555)); err != nil {
			t.Fatal(err)
		}
	}
	damaged := func() int {
		t.Helper()
		list, err := Damaged(cache)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if n := damaged(); n != 0 {
		t.Errorf("%d damaged where there is none", n)
	}
	if !keep(t, name) || keep(t, name) || !Checked(name) {
		t.Error("it is not unpacked once")
	}
	if err := os.WriteFile(filepath.Join(cache, "seccomp-"+hex.EncodeToString(sum[:])[:digits]), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := damaged(); n != 0 {
		t.Errorf("%d damaged of what is whole", n)
	}
	damage()
	if n := damaged(); n != 1 {
		t.Errorf("%d damaged, want 1", n)
	}
	if err := errors.Join(os.Remove(name+markSuffix), os.Symlink("an earlier boot", name+markSuffix)); err != nil {
		t.Fatal(err)
	}
	if Checked(name) {
		t.Error("checked in an earlier boot only")
	}
	if !keep(t, name) || !Checked(name) {
		t.Error("what was damaged in another boot is not unpacked anew")
	}
	// Whole, but not compared in this boot.
	if err := os.Remove(name + markSuffix); err != nil {
		t.Fatal(err)
	}
	if keep(t, name) || !Checked(name) {
		t.Error("what is whole is unpacked anew")
	}
}
