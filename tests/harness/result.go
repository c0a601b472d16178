package harness

import (
	"regexp"
	"strings"
	"testing"
)

// Result is how a command ended. The methods fail the test and return the
// result, so that a test reads as a sentence.
type Result struct {
	t      *testing.T
	Line   string // what was typed
	Stdout string
	Stderr string
	Code   int
}

// Out is standard output without the last newline.
func (r *Result) Out() string { return strings.TrimSuffix(r.Stdout, "\n") }

// Succeeds stops the test unless the exit code is 0.
func (r *Result) Succeeds() *Result {
	r.t.Helper()
	if r.Code != 0 {
		r.t.Fatalf("%s: exit code %d, want 0\n%s", r.Line, r.Code, r.streams())
	}
	return r
}

// Exits checks the exit code.
func (r *Result) Exits(code int) *Result {
	r.t.Helper()
	if r.Code != code {
		r.t.Errorf("%s: exit code %d, want %d\n%s", r.Line, r.Code, code, r.streams())
	}
	return r
}

// Prints checks standard output without its last newline.
func (r *Result) Prints(want string) *Result {
	r.t.Helper()
	if got := r.Out(); got != want {
		r.t.Errorf("%s: prints %q, want %q\nstderr: %s", r.Line, got, want, r.Stderr)
	}
	return r
}

// PrintsMatch checks that all of standard output matches a regular expression.
func (r *Result) PrintsMatch(expression string) *Result {
	r.t.Helper()
	if !regexp.MustCompile(`\A(?:` + expression + `)\z`).MatchString(r.Out()) {
		r.t.Errorf("%s: prints %q, want a match of %s\nstderr: %s", r.Line, r.Out(), expression, r.Stderr)
	}
	return r
}

// Says checks that standard output has a text.
func (r *Result) Says(text string) *Result {
	r.t.Helper()
	if !strings.Contains(r.Stdout, text) {
		r.t.Errorf("%s: says nothing of %q\n%s", r.Line, text, r.streams())
	}
	return r
}

// Silent checks that nothing was printed on either stream.
func (r *Result) Silent() *Result {
	r.t.Helper()
	if r.Stdout != "" || r.Stderr != "" {
		r.t.Errorf("%s: is not silent\n%s", r.Line, r.streams())
	}
	return r
}

// Complains checks that standard error has a text.
func (r *Result) Complains(text string) *Result {
	r.t.Helper()
	if !strings.Contains(r.Stderr, text) {
		r.t.Errorf("%s: does not complain of %q\n%s", r.Line, text, r.streams())
	}
	return r
}

// Equal checks a value against what it should be.
func Equal[V comparable](t *testing.T, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}
