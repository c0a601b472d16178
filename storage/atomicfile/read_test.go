package atomicfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestRead_IsReadFile(t *testing.T) {
	for _, size := range []int{0, 1, smallFile - 1, smallFile, smallFile + 1, 10*smallFile + 7} {
		path := filepath.Join(t.TempDir(), "f")
		want := bytes.Repeat([]byte("x1"), size)[:size]
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Read(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
}

func TestRead_TellsWhatIsAbsent(t *testing.T) {
	if _, err := Read(filepath.Join(t.TempDir(), "gone")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := Read(t.TempDir()); err == nil {
		t.Error("a directory was read")
	}
}
