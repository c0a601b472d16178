//go:build embed

package embedded

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"skiff/runtime/stage/hub"
	"skiff/storage/sealed"
	"skiff/storage/unpacked"
)

// program and its sum are built before the front; see doc.go.
var (
	//go:embed stage.bin
	program string
	//go:embed stage.sum
	sum string
	//go:embed network.bin
	network string
	//go:embed network.sum
	networkSum string
)

// Dispatch does nothing in this build: the stage is a program of its own.
func Dispatch() {}

// Stage returns the path to execute the stage from, and the file behind it,
// which the caller closes after that. cache is a directory to keep a copy in.
//
// The copy is executed through a read-only mount that nothing else can reach:
// a container that opens it as /proc/PID/exe cannot write to it (EROFS), as it
// could not to sealed memory, but nothing is copied at a start, and all
// monitors share its pages (docs/decisions/0006). Where that cannot be, sealed
// memory it is.
func Stage(cache string) (path string, file *os.File, err error) {
	if f, err := fromDisk(cache); err == nil {
		return sealed.Path(f), f, nil
	}
	f, err := sealed.File("skiff:stage", program)
	if err != nil {
		return "", nil, fmt.Errorf("unpack stage: %w", err)
	}
	return sealed.Path(f), f, nil
}

// Identity returns the name that the stage's file has in the cache, and its
// size in bytes.
func Identity() (name string, size int64) {
	return "stage-" + strings.TrimSpace(sum), int64(len(program))
}

// Checked reports whether the stage's file in the cache was compared with its sum in
// this boot. Stage does that.
func Checked(cache string) bool {
	name, _ := Identity()
	return unpacked.Checked(filepath.Join(cache, name))
}

func fromDisk(cache string) (*os.File, error) {
	base, _ := Identity()
	name := filepath.Join(cache, base)
	if err := keep(name, program); err != nil {
		return nil, err
	}
	return hub.Readonly(name)
}

// Network returns the path of the network program, which whoever starts it opens
// with hub.Readonly. cache is a directory to keep it in.
func Network(cache string) (path string, err error) {
	name := filepath.Join(cache, "network-"+strings.TrimSpace(networkSum))
	if err := keep(name, network); err != nil {
		return "", fmt.Errorf("unpack network program: %w", err)
	}
	return name, nil
}

func keep(name, program string) error {
	return unpacked.Keep(name, int64(len(program)), func() (string, error) { return program, nil })
}
