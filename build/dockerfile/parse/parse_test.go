package parse

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"skiff/build/dockerfile"
)

func TestParse(t *testing.T) {
	f, err := Parse([]byte(`# syntax=docker/dockerfile:1
ARG V=1
FROM a:$V AS One
RUN --mount=type=cache,target=/c --network=none echo hi \
    there
COPY --from=x --chown=1:2 --exclude=*.md a b /c/
ENV A=1 B="two words"
RUN <<EOF
line
EOF
`))
	if err != nil {
		t.Fatal(err)
	}
	if f.Syntax != "docker/dockerfile:1" || !reflect.DeepEqual(f.Args, []dockerfile.Pair{{Key: "V", Value: "1"}}) {
		t.Errorf("%+v", f)
	}
	s := f.Stages[0]
	if s.Name != "one" || s.Base != "a:$V" || s.Start != 3 {
		t.Errorf("stage %+v", s)
	}
	run := s.Commands[0]
	if run.Name != "run" || run.Start != 4 || run.End != 5 || !run.Shell || run.Network != "none" ||
		!reflect.DeepEqual(run.Mounts, []string{"type=cache,target=/c"}) || run.Args[0] != "echo hi     there" {
		t.Errorf("run %+v", run)
	}
	c := s.Commands[1]
	if c.From != "x" || c.Chown != "1:2" || !reflect.DeepEqual(c.Exclude, []string{"*.md"}) || c.Dest != "/c/" ||
		!reflect.DeepEqual(c.Args, []string{"a", "b"}) {
		t.Errorf("copy %+v", c)
	}
	if doc := s.Commands[3]; len(doc.Files) != 1 || doc.Files[0].Data != "line\n" || doc.Files[0].Name != "EOF" {
		t.Errorf("heredoc %+v", doc)
	}
}

func TestParse_SaysWhere(t *testing.T) {
	cases := []struct {
		name, text, want string
	}{
		{"an instruction that is none", "FROM a\nFROB x\n", "dockerfile parse error on line 2: unknown instruction: FROB (did you mean FROM?)"},
		{"a flag that is none", "FROM a\nRUN --x=1 y\n", "dockerfile parse error on line 2: unknown flag: --x"},
		{"no FROM", "RUN x\n", "dockerfile parse error on line 1: no build stage in current context"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.text))
			var e *dockerfile.Error
			if !errors.As(err, &e) || err.Error() != c.want && e.Text != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("FROM a\nRUN <<EOF\nx\nEOF\nCOPY --chmod=a+x a b\n"))
	f.Add([]byte("# escape=`\nFROM a\nENV a=${b:-${c:-d}}\nHEALTHCHECK --interval=1s CMD x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := Parse(text); err != nil && strings.Contains(err.Error(), "the parser gave up") {
			t.Error(err)
		}
	})
}
