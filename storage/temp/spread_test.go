package temp

import (
	"os"
	"path/filepath"
	"testing"
)

func TestJournalless(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  bool
	}{
		"another file system": {want: false},
		"a journal":           {files: []string{"proc/fs/ext4/dm-0/options", "proc/fs/jbd2/dm-0-8/info"}, want: false},
		"another's journal":   {files: []string{"proc/fs/ext4/dm-0/options", "proc/fs/jbd2/dm-01-8/info"}, want: true},
		"none at all":         {files: []string{"proc/fs/ext4/dm-0/options"}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for _, f := range append(c.files, "sys/devices/virtual/block/dm-0/dev", "sys/dev/block/x") {
				path := filepath.Join(root, f)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, nil, 0o600); err != nil {
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
