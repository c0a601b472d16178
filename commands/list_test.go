package commands

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/storage"
)

// A comma belongs to the value of every flag that may be repeated, as far as
// the whole way through parser and library goes.
func TestRun_KeepsCommasInValues(t *testing.T) {
	e, _, errOut := testEnv()
	dir := t.TempDir()
	e.OpenStore = func() (*storage.Store, error) { return &storage.Store{Dir: dir}, nil }
	mount := "type=bind,src=" + filepath.Join(dir, "nope") + ",dst=/x"
	code := Run(t.Context(), e, []string{"skiff", "create", "--pull", "never", "--mount", mount, "-e", "A=1,2", "image"})
	if code != 1 || strings.Contains(errOut.String(), "flag") {
		t.Errorf("code %d: %s", code, errOut)
	}
	if _, err := os.Stat(filepath.Join(dir, "nope")); err == nil {
		t.Error("the source of --mount was made")
	}
}
