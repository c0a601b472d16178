package server

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"skiff/storage/courier/message"
)

const (
	// bombSize is how far a layer unpacks before anybody looks at the disk:
	// a few bytes may unpack to as many as there is room for.
	bombSize = 1 << 30
	// spaceStep is how often it is looked at then.
	spaceStep = 64 << 20
	// A large layer leaves a hundredth of the disk, or this much if that is less.
	keepFree = 512 << 20
)

// spaceGuard reads a layer as it is unpacked and ends it when a large one is about
// to fill the disk: what else runs on the machine needs some of it.
type spaceGuard struct {
	r io.Reader
	// free tells how many bytes the disk has for us, and in all.
	free func() (available, total int64, err error)
	n    int64
	next int64
	err  error // why it ended the layer
}

// guardSpace returns r behind a guard of the disk that dir is on.
func guardSpace(r io.Reader, dir string) *spaceGuard {
	return &spaceGuard{r: r, next: bombSize, free: func() (int64, int64, error) {
		var fs unix.Statfs_t
		if err := unix.Statfs(dir, &fs); err != nil {
			return 0, 0, err
		}
		return int64(fs.Bavail) * fs.Bsize, int64(fs.Blocks) * fs.Bsize, nil
	}}
}

func (g *spaceGuard) Read(p []byte) (int, error) {
	if g.n >= g.next {
		g.next = g.n + spaceStep
		available, total, err := g.free()
		if keep := min(total/100, keepFree); err == nil && available < keep {
			g.err = message.Fail(message.ErrInvalid, fmt.Sprintf(
				"layer unpacks to more than %d MB, and the disk has only %d MB left: no space left on device", g.n>>20, available>>20))
			return 0, g.err
		}
	}
	n, err := g.r.Read(p)
	g.n += int64(n)
	return n, err
}
