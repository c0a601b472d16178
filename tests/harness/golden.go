package harness

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files from what the program says now")

// masks replace what differs from run to run, in this order.
var masks = []struct {
	expression  *regexp.Regexp
	replacement string
}{
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "<id>"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "<short id>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| ?[+-]\d\d:?\d\d( [A-Z]+)?)?`), "<time>"},
	{regexp.MustCompile(`(Less than a second|About an? (minute|hour)|\d+ (seconds?|minutes?|hours?|days?|weeks?|months?|years?))( ago)?`), "<duration>"},
	{regexp.MustCompile(`\b\d+(\.\d+)?[kMG]?B\b`), "<size>"},
	{regexp.MustCompile(` {3,}`), "   "}, // columns are as wide as what was masked
}

// Golden compares a text, ids and times masked, with testdata/<name>.golden.
// `go test -update` writes the file; the change is reviewed as a diff.
func Golden(t *testing.T, name, got string) {
	t.Helper()
	goldenFile(t, filepath.Join("testdata", name+".golden"), Masked(got))
}

// Masked is text with what differs from run to run replaced by what it is.
func Masked(text string) string {
	for _, m := range masks {
		text = m.expression.ReplaceAllString(text, m.replacement)
	}
	return text
}

// Updating reports whether files shall be written instead of compared.
func Updating() bool { return *update }

// GoldenDocument compares a text with a file of the source tree, as it is.
func GoldenDocument(t *testing.T, got string, path ...string) {
	t.Helper()
	goldenFile(t, Source(path...), got)
}

func goldenFile(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (go test -update writes it)\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}
