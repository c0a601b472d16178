package server

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	tarsplit "github.com/vbatts/tar-split/tar/storage"
	"golang.org/x/sys/unix"

	"skiff/storage/container/archive"
)

// tarWatch looks at what passes by on its way into the tar-split record: the
// files' sizes, and whether a header wants to talk to overlayfs.
type tarWatch struct {
	tarsplit.Packer
	size    int64 // bytes of all files
	overlay bool  // some file asks for an overlay attribute
}

// AddEntry records e. Headers come as raw segments.
func (w *tarWatch) AddEntry(e tarsplit.Entry) (int, error) {
	if e.Type == tarsplit.FileType {
		w.size += e.Size
	} else if bytes.Contains(e.Payload, []byte(".overlay.")) {
		w.overlay = true
	}
	return w.Packer.AddEntry(e)
}

// stripOverlay removes the attributes by which a layer could steer overlayfs
// (https://docs.kernel.org/filesystems/overlayfs.html): redirect and metacopy
// would show files from elsewhere in the stack. Opaque directories stay: that
// is what the library makes of a whiteout.
func stripOverlay(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		names, err := archive.Xattrs(path)
		for _, name := range names {
			class, attribute, _ := strings.Cut(name, ".overlay.")
			if attribute == "" || class != "user" && class != "trusted" || attribute == "opaque" && entry.IsDir() {
				continue
			}
			err = errors.Join(err, unix.Lremovexattr(path, name))
		}
		return err
	})
}
