//go:build embed

package embedded

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

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
	// kube is compressed; kubeSum is the digest and the size in bytes of what it was.
	//go:embed kube.bin.gz
	kube []byte
	//go:embed kube.sum
	kubeSum string
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

// Kube returns where to execute the program of Kubernetes' types, and the file behind
// that, nil or the caller's to close once it was executed. cache is a directory to
// keep it in, which saves the unpacking; where that cannot be it lies in memory.
func Kube(cache string) (path string, file *os.File, err error) {
	if path, err = kubePath(cache); err == nil && unix.Access(path, unix.X_OK) == nil {
		return path, nil, nil
	}
	if file, err = kubeMemory(); err != nil {
		return "", nil, err
	}
	return sealed.Path(file), file, nil
}

// Prober opens the program that asks over the network (skiff/runtime/probe), which is
// the same one. A container that gets hold of it cannot write to it; see Stage.
func Prober(cache string) (*os.File, error) {
	path, err := kubePath(cache)
	if err == nil {
		if f, err := hub.Readonly(path); err == nil {
			return f, nil
		}
	}
	return kubeMemory()
}

func kubePath(cache string) (string, error) {
	digest, text, _ := strings.Cut(strings.TrimSpace(kubeSum), " ")
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "kube-"+digest)
	return path, unpacked.Keep(path, size, unpackKube)
}

func kubeMemory() (*os.File, error) {
	plain, err := unpackKube()
	var f *os.File
	if err == nil {
		f, err = sealed.File("skiff:kube", plain)
	}
	if err != nil {
		return nil, fmt.Errorf("unpack the program of Kubernetes' types: %w", err)
	}
	return f, nil
}

func unpackKube() (string, error) {
	var plain strings.Builder
	r, err := gzip.NewReader(bytes.NewReader(kube))
	if err == nil {
		_, err = io.Copy(&plain, r)
	}
	return plain.String(), err
}

func keep(name, program string) error {
	return unpacked.Keep(name, int64(len(program)), func() (string, error) { return program, nil })
}
