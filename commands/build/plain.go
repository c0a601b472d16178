package build

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"skiff/build"
	"skiff/commands/env"
	"skiff/commands/format"
)

// plain writes progress as BuildKit's plain mode does: numbered tasks, a line
// each time something happens.
type plain struct {
	mu    sync.Mutex
	out   io.Writer
	clock func() time.Time
	tasks int
	last  *task // whose lines came last
}

func newPlain(out io.Writer, clock func() time.Time) *plain { return &plain{out: out, clock: clock} }

func (p *plain) header(text string) { fmt.Fprintf(p.out, "#0 %s\n", text) }

func (p *plain) close() {}

// display shows what a build does, until it is closed.
type display interface {
	build.Watcher
	close()
}

// newDisplay returns the display of a --progress mode.
func newDisplay(e *env.Env, mode string) display {
	if old, err := strconv.ParseBool(e.Getenv("DOCKER_BUILDKIT")); mode == "auto" && err == nil && !old {
		return &legacy{out: e.Out}
	}
	if mode == "auto" {
		mode = "plain"
		if env.Terminal(e.Err) {
			mode = "tty"
		}
	}
	switch mode {
	case "rawjson":
		return newRawJSON(e.Err, e.Clock)
	case "tty":
		return newScreen(e.Err, e.Clock, e.Getenv("NO_COLOR") == "")
	case "plain":
		p := newPlain(e.Err, e.Clock)
		p.header(`building with "default" instance using skiff driver`)
		return p
	}
	return newPlain(io.Discard, e.Clock)
}

// Begin announces a task.
func (p *plain) Begin(name string) build.Task {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tasks++
	t := &task{p: p, number: p.tasks, name: name, start: p.clock()}
	t.line("")
	return t
}

// task is one numbered task.
type task struct {
	p      *plain
	number int
	name   string
	start  time.Time
	cached bool
	rest   [3][]byte // of each stream, what has no line end yet
}

// line writes one line of the task; the caller holds the lock.
func (t *task) line(text string) {
	if t.p.last != t {
		fmt.Fprintf(t.p.out, "\n#%d %s\n", t.number, format.EscapeText(t.name))
		t.p.last = t
	}
	if text != "" {
		fmt.Fprintf(t.p.out, "#%d %s\n", t.number, text)
	}
}

// Cached says so.
func (t *task) Cached() {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.cached = true
	t.line("CACHED")
}

// Status is a line about progress.
func (t *task) Status(text string) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.line(text)
}

// Warn is for the user.
func (t *task) Warn(text string) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.line("WARN: " + text)
}

// Output is a process's output, whole lines at a time.
func (t *task) Output(stream int, data []byte) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.rest[stream] = append(t.rest[stream], data...)
	for {
		line, rest, ok := bytes.Cut(t.rest[stream], []byte{'\n'})
		if !ok {
			return
		}
		t.output(line)
		t.rest[stream] = append([]byte(nil), rest...)
	}
}

func (t *task) output(line []byte) {
	t.line(fmt.Sprintf("%.3f %s", t.p.clock().Sub(t.start).Seconds(), bytes.TrimRight(line, "\r")))
}

// Done ends the task.
func (t *task) Done(err error) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	for i, rest := range t.rest {
		if len(rest) > 0 {
			t.output(rest)
			t.rest[i] = nil
		}
	}
	switch {
	case err != nil:
		t.line("ERROR: " + err.Error())
	case !t.cached:
		t.line(fmt.Sprintf("DONE %.1fs", t.p.clock().Sub(t.start).Seconds()))
	}
	t.p.last = nil
}
