package bundle

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzLoad reads any config.json.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"ociVersion":"1.0.2","process":{"args":["true"],"cwd":"/"},"root":{"path":"rootfs"},"linux":{"namespaces":[{"type":"pid"}]}}`))
	f.Add([]byte(`{"ociVersion":"1.0.2","process":{"args":[],"cwd":""},"root":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, config []byte) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, configFile), config, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := Load(dir)
		if err != nil {
			return
		}
		if b.Spec.Root == nil || !filepath.IsAbs(b.Root) {
			t.Errorf("accepted with root %q", b.Root)
		}
	})
}
