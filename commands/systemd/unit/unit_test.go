package unit

import (
	"reflect"
	"strings"
	"testing"
)

func TestAdd_ReadsSystemdsSyntax(t *testing.T) {
	var f File
	text := "# c\n[A]\nk=v\n k2 =  a \\\n# between\n; and this\n   b\\\n c \r\nlist=1\nlist=\nlist=2\n[B]\nk=\n[A]\nk=last\n"
	if err := f.Add("x", []byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := f.Add("y", []byte("[A]\nmore=x=y")); err != nil {
		t.Fatal(err)
	}
	a := f.Section("A")
	for key, want := range map[string]string{"k": "last", "k2": "a     b  c", "list": "2", "more": "x=y", "none": ""} {
		if got := a.Last(key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	if n := len(a.All("list")); n != 1 {
		t.Errorf("an empty assignment takes back those before it; there are %d", n)
	}
	if e := a.All("more")[0]; e.Position.String() != "y:2" || a.All("k2")[0].Line != 4 {
		t.Errorf("at %v, %v", e, a.All("k2")[0])
	}
	if len(f.Sections) != 2 || f.Section("C").Last("x") != "" {
		t.Error("sections")
	}
}

func TestAdd_NamesFileAndLine(t *testing.T) {
	for text, want := range map[string]string{
		"k=v":                   "x:1: key k stands before any section",
		"[A]\nnonsense":         `x:2: missing '=' in "nonsense"`,
		"[A\n":                  `x:1: invalid section header "[A"`,
		"[]\n":                  `x:1: invalid section header "[]"`,
		"[A]\n\n=v":             `x:3: invalid key ""`,
		"[A]\na b=v":            `x:2: invalid key "a b"`,
		"[A]\nk=\x00":           "x:2: a zero byte is no text",
		"[A]\nk=a\\\n# only\n#": "x:2: the last line goes on after the end of the file",
	} {
		var f File
		if err := f.Add("x", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	var f File
	if err := f.Add("x", []byte(strings.Repeat("#", MaxSize+1))); err == nil {
		t.Error("a huge file is read")
	}
}

func TestSplit(t *testing.T) {
	for value, want := range map[string][]string{
		``:                                {},
		` a  b `:                          {"a", "b"},
		`"a b" 'c "d"' e"f g"h ""`:        {"a b", `c "d"`, "ef gh", ""},
		`a\x20b \101 \u00e9 \n \s \" \q;`: {"a b", "A", "é", "\n", " ", `"`, `\q;`},
		`; | $(x) && \;`:                  {";", "|", "$(x)", "&&", ";"},
	} {
		got, err := Split(value)
		if err != nil || len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, %v; want %q", value, got, err, want)
		}
	}
	for _, bad := range []string{`"a`, `a\`, `\x`, `\xzz`, `\x00`, `\Uffffffff`, `\777`} {
		if got, err := Split(bad); err == nil {
			t.Errorf("%s: %q", bad, got)
		}
	}
}

func FuzzUnit(f *testing.F) {
	f.Add("[A]\nk=v \\\n\"x y\" \\x20\n")
	f.Add("[A]\n;\n[B]\nq='a\\''")
	f.Fuzz(func(t *testing.T, text string) {
		var file File
		if file.Add("x", []byte(text)) != nil {
			return
		}
		for _, s := range file.Sections {
			for _, e := range s.Entries {
				words, err := Split(e.Value)
				if err != nil {
					continue
				}
				// What Quote writes is one line, and Split reads the same words.
				line := QuoteAll(words)
				again, err := Split(line)
				if err != nil || strings.ContainsAny(line, "\n\x00") || len(words) != len(again) || len(words) > 0 && !reflect.DeepEqual(words, again) {
					t.Fatalf("%q -> %q -> %q, %v", words, line, again, err)
				}
			}
		}
	})
}
