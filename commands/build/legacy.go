package build

import (
	"fmt"
	"io"
	"regexp"
	"sync"

	"skiff/build"
	"skiff/commands/format"
	"skiff/storage/image"
)

// legacy writes progress as docker's first builder did (DOCKER_BUILDKIT=0), for
// scripts that read it: to standard output, a numbered line for each instruction.
type legacy struct {
	mu           sync.Mutex
	out          io.Writer
	steps, total int
}

// Steps says how many instructions there will be.
func (l *legacy) Steps(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total = n
}

// Instruction announces one that makes no files.
func (l *legacy) Instruction(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.step(text)
}

func (l *legacy) step(text string) {
	l.steps++
	fmt.Fprintf(l.out, "Step %d/%d : %s\n", l.steps, l.total, format.EscapeText(text))
}

// stepTitle is the title of a task that is an instruction.
var stepTitle = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\[(?:\S+ )?\s*\d+/\d+\] (?:ONBUILD )?(.*)$`)
})

var fromTitle = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\[(?:\S+ )?\s*\d+/\d+\] FROM `)
})

// Begin announces a task.
func (l *legacy) Begin(name string) build.Task {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &legacyTask{l: l}
	if m := stepTitle().FindStringSubmatch(name); m != nil && !fromTitle().MatchString(name) {
		t.step = true
		l.step(m[1])
	}
	return t
}

func (l *legacy) close() {}

// built is what comes last.
func (l *legacy) built(id string, names []string) {
	fmt.Fprintf(l.out, "Successfully built %.12s\n", id)
	for _, name := range names {
		if ref, err := image.ParseReference(name); err == nil {
			fmt.Fprintf(l.out, "Successfully tagged %s\n", ref.Familiar())
		}
	}
}

type legacyTask struct {
	l    *legacy
	step bool
}

// Cached says so.
func (t *legacyTask) Cached() {
	if t.step {
		t.l.mu.Lock()
		defer t.l.mu.Unlock()
		fmt.Fprintln(t.l.out, " ---> Using cache")
	}
}

// Status is not shown.
func (t *legacyTask) Status(string) {}

// Warn is for the user.
func (t *legacyTask) Warn(text string) {
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	fmt.Fprintln(t.l.out, "[Warning] "+text)
}

// Output is a process's, as it is.
func (t *legacyTask) Output(_ int, data []byte) {
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	_, _ = t.l.out.Write(data)
}

// Done ends the task.
func (t *legacyTask) Done(error) {}
