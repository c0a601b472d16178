package server

import (
	"errors"
	"io"
	"testing"

	"skiff/storage/courier/message"
)

// zeros is a bomb: it has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestSpaceGuard_EndsABombBeforeTheDiskIsFull(t *testing.T) {
	const disk = 100 << 30
	used := int64(0)
	g := &spaceGuard{r: zeros{}, next: bombSize, free: func() (int64, int64, error) { return 4<<30 - used, disk, nil }}
	buffer := make([]byte, 1<<20)
	var err error
	for err == nil {
		var n int
		n, err = g.Read(buffer)
		used += int64(n)
	}
	if !errors.Is(err, message.ErrInvalid) {
		t.Fatalf("got %v", err)
	}
	if left := int64(4<<30) - used; left < keepFree-spaceStep-1<<20 || left > keepFree {
		t.Errorf("ended with %d MB left", left>>20)
	}
}

func TestSpaceGuard_LetsSmallLayersUseAllThereIs(t *testing.T) {
	g := &spaceGuard{r: io.LimitReader(zeros{}, bombSize), next: bombSize, free: func() (int64, int64, error) { return 0, 1 << 40, nil }}
	buffer := make([]byte, 1<<20)
	for {
		_, err := g.Read(buffer)
		if errors.Is(err, io.EOF) {
			return
		}
		if g.n >= bombSize {
			return // all was read; whether more may follow is the next test of free
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
