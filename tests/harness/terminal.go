package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is a command that runs on a pseudo-terminal (pty(7)), with the test
// in the place of the person before it.
type Terminal struct {
	t    *testing.T
	line string
	ptmx *os.File
	cmd  *exec.Cmd

	mu     sync.Mutex
	output strings.Builder
	from   int // what Expect has seen already
	done   chan struct{}
	code   int
}

// Terminal starts skiff with args on a terminal of 24 rows and 80 columns.
func (s *Session) Terminal(args ...string) *Terminal {
	s.T.Helper()
	ptmx, pts, err := openPTY()
	if err != nil {
		s.T.Fatal(err)
	}
	defer pts.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	cmd := s.Command(ctx, append([]string{suite.binary}, args...)...)
	cmd.Env = append(cmd.Env, "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = pts, pts, pts
	cmd.SysProcAttr.Setctty = true
	c := &Terminal{
		t: s.T, line: strings.Join(args, " "), ptmx: ptmx, cmd: cmd,
		done: make(chan struct{}),
	}
	c.Resize(24, 80)
	if err := cmd.Start(); err != nil {
		s.T.Fatal(err)
	}
	go c.read()
	go func() {
		_ = cmd.Wait()
		c.code = exitCode(cmd.ProcessState)
		cancel()
		close(c.done)
	}()
	s.T.Cleanup(func() {
		cancel()
		<-c.done
		ptmx.Close()
	})
	return c
}

// openPTY returns the two ends of a new pseudo-terminal.
func openPTY() (ptmx, pts *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	// Not blocking, so that closing it ends a read of the other goroutine.
	if err = unix.SetNonblock(fd, true); err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	n, numberErr := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err = errors.Join(err, numberErr); err != nil {
		unix.Close(fd)
		return nil, nil, fmt.Errorf("unlock terminal: %w", err)
	}
	ptmx = os.NewFile(uintptr(fd), "/dev/ptmx")
	name := fmt.Sprintf("/dev/pts/%d", n)
	if pts, err = os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0); err == nil {
		err = suite.user.give(name)
	}
	if err != nil {
		ptmx.Close()
		return nil, nil, err
	}
	return ptmx, pts, nil
}

func (c *Terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := c.ptmx.Read(buf)
		c.mu.Lock()
		c.output.Write(buf[:n])
		c.mu.Unlock()
		// EIO says that nobody has the other end open any more.
		if err != nil {
			return
		}
	}
}

// Output is everything that was on the terminal so far.
func (c *Terminal) Output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.output.String()
}

// Expect waits for a text behind what it has found before, and stops the test
// when it does not come.
func (c *Terminal) Expect(text string) {
	c.t.Helper()
	if !within(comesWithin, func() bool {
		all := c.Output()
		at := strings.Index(all[c.from:], text)
		if at >= 0 {
			c.from += at + len(text)
		}
		return at >= 0
	}) {
		c.t.Fatalf("%s: %q did not appear on the terminal, but:\n%q", c.line, text, c.Output()[c.from:])
	}
}

// Type sends keys.
func (c *Terminal) Type(keys string) {
	c.t.Helper()
	if _, err := c.ptmx.WriteString(keys); err != nil {
		c.t.Fatalf("%s: type %q: %v", c.line, keys, err)
	}
}

// Resize changes the terminal's size, which sends SIGWINCH.
func (c *Terminal) Resize(rows, columns uint16) {
	c.t.Helper()
	size := unix.Winsize{Row: rows, Col: columns}
	if err := unix.IoctlSetWinsize(int(c.ptmx.Fd()), unix.TIOCSWINSZ, &size); err != nil {
		c.t.Fatal(err)
	}
	// Fd made it blocking again; see openPTY.
	if err := unix.SetNonblock(int(c.ptmx.Fd()), true); err != nil {
		c.t.Fatal(err)
	}
}

// Exits waits for the command's end and checks its exit code.
func (c *Terminal) Exits(code int) {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(comesWithin):
		c.t.Fatalf("%s: does not end\n%q", c.line, c.Output())
	}
	if c.code != code {
		c.t.Errorf("%s: exit code %d, want %d\n%q", c.line, c.code, code, c.Output())
	}
}

// Signal sends a signal to the command itself.
func (c *Terminal) Signal(sig os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		c.t.Fatal(err)
	}
}

// Raw reports whether the command has switched the terminal to raw mode.
func (c *Terminal) Raw() bool {
	state, err := unix.IoctlGetTermios(int(c.ptmx.Fd()), unix.TCGETS)
	_ = unix.SetNonblock(int(c.ptmx.Fd()), true)
	return err == nil && state.Lflag&unix.ICANON == 0
}
