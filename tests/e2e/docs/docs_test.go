// Package docs_test runs what the documentation shows.
package docs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// A page may have any number of transcripts, which are run one after the other:
//
//	<!-- before: a line of sh that readers need not see -->
//	```console
//	$ a line of sh
//	what it prints
//	```
//
// localhost:5000 in them is a registry.
var transcript = regexp.MustCompile("(?s)```console\n(.*?)```\n")

var (
	before = regexp.MustCompile(`<!-- before: (.*?) -->`)
	anchor = "localhost:5000"
)

// masks are what else differs between two runs, in this order.
var masks = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\b[0-9a-f]{24}\b`), "<cache id>"},
	{regexp.MustCompile(`\b\d\d:\d\d(:\d\d)?\b`), "<clock>"},
	{regexp.MustCompile(`\b\d+(\.\d+)? ?([kMG]i?)B\b`), "<size>"},
	{regexp.MustCompile(`\b\d+\.\d+%`), "<percent>"},
	{regexp.MustCompile(`\b\d+\.\d+s\b`), "<seconds>"},
	{regexp.MustCompile(`\bsize: \d+`), "size: <n>"},
	{regexp.MustCompile(`\bskiff-test-\d+\b`), "<user>"},
	{regexp.MustCompile(`/\S*/home\b`), "~"},
	{regexp.MustCompile(`(?m)\b[a-z]+_[a-z]+$`), "<random name>"},
	{regexp.MustCompile(`-{3,}`), "---"},
	{regexp.MustCompile(`[ \t]+`), " "},
}

func mask(text string) string {
	text = harness.Masked(text)
	for _, m := range masks {
		text = m.what.ReplaceAllString(text, m.with)
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}

// exempt are the pages without a transcript, and why.
var exempt = map[string]string{}

func TestPages_TellWhatHappens(t *testing.T) {
	pages, err := filepath.Glob(harness.Source("docs/man/*.md"))
	if err != nil || len(pages) < 50 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	pages = append(pages, harness.Source("docs/guide.md"), harness.Source("README.md"))
	for _, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(data, []byte("\n$ ")) && exempt[name] == "" {
				t.Fatalf("%s has no transcript", page)
			}
			if !transcript.Match(data) {
				return
			}
			got := replay(t, string(data))
			if harness.Updating() && got != string(data) {
				if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// replay runs the transcripts of a page and returns it with what was printed in
// place of what no longer is true.
func replay(t *testing.T, page string) string {
	t.Helper()
	s := harness.New(t)
	s.LoadBusybox()
	address := anchor
	if strings.Contains(page, anchor) {
		address = harness.NewRegistry(t).Address
	}
	run := func(line string) string {
		r := s.Shell("{ " + strings.ReplaceAll(line, anchor, address) + "\n} 2>&1")
		return strings.ReplaceAll(r.Stdout, address, anchor)
	}
	var b strings.Builder
	rest := 0
	for _, at := range transcript.FindAllStringSubmatchIndex(page, -1) {
		text := page[rest:at[2]]
		for _, hidden := range before.FindAllStringSubmatch(text, -1) {
			run(hidden[1])
		}
		b.WriteString(text)
		for _, step := range steps(page[at[2]:at[3]]) {
			got := run(step.line)
			want := step.output
			if mask(got) != mask(want) {
				if !harness.Updating() {
					t.Errorf("$ %s\nprints:\n%s\nthe page has:\n%s", step.line, got, want)
				}
				want = got
			}
			b.WriteString("$ " + step.line + "\n" + want)
			if want != "" && !strings.HasSuffix(want, "\n") {
				b.WriteString("\n")
			}
		}
		rest = at[3]
	}
	return b.String() + page[rest:]
}

type step struct{ line, output string }

// steps splits a transcript at its prompts.
func steps(text string) []step {
	var list []step
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			list = append(list, step{line: strings.TrimSuffix(command, "\n")})
		} else if len(list) > 0 {
			list[len(list)-1].output += line
		}
	}
	return list
}
