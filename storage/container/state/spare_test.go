package state

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"skiff/storage/atomicfile"
)

// On a full disk a state is written as on any other, again and again, and a reader
// sees whole ones: the last, or the next a moment early.
func TestWrite_OnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("full", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mount a small disk: %v", err)
	}
	defer func() { _ = unix.Unmount(dir, 0) }()
	if err := Write(dir, State{Restarts: 1}, atomicfile.Durable); err != nil {
		t.Fatal(err)
	}
	Reserve(dir)
	fill := func() {
		t.Helper()
		f, err := os.OpenFile(filepath.Join(dir, "filler"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for err == nil {
			_, err = f.Write(make([]byte, 512))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
	fill()
	if err := atomicfile.Write(filepath.Join(dir, "other"), []byte("x"), 0o600, atomicfile.Volatile); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	done := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for last := 1; ; {
			s, err := Read(dir)
			if err != nil || s.Restarts < last-1 || len(s.Error) != 0 && len(s.Error) != 1000 {
				t.Errorf("read %+v behind %d, %v", s, last, err)
				return
			}
			last = s.Restarts
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for n := 2; n < 200; n++ {
		if err := Write(dir, State{Restarts: n, Error: strings.Repeat("x", 1000*(n%2))}, atomicfile.Durability(n%3 == 0)); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	reader.Wait()
	Release(dir)
	fill()
	if err := Write(dir, State{Restarts: 200}, atomicfile.Volatile); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("without a spare: %v", err)
	}
	if s, err := Read(dir); err != nil || s.Restarts != 199 {
		t.Errorf("a write that failed left %+v, %v", s, err)
	}
	if left, err := atomicfile.Attempts(dir); len(left) > 0 || err != nil {
		t.Errorf("left %v, %v", left, err)
	}
}
