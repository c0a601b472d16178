// Package terminal is the user's terminal while a container has it: raw mode,
// its size, the detach keys, and the signals that are passed on. It knows
// nothing of containers.
package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// ErrDetach is what a Reader returns when the detach keys were typed.
var ErrDetach = errors.New("read escape sequence")

// Raw passes every key through as it is typed and returns how to undo that. A
// file that is no terminal is left alone.
func Raw(f *os.File) (restore func(), err error) {
	fd := int(f.Fd())
	if !term.IsTerminal(fd) {
		return func() {}, nil
	}
	before, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("set terminal to raw mode: %w", err)
	}
	// Restoring fails only when the terminal is gone.
	return func() { _ = term.Restore(fd, before) }, nil
}

// ReadSecret reads a line that is not shown while it is typed. The terminal is
// told so before the prompt: who is quick answers at once.
func ReadSecret(ctx context.Context, in *os.File, prompt func()) (string, error) {
	fd := int(in.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", fmt.Errorf("hide what is typed: %w", err)
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	hidden.Lflag |= unix.ICANON | unix.ISIG
	hidden.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &hidden); err != nil {
		return "", fmt.Errorf("hide what is typed: %w", err)
	}
	defer func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }()
	prompt()
	return ReadLine(ctx, in)
}

// ReadLine reads a line, without its end, and nothing that follows it. It returns
// as soon as the context ends.
func ReadLine(ctx context.Context, in io.Reader) (string, error) {
	type line struct {
		text string
		err  error
	}
	read := make(chan line, 1) // where nobody waits any more, the process is about to end
	go func() {
		var text []byte
		one := make([]byte, 1)
		for {
			n, err := in.Read(one)
			if n == 1 && one[0] != '\n' {
				text = append(text, one[0])
			} else if n == 1 || err != nil {
				read <- line{strings.TrimSuffix(string(text), "\r"), err}
				return
			}
		}
	}()
	select {
	case l := <-read:
		if errors.Is(l.err, io.EOF) {
			l.err = nil
		}
		return l.text, l.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// WatchSize calls resize whenever the size of the terminal has changed, until
// stop is called.
func WatchSize(resize func()) (stop func()) {
	changes := make(chan os.Signal, 1)
	signal.Notify(changes, syscall.SIGWINCH)
	go func() {
		for range changes {
			resize()
		}
	}()
	return func() { signal.Stop(changes); close(changes) }
}

// usual are the signals that people and programs send; the others are proxied
// a moment later.
var usual = []os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTSTP,
	syscall.SIGCONT,
}

// rareAfter is when all signals are proxied. Asking the Go runtime for one
// costs four thread switches, for all of them 0.5 ms and more.
const rareAfter = 100 * time.Millisecond

// ProxySignals passes every signal that the process gets to send, until stop is
// called. Not passed on: what concerns this process alone (children, pipes, the
// Go runtime's own, window size) and what the terminal driver uses to stop a
// background job.
func ProxySignals(send func(syscall.Signal)) (stop func()) {
	signals := make(chan os.Signal, 128)
	signal.Notify(signals, usual...)
	rare := time.NewTimer(rareAfter)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-rare.C:
				signal.Notify(signals)
			case s := <-signals:
				switch n := s.(syscall.Signal); n {
				case syscall.SIGCHLD, syscall.SIGPIPE, syscall.SIGURG, syscall.SIGWINCH, syscall.SIGTTIN, syscall.SIGTTOU:
				default:
					send(n)
				}
			}
		}
	}()
	return func() {
		rare.Stop()
		signal.Stop(signals)
		close(done)
	}
}

// DefaultDetachKeys is docker's: ctrl-p, ctrl-q.
const DefaultDetachKeys = "ctrl-p,ctrl-q"

// ParseDetachKeys reads a comma-separated list of single characters and
// ctrl-<key>, where <key> is a letter or one of @ [ \ ] ^ _. Empty means none.
func ParseDetachKeys(s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	var keys []byte
	for _, k := range strings.Split(s, ",") {
		control, ok := strings.CutPrefix(k, "ctrl-")
		switch {
		case len(k) == 1:
			keys = append(keys, k[0])
		case ok && len(control) == 1 && control[0] >= 'a' && control[0] <= 'z':
			keys = append(keys, control[0]-'a'+1)
		case ok && len(control) == 1 && control[0] >= '@' && control[0] <= '_':
			keys = append(keys, control[0]-'@')
		default:
			return nil, fmt.Errorf("invalid detach keys (%s): Unknown character: '%s'", s, k)
		}
	}
	return keys, nil
}

// Reader reads from a terminal and looks for the detach keys. What turns out
// not to be the whole sequence is passed on, late but unchanged.
type Reader struct {
	from    io.Reader
	keys    []byte
	matched int // how many of keys were typed and are held back
	pending []byte
}

// NewReader returns a Reader over from; without keys it only reads.
func NewReader(from io.Reader, keys []byte) *Reader { return &Reader{from: from, keys: keys} }

// Read returns ErrDetach once the detach keys were typed one after another.
func (r *Reader) Read(p []byte) (int, error) {
	if len(r.keys) == 0 {
		return r.from.Read(p)
	}
	for len(r.pending) == 0 {
		buf := make([]byte, max(len(p), 1))
		n, err := r.from.Read(buf)
		for _, b := range buf[:n] {
			if r.take(b) {
				// What came before still goes out; what follows is dropped.
				err = ErrDetach
				break
			}
		}
		if err != nil {
			r.pending = append(r.pending, r.keys[:r.matched]...)
			r.matched = 0
			if len(r.pending) == 0 {
				return 0, err
			}
			r.from = errorReader{err}
		}
	}
	n := copy(p, r.pending)
	r.pending = r.pending[n:]
	return n, nil
}

// take adds one byte and reports whether the sequence is complete.
func (r *Reader) take(b byte) bool {
	for b != r.keys[r.matched] {
		if r.matched == 0 {
			r.pending = append(r.pending, b)
			return false
		}
		// The held keys were no sequence, but its end may begin a new one.
		held := r.keys[:r.matched]
		r.matched = 0
		r.pending = append(r.pending, held[0])
		for _, h := range held[1:] {
			r.take(h)
		}
	}
	r.matched++
	if r.matched == len(r.keys) {
		r.matched = 0
		return true
	}
	return false
}

type errorReader struct{ err error }

func (e errorReader) Read([]byte) (int, error) { return 0, e.err }
