package temp

import (
	"os"
	"path/filepath"
	"testing"
)

func TestJournalless(t *testing.T) {
	for name, c := range map[string]struct {
		file, options string
		want          bool
	}{
		"another file system": {"proc/fs/xfs", "", false},
		"a journal":           {"proc/fs/ext4/dm-0/options", "rw\ndelalloc\ndata=ordered\n", false},
		"none":                {"proc/fs/ext4/dm-0/options", "rw\ndelalloc\nnodata=1\n", true},
		"another disk":        {"proc/fs/ext4/dm-1/options", "rw\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for f, text := range map[string]string{c.file: c.options, "sys/devices/virtual/block/dm-0/dev": "", "sys/dev/block/x": ""} {
				path := filepath.Join(root, f)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink("../../devices/virtual/block/dm-0", filepath.Join(root, "sys/dev/block/254:0")); err != nil {
				t.Fatal(err)
			}
			if got := journalless(root, "254:0"); got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
			if journalless(root, "254:1") {
				t.Error("a device that is not there has no journal")
			}
		})
	}
}
