package build

import (
	"strings"
	"testing"

	"skiff/build/dockerfile"
)

func TestParseMode(t *testing.T) {
	cases := []struct {
		text      string
		mode      uint32
		dir       bool
		want      uint32
		forbidden bool
	}{
		{text: "755", mode: 0o600, want: 0o755},
		{text: "4711", mode: 0o600, want: 0o4711},
		{text: "+x", mode: 0o644, want: 0o755},
		{text: "u=rwX,go=rX", mode: 0o600, want: 0o644},
		{text: "u=rwX,go=rX", mode: 0o600, dir: true, want: 0o755},
		{text: "a-w", mode: 0o666, want: 0o444},
		{text: "u+s", mode: 0o755, want: 0o4755},
		{text: "go=u", mode: 0o750, want: 0o777},
		{text: "g+w-x", mode: 0o755, want: 0o765},
		{text: "999", forbidden: true},
		{text: "17777", forbidden: true},
		{text: "u+q", forbidden: true},
		{text: "rw", forbidden: true},
	}
	for _, c := range cases {
		m, err := parseMode(c.text)
		if c.forbidden {
			if err == nil {
				t.Errorf("%s is accepted", c.text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := m.apply(c.mode, c.dir); got != c.want {
			t.Errorf("%s of %o: %o, want %o", c.text, c.mode, got, c.want)
		}
	}
}

func TestParseMount(t *testing.T) {
	plain := func(s string) (string, error) { return s, nil }
	for _, bad := range []string{
		"type=nope,target=/x", "type=cache", "type=bind,target=/", "type=bind,target=/..", "type=cache,target=/x,sharing=some",
		"type=bind,target=/x,mode=0600", "type=tmpfs,target=/x,size=z", "type=secret", "type=secret,id=a,source=b",
		"type=bind,target=/x,bind-propagation=shared", "target", "type=bind,from=$X,target=/x",
	} {
		if _, err := parseMount(bad, plain); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
	m, err := parseMount("type=secret,id=key,env=KEY,uid=1,mode=0440,required", plain)
	if err != nil || m.id != "key" || *m.env != "KEY" || *m.uid != 1 || *m.mode != 0o440 || !m.required || m.target != "" {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err = parseMount("source=/a,target=/b,rw", plain); err != nil || m.kind != "bind" || m.readOnly {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err = parseMount("type=cache,target=/b,ro=true", plain); err != nil || !m.readOnly {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestPortRange(t *testing.T) {
	for text, want := range map[string]string{
		"80": "80/tcp", "53/UDP": "53/udp", "1-3": "1/tcp 2/tcp 3/tcp", "8080:80": "80/tcp", "x": "", "3-1": "", "80/x": "",
	} {
		got, err := portRange(text)
		if strings.Join(got, " ") != want || (err != nil) != (want == "") {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestExcerpt(t *testing.T) {
	f := &Failure{File: "Dockerfile", Source: []byte("1\n2\n3\n4\n5\n6\n7\n8"), Start: 4, End: 5}
	want := "Dockerfile:4\n--------------------\n   2 |     2\n   3 |     3\n   4 | >>> 4\n   5 | >>> 5\n   6 |     6\n--------------------\n"
	if got := f.Excerpt(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if got := (&Failure{Source: []byte("x"), Start: 7}).Excerpt(); got != "" {
		t.Errorf("a line that is not there: %q", got)
	}
}

func TestKeyOf_TellsListsApart(t *testing.T) {
	if keyOf("a", "b") == keyOf("ab") || keyOf([]string{"a", "b"}) == keyOf([]string{"a"}, "b") {
		t.Error("keys do not follow from the parts")
	}
}

func TestCommandLine(t *testing.T) {
	c := &command{Command: dockerfile.Command{Args: []string{"<<-EOF"}, Shell: true, Files: []dockerfile.Heredoc{{Name: "EOF", Data: "\tone\n", Chomp: true}}}}
	if args, script := c.commandLine(); args[0] != "one\n" || script != nil {
		t.Errorf("%q %q", args, script)
	}
	c.Files[0].Data = "#!/bin/x\n"
	if args, script := c.commandLine(); args[0] != "/dev/pipes/EOF" || string(script) != "#!/bin/x\n" {
		t.Errorf("%q %q", args, script)
	}
	c.Args = []string{"cat <<EOF"}
	c.Files[0].Data = "x\n"
	if args, _ := c.commandLine(); args[0] != "cat <<EOF\nx\nEOF" {
		t.Errorf("%q", args)
	}
}
