package runtime

import (
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"skiff/commands/env"
	"skiff/commands/terminal"
)

// relay ties the user's terminal to a process's.
type relay struct {
	undo   []func()
	output sync.WaitGroup
	once   sync.Once
}

// newRelay starts copying between the user and console, which it owns; nil is
// no terminal and nothing to do.
func newRelay(e *env.Env, console *os.File) (*relay, error) {
	r := &relay{}
	if console == nil {
		return r, nil
	}
	restore, err := terminal.Raw(e.In)
	if err != nil {
		console.Close()
		return nil, err
	}
	resize := func() {
		if rows, cols := env.Size(e.Out); rows > 0 {
			// The process may have ended; its end is noticed elsewhere.
			_ = unix.IoctlSetWinsize(int(console.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
		}
	}
	r.undo = []func(){restore, terminal.WatchSize(resize), func() { console.Close() }}
	resize()
	go func() { _, _ = io.Copy(console, e.In) }()          // ends with the program
	r.output.Go(func() { _, _ = io.Copy(e.Out, console) }) // EIO: no process has it open
	return r, nil
}

// close waits for the last output and gives the terminal back.
func (r *relay) close() {
	r.once.Do(func() {
		r.output.Wait()
		for _, undo := range r.undo {
			undo()
		}
	})
}
