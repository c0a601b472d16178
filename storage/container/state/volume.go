package state

import (
	"bytes"
	"os"
	"path/filepath"
)

// NamedVolume reports whether the volume in the directory dir has become one that
// somebody named (volume.Keep) since its container was made. One that is not there
// is none.
func NamedVolume(dir string) bool {
	data, err := os.ReadFile(filepath.Join(dir, "volume.json"))
	return err == nil && !bytes.Contains(data, []byte(`"Anonymous":true`))
}
