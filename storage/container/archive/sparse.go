package archive

import (
	"bytes"
	"errors"
	"io"
	"os"
)

// HoleSize is the least number of zero bytes, at a multiple of itself in a file,
// that takes no room on the disk after unpacking. An archive does not tell the
// holes of a sparse file from zeros that were written.
const HoleSize = 64 << 10

var zeros [HoleSize]byte

// Zero reports whether all of p, at most HoleSize bytes, is zero.
func Zero(p []byte) bool { return bytes.Equal(p, zeros[:len(p)]) }

// copySparse writes r into the empty file f and leaves holes where it is zero.
func copySparse(f *os.File, r io.Reader) error {
	block := make([]byte, HoleSize)
	for size := int64(0); ; {
		n, err := io.ReadFull(r, block)
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return err
		}
		if n == HoleSize && Zero(block) {
			_, err = f.Seek(HoleSize, io.SeekCurrent)
		} else {
			_, err = f.Write(block[:n])
		}
		if err != nil {
			return err
		}
		if size += int64(n); end {
			// A hole at the end is none yet.
			return f.Truncate(size)
		}
	}
}
