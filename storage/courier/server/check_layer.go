package server

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/storage"
	"golang.org/x/sys/unix"

	"skiff/storage/container/archive"
	"skiff/storage/image"
)

// whiteout begins the name of an entry that deletes.
// https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts
const whiteout = ".wh."

// examine returns what is wrong with a layer, nil if nothing is. It makes the tar
// stream that the layer came as, whose digest tells a byte that flipped, and looks
// for what each header promises, because a directory, a link or an empty file has
// no bytes in the stream. With quick no file is read: how long it is must do.
func (c *checker) examine(ctx context.Context, l image.Layer) error {
	headers, entries := io.Pipe()
	named := make(chan map[string]byte, 1)
	go func() {
		named <- readHeaders(headers)
		// The stream goes on behind the archive's end.
		_, _ = io.Copy(io.Discard, headers)
	}()
	var err error
	if c.want.Quick {
		err = c.measure(ctx, entries, l.ID)
	} else {
		err = c.writeLayer(ctx, entries, l.ID, digest.Digest(l.DiffID))
		c.checked.Bytes += l.TarSize
	}
	entries.Close()
	if types := <-named; err == nil {
		err = missing(filepath.Join(c.st.Layers(), l.ID, "diff"), types)
	}
	return err
}

// readHeaders returns the types of an archive's entries by their names; of several
// with one name the last counts. It ends where the archive is none.
func readHeaders(r io.Reader) map[string]byte {
	types := map[string]byte{}
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if err != nil {
			return types
		}
		types[strings.TrimPrefix(path.Clean("/"+h.Name), "/")] = h.Typeflag
	}
}

// missing returns an error that names an entry that is not in dir.
func missing(dir string, types map[string]byte) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for name, kind := range types {
		if name == "" || !stands(name, kind, types) {
			continue
		}
		// Names that lead through links of the layer are the kernel's to follow.
		if _, err := root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("/%s is missing", name)
		}
	}
	return nil
}

// stands reports whether an entry of a layer is there when all of it was unpacked:
// it is no deletion and no device, which an ordinary user cannot make, and nothing
// else has taken its directory's place.
func stands(name string, kind byte, types map[string]byte) bool {
	if strings.HasPrefix(path.Base(name), whiteout) || kind == tar.TypeChar || kind == tar.TypeBlock {
		return false
	}
	if _, deleted := types[path.Join(path.Dir(name), whiteout+path.Base(name))]; deleted {
		return false
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if kind, listed := types[dir]; listed && kind != tar.TypeDir {
			return false
		}
		if _, deleted := types[path.Join(path.Dir(dir), whiteout+path.Base(dir))]; deleted {
			return false
		}
	}
	return true
}

// measure is writeLayer that reads no file: it writes as many zeros as the file
// has bytes.
func (s *session) measure(ctx context.Context, w io.Writer, id string) error {
	split, err := os.Open(filepath.Join(s.st.Graph(), layerTable.dir, id+".tar-split.gz"))
	if err != nil {
		return fmt.Errorf("read layer %s: %w", short(id), err)
	}
	defer split.Close()
	headers, err := gzip.NewReader(bufio.NewReader(split))
	if err != nil {
		return fmt.Errorf("read layer %s: %w", short(id), err)
	}
	dir, err := os.Open(filepath.Join(s.st.Layers(), id, "diff"))
	if err != nil {
		return fmt.Errorf("read layer %s: %w", short(id), err)
	}
	defer dir.Close()
	files, unpacker := archive.InRoot(dir), storage.NewJSONUnpacker(headers)
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		entry, err := unpacker.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && entry.Type == storage.SegmentType {
			_, err = w.Write(entry.Payload)
		} else if err == nil && entry.Size > 0 {
			if err = hasSize(files, entry.GetName(), entry.Size); err == nil {
				_, err = io.CopyN(w, zeroReader{}, entry.Size)
			}
		}
		if err != nil {
			return fmt.Errorf("read layer %s: %w", short(id), err)
		}
	}
}

// hasSize returns an error unless a file of the layer has size bytes.
func hasSize(files archive.Tree, name string, size int64) error {
	f, err := files.Open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != size {
		return fmt.Errorf("/%s has %d bytes instead of %d", name, info.Size(), size)
	}
	return nil
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
