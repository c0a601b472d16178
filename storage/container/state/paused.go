package state

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// PausedFile marks a container as paused, in its directory. It holds PausedMark of the
// process that was paused, so that it means nothing for a later one. It is a file of its
// own because the state is the monitor's.
const PausedFile = "paused"

// PausedMark is what stands in PausedFile for the process that s tells of.
func PausedMark(s State) string { return strconv.FormatUint(s.PidStart, 10) }

// Paused reports whether the process that s tells of is paused.
func Paused(dir string, s State) bool {
	data, err := os.ReadFile(filepath.Join(dir, PausedFile))
	return err == nil && strings.TrimSpace(string(data)) == PausedMark(s)
}
