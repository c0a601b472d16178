package container

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/storage"
	"skiff/storage/container/state"
)

// FuzzLoad reads a container whose files somebody has damaged.
func FuzzLoad(f *testing.F) {
	id := strings.Repeat("ab", 32)
	f.Add([]byte(`{"Version":1,"Id":"`+id+`","Name":"x","Config":{"Cmd":["true"]},"HostConfig":{"AutoRemove":true}}`), []byte(`{"Version":1,"Pid":0,"ExitCode":3}`))
	f.Add([]byte(`{"Version":99}`), []byte{})
	f.Add([]byte{}, []byte("null"))
	f.Fuzz(func(t *testing.T, config, published []byte) {
		st := &storage.Store{Dir: t.TempDir()}
		dir := filepath.Join(st.Containers(), id)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{configFile: config, state.File: published} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, err := Load(st, id)
		if err != nil {
			return
		}
		if c.Config.ID != id || c.Config.Version > Version {
			t.Errorf("read as %s of format %d", c.Config.ID, c.Config.Version)
		}
		// Not Status: it ends what a state that is not damaged names.
		if _, err := c.State(); err != nil && !strings.Contains(err.Error(), dir) {
			t.Errorf("does not say which: %v", err)
		}
	})
}
