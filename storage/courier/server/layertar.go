package server

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/vbatts/tar-split/tar/asm"
	tarsplit "github.com/vbatts/tar-split/tar/storage"

	"skiff/storage"
)

// layerTar returns a layer as the tar archive, to the byte, that it came as: its
// headers were kept (tar-split), its files' contents are where they were
// unpacked. containers/storage's own Diff holds the store's lock until the last
// byte is read, which may be as slow as a network. The caller closes it.
func layerTar(st *storage.Store, id string) (io.ReadCloser, error) {
	kept, err := os.Open(filepath.Join(st.Graph(), "overlay-layers", id+".tar-split.gz"))
	if err != nil {
		return nil, fmt.Errorf("read layer %s: %w", id, err)
	}
	plain, err := gzip.NewReader(bufio.NewReaderSize(kept, 64<<10))
	if err != nil {
		kept.Close()
		return nil, fmt.Errorf("read layer %s: %w", id, err)
	}
	root, err := os.OpenRoot(filepath.Join(st.Layers(), id, "diff"))
	if err != nil {
		kept.Close()
		return nil, fmt.Errorf("read layer %s: %w", id, err)
	}
	stream := asm.NewOutputTarStream(layerFiles{root}, tarsplit.NewJSONUnpacker(plain))
	return &tarReader{ReadCloser: stream, kept: kept, root: root}, nil
}

// layerFiles finds the files of a layer, which cannot lead out of it.
type layerFiles struct{ root *os.Root }

func (l layerFiles) Get(name string) (io.ReadCloser, error) {
	f, err := l.root.Open(strings.TrimLeft(filepath.Clean("/"+name), "/"))
	if err != nil {
		return nil, err
	}
	return f, nil
}

// tarReader closes what a layer's archive is made from.
type tarReader struct {
	io.ReadCloser
	kept *os.File
	root *os.Root
}

func (t *tarReader) Close() error {
	return errors.Join(t.ReadCloser.Close(), t.root.Close(), t.kept.Close())
}
