package server

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"sync/atomic"

	tarsplit "github.com/vbatts/tar-split/tar/storage"
	"golang.org/x/sys/unix"

	"skiff/storage/container/archive"
)

// tarWatch looks at what passes by on its way into the tar-split record: the
// files' sizes, and whether a header wants to talk to overlayfs.
type tarWatch struct {
	tarsplit.Packer
	size    int64       // bytes of all files, and of where symbolic links point
	overlay bool        // some file asks for an overlay attribute
	refused atomic.Bool // for errNoOwner; what reads the stream sees only that it ends
}

// errNoOwner says that a layer gives a file to the id that chown(2) takes as
// "leave it": the file would silently be somebody else's.
var errNoOwner = errors.New("a file belongs to the id 4294967295, which is none")

// noOwner is that id in a tar header: as a PAX record, and in the header's own
// field, where it only fits in base 256.
// https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html
var noOwner = [][]byte{[]byte("uid=4294967295\n"), []byte("gid=4294967295\n"), {0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}}

// AddEntry records e. Headers come as raw segments.
func (w *tarWatch) AddEntry(e tarsplit.Entry) (int, error) {
	if e.Type == tarsplit.FileType {
		w.size += e.Size
		return w.Packer.AddEntry(e)
	}
	for _, id := range noOwner {
		if bytes.Contains(e.Payload, id) {
			w.refused.Store(true)
			return 0, errNoOwner
		}
	}
	w.size += linkSize(e.Payload)
	w.overlay = w.overlay || bytes.Contains(e.Payload, []byte(".overlay."))
	return w.Packer.AddEntry(e)
}

// linkSize is the size of the symbolic link whose header ends a raw segment, as
// lstat(2) tells it and docker counts it; 0 for anything else.
func linkSize(raw []byte) int64 {
	const block, linkType, linkName, magic, recordName = 512, 156, 157, 257, " linkpath="
	if len(raw) < block {
		return 0
	}
	h := raw[len(raw)-block:]
	if h[linkType] != tar.TypeSymlink || !bytes.HasPrefix(h[magic:], []byte("ustar")) {
		return 0
	}
	name := h[linkName:magic]
	// A longer one is in a PAX record before.
	if at := bytes.LastIndex(raw, []byte(recordName)); at >= 0 {
		name = raw[at+len(recordName):]
		name = name[:max(0, bytes.IndexByte(name, '\n'))]
	}
	if end := bytes.IndexByte(name, 0); end >= 0 {
		name = name[:end]
	}
	return int64(len(name))
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
