package server

import (
	"bufio"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"skiff/storage/courier/message"
)

// undo writes what r, compressed by xz or zstd, was before.
func undo(w io.Writer, r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	head, err := in.Peek(1)
	if err != nil {
		return err
	}
	var plain io.Reader
	if head[0] == 0x28 { // zstd's magic number begins so, xz' with 0xfd
		// One window after the other, and none that takes all memory.
		d, failed := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(128<<20))
		if failed == nil {
			defer d.Close()
			plain = d
		}
		err = failed
	} else {
		plain, err = xz.NewReader(in)
	}
	if err == nil {
		_, err = io.Copy(w, plain)
	}
	if err != nil {
		return message.Fail(message.ErrInvalid, err.Error())
	}
	return nil
}
