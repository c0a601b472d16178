package stage

import (
	"fmt"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
)

// place puts the descriptors that p is given where its program will find them,
// 3 and on, still to be closed on execution (release), and moves parent and the
// other descriptors out of their way. It returns the others.
func place(parent *message.Conn, p *message.Process, fds []int) ([]int, error) {
	if p.Given == 0 {
		return fds, nil
	}
	first := len(fds) - p.Given
	if first < 0 {
		return nil, fmt.Errorf("%d descriptors to keep, %d came", p.Given, len(fds))
	}
	free := controlFD + p.Given
	high := make([]int, 0, 1+len(fds))
	for _, fd := range append([]int{parent.FD}, fds...) {
		moved, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, free)
		if err != nil {
			return nil, fmt.Errorf("move descriptor: %w", err)
		}
		high = append(high, moved)
	}
	closeAll(append(fds, parent.FD))
	parent.FD = high[0]
	for i, fd := range high[1+first:] {
		to := controlFD + i
		// What is there is the Go runtime's view of its limits (it opens them
		// before main), of no use any more.
		if err := unix.Dup3(fd, to, unix.O_CLOEXEC); err != nil {
			return nil, fmt.Errorf("give descriptor %d: %w", to, err)
		}
		unix.Close(fd)
	}
	p.KeepFDs = p.Given
	return high[1 : 1+first], nil
}

// releaseGiven lets the program have what place put there.
func releaseGiven(p *message.Process) error {
	for i := range p.Given {
		if _, err := unix.FcntlInt(uintptr(controlFD+i), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("give descriptor %d: %w", controlFD+i, err)
		}
	}
	return nil
}
