package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"skiff/commands/failure"
	"skiff/commands/golden"
)

var list = List{
	Headings: [][2]string{{"ID", "CONTAINER ID"}, {"Image", "IMAGE"}, {"Names", "NAMES"}, {"Labels", "LABELS"}},
	Columns:  []string{"ID", "Image", "Names"},
	Quiet:    "ID",
}

var rows = []Row{
	{"ID": "0123456789ab", "Image": "alpine", "Names": "web", "Labels": "com.example.tier=front", LabelKey("com.example.tier"): "front"},
	{"ID": "ba9876543210", "Image": "registry.example/a/very/long/name:tag", "Names": "evil\x1b[31m\u009b2J\n"},
}

func TestListPrint(t *testing.T) {
	cases := []struct {
		name, layout string
		quiet        bool
		rows         []Row
	}{
		{"default", "", false, rows},
		{"empty", "", false, nil},
		{"quiet", "", true, rows},
		{"json", "json", false, rows},
		{"raw", "raw", false, rows},
		{"template", `{{.ID}}\t{{upper .Names}} {{.Label "com.example.tier"}}`, false, rows[:1]},
		{"table-template", `table {{.Names}}\t{{upper .Image}}\t{{.Label "com.example.tier"}}`, false, rows},
		{"template-beats-quiet", `{{.Names}}`, true, rows[:1]},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := list.Print(&b, c.layout, c.quiet, c.rows); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, c.name, b.String())
		})
	}
}

func TestListPrint_RefusesBadTemplates(t *testing.T) {
	var b bytes.Buffer
	var said *failure.Error
	if err := list.Print(&b, "{{.Nope}}", false, rows); !errors.As(err, &said) || said.Code != 0 {
		t.Errorf("an unknown field gives %v", err)
	}
	if err := list.Print(&b, "{{.ID", false, rows); !errors.As(err, &said) || said.Code != 0 || !strings.HasPrefix(err.Error(), "template parsing error: ") {
		t.Errorf("a template that does not parse gives %v", err)
	}
}

func TestFunctions(t *testing.T) {
	doc := map[string]any{"A": []string{"x", "y"}, "N": 7, "S": "some words", "T": true}
	cases := []struct{ layout, want string }{
		{`{{json .A}}`, `["x","y"]`},
		{`{{join .A "-"}}`, "x-y"},
		{`{{index (split .S " ") 1}}`, "words"},
		{`{{title .S}}`, "Some Words"},
		{`{{pad .S 1 2}}|`, " some words  |"},
		{`{{truncate .S 4}}`, "some"},
		{`{{if eq .N 7}}seven{{end}}`, "seven"},
		{`{{.T}}`, "true"},
		{`{{range .A}}{{println .}}{{end}}`, "x\ny\n"},
		{`json`, `{"A":["x","y"],"N":7,"S":"some words","T":true}`},
	}
	for _, c := range cases {
		var b bytes.Buffer
		if err := Document(&b, c.layout, doc); err != nil || b.String() != c.want+"\n" {
			t.Errorf("%s: %q, %v; want %q", c.layout, b.String(), err, c.want)
		}
	}
	err := Document(&bytes.Buffer{}, "{{.Missing}}", doc)
	if want := `template parsing error: template: :1:2: executing "" at <.Missing>: map has no entry for key "Missing"`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestDuration(t *testing.T) {
	day := 24 * time.Hour
	cases := []struct {
		d    time.Duration
		want string
	}{
		{450 * time.Millisecond, "Less than a second"},
		{time.Second, "1 second"},
		{59 * time.Second, "59 seconds"},
		{60 * time.Second, "About a minute"},
		{59 * time.Minute, "59 minutes"},
		{time.Hour, "About an hour"},
		{47 * time.Hour, "47 hours"},
		{13 * day, "13 days"},
		{14 * day, "2 weeks"},
		{59 * day, "8 weeks"},
		{60 * day, "2 months"},
		{720 * day, "24 months"},
		{3 * 365 * day, "3 years"},
	}
	for _, c := range cases {
		if got := Duration(c.d); got != c.want {
			t.Errorf("Duration(%v) = %q, want %q", c.d, got, c.want)
		}
	}
}

func TestSizes(t *testing.T) {
	cases := []struct {
		n            int64
		size, binary string
	}{
		{0, "0B", "0B"}, {2, "2B", "2B"}, {72_900_000, "72.9MB", "69.52MiB"}, {1 << 30, "1.07GB", "1GiB"},
	}
	for _, c := range cases {
		if s, b := Size(c.n), BinarySize(c.n); s != c.size || b != c.binary {
			t.Errorf("%d: %s, %s; want %s, %s", c.n, s, b, c.size, c.binary)
		}
	}
}

func TestParseSize(t *testing.T) {
	cases := []struct {
		in   string
		want int64
		err  string
	}{
		{"0", 0, ""},
		{"32", 32, ""},
		{"32b", 32, ""},
		{"32k", 32 << 10, ""},
		{"32Kb", 32 << 10, ""},
		{"32KiB", 32 << 10, ""},
		{"1.5g", 3 << 29, ""},
		{"64 m", 64 << 20, ""},
		{"", 0, "invalid size: ''"},
		{"hello", 0, "invalid size: 'hello'"},
		{"-32", 0, "invalid size: '-32'"},
		{"32mm", 0, "invalid suffix: 'mm'"},
		{"32bb", 0, "invalid suffix: 'bb'"},
		{"1 2", 0, "invalid size: '1 2'"},
		{"99999999t", 0, "invalid size: '99999999t'"},
	}
	for _, c := range cases {
		got, err := ParseSize(c.in)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("ParseSize(%q) = %d, %v; want %d, %q", c.in, got, err, c.want, c.err)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	f.Add("1.5GiB")
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseSize(s); err == nil && n < 0 {
			t.Errorf("ParseSize(%q) = %d", s, n)
		}
	})
}

func TestEscape(t *testing.T) {
	if got, want := Escape("ok ü \x1b[0m\x7f\u0085\xff\t"), `ok ü \x1b[0m\x7f\x85`+"\ufffd"+`\t`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEscapeText_KeepsLinesAndCells(t *testing.T) {
	if got, want := EscapeText("a\tb\n\x1b\u009b\r"), "a\tb\n"+`\x1b\x9b\r`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// hostile is what an image may say of itself.
var hostile = map[string]string{"l": "\x1b[2J\x7f\u009b31m\u00a0é"}

func TestJSON_EscapesControlCharacters(t *testing.T) {
	outputs := map[string]func(*bytes.Buffer) error{
		"a document":            func(b *bytes.Buffer) error { return Indented(b, []any{hostile}) },
		"a document on a line":  func(b *bytes.Buffer) error { return Document(b, "json", hostile) },
		"part of a document":    func(b *bytes.Buffer) error { return Document(b, "{{json .l}}", hostile) },
		"rows":                  func(b *bytes.Buffer) error { return List{}.Print(b, "json", false, []Row{hostile}) },
		"a field of a row":      func(b *bytes.Buffer) error { return List{}.Print(b, "{{json .l}}", false, []Row{hostile}) },
		"a row within template": func(b *bytes.Buffer) error { return List{}.Print(b, "{{json .}}", false, []Row{hostile}) },
	}
	for name, print := range outputs {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := print(&b); err != nil {
				t.Fatal(err)
			}
			if want := `"\u001b[2J\u007f\u009b31m` + "\u00a0é\""; !strings.Contains(b.String(), want) {
				t.Errorf("got %q, want %q in it", b.String(), want)
			}
			if !json.Valid(b.Bytes()) {
				t.Errorf("not JSON: %q", b.String())
			}
		})
	}
}

func TestTemplate_PrintsNoControlCharacters(t *testing.T) {
	var b bytes.Buffer
	if err := Document(&b, `{{.l}}\t{{upper .l}}`, hostile); err != nil {
		t.Fatal(err)
	}
	one := `\x1b[2J\x7f\x9b31m` + "\u00a0é"
	if got, want := b.String(), one+"\t"+`\x1b[2J\x7f\x9b31M`+"\u00a0É\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTemplate_KeepsTheUsersColours(t *testing.T) {
	var b bytes.Buffer
	if err := (List{}).Print(&b, "\x1b[31m{{.l}}\x1b[0m", false, []Row{{"l": "\x1b[2J"}}); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "\x1b[31m"+`\x1b[2J`+"\x1b[0m\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzTemplate prints a row by any template: an error or text, without control
// characters of the data's.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{
		"{{.Name}}", `{{json .}}`, `{{pad .Name 1 2}}`, `{{range split .Name "a"}}{{.}}\t{{end}}`, `{{truncate .Name 3}}`,
		`{{.Label "x"}}`, `table {{.Name}}\t{{.ID}}`, `{{printf "%1000d" 1}}`, `{{if eq .Name "a"}}{{title .Name}}{{else}}{{.Gone}}{{end}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse(text)
		if err != nil {
			return
		}
		var b bytes.Buffer
		row := Row{"Name": "a\x1b[31mred", "ID": "1"}
		if Execute(&b, parsed, row) == nil && !strings.Contains(text, "\x1b") && strings.Contains(b.String(), "\x1b") {
			t.Errorf("%q prints %q", text, b.String())
		}
	})
}
