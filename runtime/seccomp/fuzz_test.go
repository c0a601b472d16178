package seccomp

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzFromFile compiles any profile.
func FuzzFromFile(f *testing.F) {
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","write"],"action":"SCMP_ACT_ALLOW"}]}`))
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],` +
		`"syscalls":[{"name":"clone","action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":2080505856,"op":"SCMP_CMP_MASKED_EQ"}],"excludes":{"caps":["CAP_SYS_ADMIN"]}}]}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, profile []byte) {
		dir := t.TempDir()
		file := filepath.Join(dir, "profile.json")
		if err := os.WriteFile(file, profile, 0o600); err != nil {
			t.Fatal(err)
		}
		filter, err := FromFile(dir, file, []string{"CAP_CHOWN"})
		if err == nil && filter != nil && len(filter.BPF)%8 != 0 {
			t.Errorf("a program of %d bytes", len(filter.BPF))
		}
	})
}
