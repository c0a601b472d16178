package build

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// keyOf is the name of what follows from parts: same parts, same result. The
// parts are written so that no two lists of them look alike.
func keyOf(parts ...any) string {
	h := sha256.New()
	e := json.NewEncoder(h)
	for _, p := range parts {
		// Strings, numbers, and slices and maps of them: they always encode.
		if err := e.Encode(p); err != nil {
			panic(err)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
