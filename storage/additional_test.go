package storage

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestAdditionalStores(t *testing.T) {
	cases := []struct {
		name, text string
		want       []string
		fails      bool
	}{
		{"no file says nothing", "", nil, false},
		{"another table's key is another key", "[storage]\nadditionalimagestores = [\"/x\"]\n", nil, false},
		{"one line", "[storage.options]\nadditionalimagestores = [\"/a\", '/b/']\n", []string{"/a", "/b"}, false},
		{"many lines, comments, a comma at the end", "[storage]\ndriver = \"overlay\" # [x]\n[ storage.options ] # y\nsize = \"\"\nadditionalimagestores = [ # none yet\n  # \"/no\",\n  \"/a\", # first\n  \"/b\",\n]\n[storage.options.overlay]\n", []string{"/a", "/b"}, false},
		{"commented out", "[storage.options]\n# additionalimagestores = [\"/a\"]\n", nil, false},
		{"empty", "[storage.options]\nadditionalimagestores = [\n]\n", nil, false},
		{"the home directory", "[storage.options]\nadditionalimagestores = [\"$HOME/s\"]\n", []string{"/home/ana/s"}, false},
		{"no list", "[storage.options]\nadditionalimagestores = \"/a\"\n", nil, true},
		{"a list without an end", "[storage.options]\nadditionalimagestores = [\"/a\"", nil, true},
		{"a string without an end", "[storage.options]\nadditionalimagestores = [\"/a\n", nil, true},
		{"a list of numbers", "[storage.options]\nadditionalimagestores = [1]\n", nil, true},
		{"a relative path", "[storage.options]\nadditionalimagestores = [\"a\"]\n", nil, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "storage.conf")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := AdditionalStores(func(key string) string {
				return map[string]string{"CONTAINERS_STORAGE_CONF": file, "HOME": "/home/ana"}[key]
			})
			if (err != nil) != c.fails || !slices.Equal(got, c.want) {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}
