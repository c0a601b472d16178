package atomicfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strconv"
	"sync"

	"skiff/storage/quickjson"
)

// A document is a JSON object that begins with the checksum of all that follows
// it: {"Sum":"<8 hex digits>",...}. A release that knows nothing of it skips a
// field that it does not know, and an object without one is what such a release
// wrote: it is not checked.
const (
	sumBefore = `{"Sum":"`
	sumAfter  = `",`
	sumDigits = 8
	sumLength = len(sumBefore) + sumDigits + len(sumAfter)
)

// DamagedError says that a file of the store is not as it was written.
type DamagedError struct {
	Path   string // absolute, of the file
	Reason string // "it is missing"
}

func (e *DamagedError) Error() string { return e.Path + " is damaged: " + e.Reason }

// Hint returns what the user can do about it.
func (e *DamagedError) Hint() string {
	return "`skiff system check` says what follows from it, `skiff system check --repair` mends it or sets it aside"
}

// NewerError says that a newer skiff wrote a file of the store.
type NewerError struct {
	Path    string
	Version int // of its format
	Known   int // the newest that this program reads
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("%s was written by a newer skiff: its format is %d, this program reads up to %d", e.Path, e.Version, e.Known)
}

// Hint returns what the user can do about it.
func (e *NewerError) Hint() string {
	return "use that skiff, or another store: set XDG_DATA_HOME"
}

// Encode returns v, which must be a struct or a map, as a document.
func Encode(v any) ([]byte, error) {
	data, err := quickjson.Marshal(v)
	if err != nil || len(data) < len("{}")+1 || data[0] != '{' {
		return data, err
	}
	rest := data[1:]
	out := make([]byte, 0, len(data)+sumLength)
	return append(fmt.Appendf(out, sumBefore+"%08x"+sumAfter, crc32.ChecksumIEEE(rest)), rest...), nil
}

// Decode fills in v from the document data, which was read from path. version
// points to the field of v that has the document's format, of which this program
// reads up to known. Errors are *DamagedError and *NewerError.
func Decode(path string, data []byte, v any, version *int, known int) error {
	if err := checkSum(path, data); err != nil {
		return err
	}
	failed := quickjson.Unmarshal(data, v)
	if failed != nil {
		// A newer format may have other types, too.
		var head struct{ Version int }
		if json.Unmarshal(data, &head) == nil {
			*version = head.Version
		}
	}
	if *version > known {
		return &NewerError{Path: path, Version: *version, Known: known}
	}
	if failed != nil {
		return &DamagedError{Path: path, Reason: failed.Error()}
	}
	return nil
}

// buffers are for documents on their way; nothing that is decoded keeps one.
var buffers = sync.Pool{New: func() any { return new([smallFile]byte) }}

// ReadDocument is Decode of the file at path. An absent one is os.ErrNotExist.
func ReadDocument(path string, v any, version *int, known int) (err error) {
	var failed error
	err = read(path, func(fd int) error {
		buffer := buffers.Get().(*[smallFile]byte)
		defer buffers.Put(buffer)
		data, err := readAll(fd, buffer[:0])
		if err == nil {
			failed = Decode(path, data, v, version, known)
		}
		return err
	})
	if err != nil {
		return err
	}
	return failed
}

// checkSum refuses a document that is not as it was written, as far as it tells.
func checkSum(path string, data []byte) error {
	if !bytes.HasSuffix(bytes.TrimSpace(data), []byte{'}'}) {
		return &DamagedError{Path: path, Reason: "it is cut off"}
	}
	if len(data) < sumLength || string(data[:len(sumBefore)]) != sumBefore {
		return nil
	}
	sum, err := strconv.ParseUint(string(data[len(sumBefore):len(sumBefore)+sumDigits]), 16, 32)
	if err != nil || uint32(sum) != crc32.ChecksumIEEE(data[sumLength:]) {
		return &DamagedError{Path: path, Reason: "its contents do not have the checksum that they were written with"}
	}
	return nil
}

// IsDamaged reports whether err comes from a file that is not as it was written.
func IsDamaged(err error) bool {
	var damaged *DamagedError
	return errors.As(err, &damaged)
}

// IsUnreadable reports whether err comes from one file that is damaged, or that
// only a newer skiff understands, and says nothing about any other.
func IsUnreadable(err error) bool {
	var newer *NewerError
	return IsDamaged(err) || errors.As(err, &newer)
}

// Missing returns the error of a file without which the directory that it belongs
// to makes no sense, and os.ErrNotExist if that directory is gone too, or came with
// the file since: things appear and vanish with their directories.
func Missing(path, dir string) error {
	if _, err := os.Lstat(dir); err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
	}
	return &DamagedError{Path: path, Reason: "it is missing"}
}
