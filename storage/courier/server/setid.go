package server

import (
	"archive/tar"
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// setIDBits are set-user-ID and set-group-ID in a tar header's mode.
const setIDBits = unix.S_ISUID | unix.S_ISGID

// setIDRefused reports whether this process may not make set-user-ID files: a unit of
// systemd's with RestrictSUIDSGID=yes, which DynamicUser=yes implies. Such bits mean
// nothing there: no_new_privs goes with it.
func setIDRefused(dir string) bool {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return false // unpacking will tell
	}
	defer unix.Close(fd)
	return errors.Is(unix.Fchmod(fd, unix.S_ISUID|0o600), unix.EPERM)
}

// withoutSetID is the archive r without set-user-ID and set-group-ID bits. Whoever
// reads it reads to its end, or closes it.
func withoutSetID(r io.Reader) io.ReadCloser {
	out, in := io.Pipe()
	go func() { in.CloseWithError(dropSetID(in, r)) }()
	return out
}

func dropSetID(out io.Writer, in io.Reader) error {
	r, w := tar.NewReader(in), tar.NewWriter(out)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return w.Close()
		}
		if err != nil {
			return err
		}
		h.Mode &^= setIDBits
		if h.Typeflag == tar.TypeGNUSparse { // its holes were read as zeros
			h.Typeflag = tar.TypeReg
		}
		for key := range h.PAXRecords {
			if len(key) > 10 && key[:10] == "GNU.sparse" {
				delete(h.PAXRecords, key)
			}
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
	}
}
