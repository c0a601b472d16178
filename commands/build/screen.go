package build

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"skiff/build"
	"skiff/commands/env"
	"skiff/commands/format"
)

const (
	// frame is how often the screen is drawn.
	frame = 150 * time.Millisecond
	// tailLines is how much of a running step's output is shown below it.
	tailLines = 6
)

// Colours as BuildKit has them: done, failed.
const (
	blue        = "\x1b[34m"
	red         = "\x1b[31m"
	plainColour = "\x1b[0m"
)

// screen draws progress in place, as BuildKit's tty mode does.
type screen struct {
	mu            sync.Mutex
	out           io.Writer
	clock         func() time.Time
	colour        bool
	start         time.Time
	tasks         []*row
	drawn         int // lines of the last frame
	stop, stopped chan struct{}
}

func newScreen(out io.Writer, clock func() time.Time, colour bool) *screen {
	s := &screen{out: out, clock: clock, colour: colour, start: clock(), stop: make(chan struct{}), stopped: make(chan struct{})}
	go s.animate()
	return s
}

func (s *screen) animate() {
	defer close(s.stopped)
	ticker := time.NewTicker(frame)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
			s.mu.Lock()
			s.draw(false)
			s.mu.Unlock()
		}
	}
}

// close draws the last frame, which stays.
func (s *screen) close() {
	close(s.stop)
	<-s.stopped
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draw(true)
}

// Begin announces a task.
func (s *screen) Begin(name string) build.Task {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &row{s: s, name: format.EscapeText(name), start: s.clock()}
	s.tasks = append(s.tasks, t)
	return t
}

// row is one task.
type row struct {
	s          *screen
	name       string
	start, end time.Time // end is zero while it runs
	cached     bool
	failed     bool
	statuses   []string
	tail       []string
	rest       []byte // output without a line end yet
}

// Cached says so.
func (t *row) Cached() {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.cached = true
}

// Status is a line about progress.
func (t *row) Status(text string) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.statuses = append(t.statuses, strings.TrimSuffix(text, " done"))
}

// Warn is for the user.
func (t *row) Warn(text string) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.statuses = append(t.statuses, "WARN: "+text)
}

// Output is a process's; its last lines are shown while it runs.
func (t *row) Output(_ int, data []byte) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.rest = append(t.rest, data...)
	for {
		line, rest, ok := bytes.Cut(t.rest, []byte{'\n'})
		if !ok {
			break
		}
		t.tail = append(t.tail, format.EscapeText(string(bytes.TrimRight(line, "\r"))))
		t.rest = slices.Clone(rest)
	}
	if over := len(t.tail) - tailLines; over > 0 {
		t.tail = slices.Delete(t.tail, 0, over)
	}
	if over := len(t.rest) - 4<<10; over > 0 {
		t.rest = slices.Clone(t.rest[over:])
	}
}

// Done ends the task.
func (t *row) Done(err error) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.end, t.failed = t.s.clock(), err != nil
}

// draw writes the whole screen over the last one; the caller holds the lock.
func (s *screen) draw(last bool) {
	height, width := env.Size(s.out)
	if height == 0 || width < 20 {
		height, width = 24, 80
	}
	now := s.clock()
	lines := s.lines(now, last, int(width))
	if room := int(height) - 1; !last && len(lines) > room {
		// The newest are worth more than the oldest.
		lines = append(lines[:1:1], lines[len(lines)-room+1:]...)
	}
	var b bytes.Buffer
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.drawn)
	}
	b.WriteString("\x1b[?25l\r")
	for _, l := range lines {
		b.WriteString(l)
		b.WriteString("\x1b[K\n")
	}
	if s.drawn > len(lines) {
		b.WriteString("\x1b[J")
	}
	b.WriteString("\x1b[?25h")
	s.drawn = len(lines)
	_, _ = s.out.Write(b.Bytes())
}

func (s *screen) lines(now time.Time, last bool, width int) []string {
	done := 0
	for _, t := range s.tasks {
		if !t.end.IsZero() {
			done++
		}
	}
	head := fmt.Sprintf("[+] Building %.1fs (%d/%d)", now.Sub(s.start).Seconds(), done, len(s.tasks))
	if last {
		head += " FINISHED"
	}
	lines := []string{fit(head, "skiff:default", width)}
	for _, t := range s.tasks {
		end := t.end
		if end.IsZero() {
			end = now
		}
		took := fmt.Sprintf("%.1fs", end.Sub(t.start).Seconds())
		name := " => " + t.name
		switch {
		case t.failed:
			name = " => ERROR " + t.name
		case t.cached:
			name = " => CACHED " + t.name
		}
		lines = append(lines, s.paint(fit(name, took, width), t))
		for _, status := range t.statuses {
			lines = append(lines, s.paint(fit(" => => "+status, took, width), t))
		}
		if t.end.IsZero() && !last {
			for _, l := range t.tail {
				lines = append(lines, fit(" => => # "+l, "", width))
			}
		}
	}
	return lines
}

func (s *screen) paint(line string, t *row) string {
	switch {
	case !s.colour:
		return line
	case t.failed:
		return red + line + plainColour
	case !t.end.IsZero():
		return blue + line + plainColour
	}
	return line
}

// fit puts right at the right edge of a line that is exactly width wide, and cuts
// left where it must.
func fit(left, right string, width int) string {
	room := width - utf8.RuneCountInString(right) - 1
	if n := utf8.RuneCountInString(left); n > room {
		runes := []rune(left)
		left = string(runes[:max(0, room-3)]) + "..."
	} else {
		left += strings.Repeat(" ", room-n)
	}
	return strings.TrimRight(left+" "+right, " ")
}
