package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"skiff/storage/courier/message"
)

// Decompress undoes the compression of r, which is xz or zstd. What is wrong with
// r is told by Read, the courier's end too; Close ends the courier.
func Decompress(r io.Reader) (io.ReadCloser, error) {
	fromRead, fromWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start courier: %w", err)
	}
	toRead, toWrite, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start courier: %w", err), fromRead.Close(), fromWrite.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &decompressed{plain: toRead, cancel: cancel, read: make(chan error, 1), ended: make(chan error, 1)}
	go func() {
		_, err := io.Copy(fromWrite, r)
		if errors.Is(err, syscall.EPIPE) {
			err = nil // the courier says why it did not want the rest
		}
		d.read <- err
		fromWrite.Close()
	}()
	go func() {
		_, err := convey(ctx, nil, message.Request{Decompress: &message.Decompress{}}, fromRead, toWrite, nil)
		fromRead.Close()
		toWrite.Close()
		d.ended <- err
	}()
	return d, nil
}

// decompressed is what a courier is undoing.
type decompressed struct {
	plain  *os.File
	cancel context.CancelFunc
	// read says how reading what is compressed ended, ended how the courier did.
	read, ended chan error
	over        error // what Read ends with, nil before
}

func (d *decompressed) Read(p []byte) (int, error) {
	if d.over != nil {
		return 0, d.over
	}
	n, err := d.plain.Read(p)
	if n > 0 || err == nil {
		return n, nil
	}
	d.over = err
	if errors.Is(err, io.EOF) {
		// A courier that has failed may have left input that nobody ends.
		if failed := <-d.ended; failed != nil {
			d.over = failed
			select {
			case failed = <-d.read:
				if failed != nil {
					d.over = failed
				}
			default:
			}
		}
	}
	return 0, d.over
}

func (d *decompressed) Close() error {
	d.cancel()
	return d.plain.Close()
}
