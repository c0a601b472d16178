package archive

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestCopySparse_KeepsEveryByte(t *testing.T) {
	full := bytes.Repeat([]byte{7}, HoleSize)
	hole := make([]byte, HoleSize)
	for _, c := range []struct {
		name   string
		parts  [][]byte
		blocks int64 // of HoleSize that may take room
	}{
		{"nothing", nil, 0},
		{"a few bytes", [][]byte{{1, 2}}, 1},
		{"a few zeros", [][]byte{{0, 0}}, 1},
		{"a hole", [][]byte{hole}, 0},
		{"holes around bytes", [][]byte{hole, full, hole}, 1},
		{"a hole and a byte", [][]byte{hole, hole, {1}}, 1},
		{"bytes out of step", [][]byte{{1}, hole, full}, 3},
	} {
		f, err := os.Create(filepath.Join(t.TempDir(), "f"))
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Join(c.parts, nil)
		if err := copySparse(f, bytes.NewReader(want)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		got, err := os.ReadFile(f.Name())
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v; want %d", c.name, len(got), err, len(want))
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if n := info.Sys().(*syscall.Stat_t).Blocks * 512; n > c.blocks*HoleSize {
			t.Errorf("%s: takes %d bytes", c.name, n)
		}
		f.Close()
	}
}
