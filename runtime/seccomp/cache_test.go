package seccomp

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// A filter that is not as it was kept is compiled again, not installed.
func TestRemembered_NothingDamaged(t *testing.T) {
	cache := t.TempDir()
	want, err := Default(cache, nil)
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(cache, "seccomp-*"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	kept, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	if again := decode(kept); again == nil || !bytes.Equal(again.BPF, want.BPF) || again.Flags != want.Flags {
		t.Fatal("what was kept is not what was compiled")
	}
	for name, damaged := range map[string][]byte{
		"flipped": append([]byte{kept[0] ^ 1}, kept[1:]...), "truncated": kept[:len(kept)/16*8],
		"empty": {}, "zeros": make([]byte, len(kept)), "without a checksum": append(bytes.Clone(want.BPF), make([]byte, trailer)...),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(found[0], damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := Default(cache, nil)
			if err != nil || !bytes.Equal(f.BPF, want.BPF) || f.Flags != want.Flags {
				t.Errorf("another filter, or none: %v", err)
			}
			if now, err := os.ReadFile(found[0]); err != nil || !bytes.Equal(now, kept) {
				t.Errorf("it is not kept again: %v", err)
			}
		})
	}
}
