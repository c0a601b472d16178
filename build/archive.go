package build

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"skiff/storage"
	"skiff/storage/container/archive"
	"skiff/storage/courier/client"
	"skiff/storage/temp"
)

// Decompress finds out by its first bytes how r is compressed and undoes it. Whoever
// does not read to the end or an error closes it.
func Decompress(r io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	head, err := in.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(in)
	case bytes.HasPrefix(head, []byte("BZh")):
		return io.NopCloser(bzip2.NewReader(in)), nil
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}), bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// xz and zstd; their tables alone would cost each command a sixth of a
		// millisecond here.
		return client.Decompress(in)
	}
	return io.NopCloser(in), nil
}

// unpack puts the contents of a local archive, if f is one by its contents, into
// the directory target.
func unpack(w *work, f *found, target string, o putOptions) (bool, error) {
	file, err := f.openEntry(&f.entries[0])
	if err != nil {
		return false, err
	}
	defer file.Close()
	plain, err := Decompress(file)
	if err != nil {
		return false, nil // it only looks like an archive
	}
	first, err := tar.NewReader(plain).Next()
	plain.Close()
	if err != nil || first == nil {
		return false, nil
	}
	// As in BuildKit --chown is for the directory and --chmod for nothing: the
	// archive says what its files are.
	if err := unpackTwice(w.tree, file, target, *o.owner); err != nil {
		return false, fmt.Errorf("unpack %s: %w", f.name, err)
	}
	return true, nil
}

// unpackTwice reads the archive once for the directories that it does not
// mention, and once for what is in it.
func unpackTwice(t *tree, file *os.File, target string, own owner) error {
	dest, err := t.mkdirAll(target, own, 0o755)
	if err != nil {
		return err
	}
	defer dest.Close()
	inside := &tree{root: dest}
	again := func() (io.ReadCloser, error) {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		return Decompress(file)
	}
	plain, err := again()
	if err != nil {
		return err
	}
	defer plain.Close()
	made := map[string]bool{".": true, "/": true}
	for r := tar.NewReader(plain); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		dir := path.Dir(path.Clean("/" + h.Name))
		if made[dir] {
			continue
		}
		made[dir] = true
		d, err := inside.mkdirAll(dir, owner{}, 0o755)
		if err != nil {
			return err
		}
		d.Close()
	}
	second, err := again()
	if err != nil {
		return err
	}
	defer second.Close()
	return archive.InRoot(dest).Unpack(second, "/", true)
}

// UnpackContext unpacks a context that came as a tar stream into a directory,
// which the caller discards.
func UnpackContext(st *storage.Store, r io.Reader) (dir string, discard func() error, err error) {
	work, err := temp.Make(context.Background(), st)
	if err != nil {
		return "", nil, err
	}
	// The archive may leave out directories: it is read twice.
	f, err := os.Create(filepath.Join(work.Path, "context.tar"))
	if err != nil {
		return "", nil, errors.Join(err, work.Remove())
	}
	defer f.Close()
	dir = filepath.Join(work.Path, "context")
	root := (*os.File)(nil)
	_, err = io.Copy(f, r)
	if err == nil {
		err = os.Mkdir(dir, 0o755)
	}
	if err == nil {
		root, err = os.Open(dir)
	}
	if err == nil {
		defer root.Close()
		err = unpackTwice(&tree{root: root}, f, "/", owner{})
	}
	if err = errors.Join(err, os.Remove(f.Name())); err != nil {
		return "", nil, errors.Join(err, work.Remove())
	}
	return dir, work.Remove, nil
}
