package build

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skiff/storage"
	"skiff/storage/container"
)

func TestShrink_KeepsWhatWasUsedLast(t *testing.T) {
	st := &storage.Store{Dir: t.TempDir()}
	c := &cache{st: st, dir: Dir(st)}
	for _, dir := range []string{c.dir, c.path(recordsDir), c.path(layersDir)} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	layers := func() string {
		t.Helper()
		entries, err := os.ReadDir(c.path(layersDir))
		if err != nil {
			t.Fatal(err)
		}
		records, err := os.ReadDir(c.path(recordsDir))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return fmt.Sprintf("%s (%d)", strings.Join(names, " "), len(records))
	}
	now := time.Now()
	for i, boot := range []string{container.BootID(), container.BootID(), "another", container.BootID()} {
		id := fmt.Sprintf("l%d", i)
		diff := c.path(layersDir, id, diffDir)
		if err := os.MkdirAll(diff, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(diff, "f"), make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
		l := &layer{Version: cacheVersion, ID: id, Boot: boot}
		if err := c.writeJSON(c.path(layersDir, id, layerFile), l); err != nil {
			t.Fatal(err)
		}
		if err := c.remember(l, "", "key"+id); err != nil {
			t.Fatal(err)
		}
		used := now.Add(time.Duration(-i) * time.Hour)
		if err := os.Chtimes(c.path(recordsDir, "key"+id), used, used); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		budget int64
		want   string
	}{
		{1000, "l0 l1 l3 (3)"}, // the other boot's is worth nothing
		{200, "l0 l1 (2)"},
		{199, "l0 (1)"},
		{99, " (0)"},
	} {
		if err := c.shrink(step.budget); err != nil {
			t.Fatal(err)
		}
		if got := layers(); got != step.want {
			t.Errorf("within %d bytes: %q, want %q", step.budget, got, step.want)
		}
	}
	if err := c.tidy(now); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.path(tidiedFile)); err != nil {
		t.Errorf("nobody will know that it was looked: %v", err)
	}
}
