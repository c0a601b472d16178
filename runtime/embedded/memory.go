//go:build embed

package embedded

import (
	_ "embed"
	"fmt"
	"os"

	"skiff/storage/sealed"
)

// program is built before the front; see doc.go.
//
//go:embed stage.bin
var program string

// Dispatch does nothing in this build: the stage is a program of its own.
func Dispatch() {}

// Stage returns the path to execute the stage from, and the file behind it,
// which the caller closes after that.
func Stage() (path string, file *os.File, err error) {
	f, err := sealed.File("skiff:stage", program)
	if err != nil {
		return "", nil, fmt.Errorf("unpack stage: %w", err)
	}
	return sealed.Path(f), f, nil
}
