package server

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"skiff/storage/courier/message"
)

// maxIndexEntries bounds what an archive can make us remember.
const maxIndexEntries = 1 << 20

// archiveFile is a tar file with images in it, read by name. Nothing in it is ever
// used as a path of this machine.
type archiveFile struct {
	file    *os.File
	entries map[string]entry
}

// entry is a file within the archive, or a link to one.
type entry struct {
	offset, size int64
	link         string
}

// openArchive makes in readable by name. A pipe or a compressed file is first
// unpacked into the temporary directory. The caller closes the archive.
func (s *session) openArchive(ctx context.Context, in *os.File) (*archiveFile, error) {
	file, err := s.spool(ctx, in)
	if err != nil {
		return nil, err
	}
	a := &archiveFile{file: file, entries: make(map[string]entry)}
	if err := a.index(ctx); err != nil {
		return nil, errors.Join(message.Fail(message.ErrInvalid, "invalid archive: "+err.Error()), file.Close())
	}
	return a, nil
}

// Close closes the file.
func (a *archiveFile) Close() error { return a.file.Close() }

// spool returns a seekable file with in's uncompressed contents.
func (s *session) spool(ctx context.Context, in *os.File) (*os.File, error) {
	info, err := in.Stat()
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	if info.Mode().IsRegular() && isTar(in) {
		// A descriptor of its own, so that closing it leaves in alone.
		return os.Open(fmt.Sprintf("/proc/self/fd/%d", in.Fd()))
	}
	plain, _, err := decompress(&blobReader{ctx: ctx, r: in, undigested: true})
	if err != nil {
		return nil, message.Fail(message.ErrInvalid, "invalid archive: "+err.Error())
	}
	defer plain.Close()
	file, err := os.CreateTemp(s.temp.Path, "archive")
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(file, plain); err != nil {
		if failed, ok := errors.AsType[*fs.PathError](err); !ok || failed.Op != "write" {
			err = message.Fail(message.ErrInvalid, "invalid archive: "+err.Error())
		}
		return nil, errors.Join(err, file.Close())
	}
	_, err = file.Seek(0, io.SeekStart)
	return file, err
}

// isTar reports whether file begins with an uncompressed tar header.
// https://www.gnu.org/software/tar/manual/html_node/Standard.html
func isTar(file *os.File) bool {
	magic := make([]byte, 5)
	_, err := file.ReadAt(magic, 257)
	return err == nil && string(magic) == "ustar"
}

// index notes where each file of the archive is; the last of one name counts.
func (a *archiveFile) index(ctx context.Context) error {
	r := tar.NewReader(a.file)
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		name := memberName(header.Name)
		switch header.Typeflag {
		case tar.TypeReg:
			// The reader has taken the header and nothing else, so the file's
			// position is where the contents begin.
			offset, err := a.file.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			a.entries[name] = entry{offset: offset, size: header.Size}
		case tar.TypeSymlink:
			a.entries[name] = entry{link: memberName(path.Join(path.Dir(name), header.Linkname))}
		case tar.TypeLink:
			a.entries[name] = entry{link: memberName(header.Linkname)}
		}
		if len(a.entries) > maxIndexEntries {
			return errors.New("too many files")
		}
	}
}

// memberName brings the spellings of a name in an archive together.
func memberName(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// open returns the contents of a file in the archive.
func (a *archiveFile) open(name string) (*io.SectionReader, error) {
	at := memberName(name)
	for range 8 { // links to links; a ring ends here
		e, ok := a.entries[at]
		if !ok {
			break
		}
		if e.link == "" {
			return io.NewSectionReader(a.file, e.offset, e.size), nil
		}
		at = e.link
	}
	return nil, message.Fail(message.ErrInvalid, fmt.Sprintf("invalid archive: no file %q in it", name))
}

func (a *archiveFile) has(name string) bool {
	_, ok := a.entries[name]
	return ok
}

// read returns the contents of a small file in the archive.
func (a *archiveFile) read(name string) ([]byte, error) {
	r, err := a.open(name)
	if err != nil {
		return nil, err
	}
	data, err := readLimited(r, maxConfig)
	if err != nil {
		return nil, message.Fail(message.ErrInvalid, fmt.Sprintf("invalid archive: read %q: %v", name, err))
	}
	return data, nil
}

// maxParts is how many parts, members or elements, a list of an archive's images
// may have: decoded, a part of two bytes takes a hundred.
const maxParts = 200_000

// readJSON decodes a small file in the archive.
func (a *archiveFile) readJSON(name string, v any) error {
	data, err := a.read(name)
	if err != nil {
		return err
	}
	if n := bytes.Count(data, []byte{','}); n > maxParts {
		return message.Fail(message.ErrInvalid, fmt.Sprintf("invalid archive: %s has %d parts; %d are allowed", name, n, maxParts))
	}
	if err := json.Unmarshal(data, v); err != nil {
		return message.Fail(message.ErrInvalid, fmt.Sprintf("invalid archive: %s: %v", name, err))
	}
	return nil
}
