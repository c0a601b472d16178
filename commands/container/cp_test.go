package container

import (
	"testing"
)

func TestParseCopy(t *testing.T) {
	e, _, _ := testEnv(t)
	cases := []struct {
		from, to string
		want     copyOptions
		err      string
	}{
		{"web:/a", ".", copyOptions{From: "web", FromPath: "/a", ToPath: "."}, ""},
		{"./a:b", "web:c", copyOptions{FromPath: "./a:b", To: "web", ToPath: "c"}, ""},
		{"/a:b", "web:/", copyOptions{FromPath: "/a:b", To: "web", ToPath: "/"}, ""},
		{"-", "web:/a", copyOptions{FromPath: "-", To: "web", ToPath: "/a"}, ""},
		{"web:/a", "-", copyOptions{From: "web", FromPath: "/a", ToPath: "-"}, ""},
		{"a:/x", "b:/y", copyOptions{}, "copying between containers is not supported"},
		{"a", "b", copyOptions{}, "must specify at least one container source"},
		{"", "b:/", copyOptions{}, "source can not be empty"},
		{"a:/", "", copyOptions{}, "destination can not be empty"},
	}
	for _, c := range cases {
		got, err := parse(t, CopyCommand(e), parseCopy, "--", c.from, c.to)
		if c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("%q %q: %v, want %s", c.from, c.to, err, c.err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%q %q: %+v, %v", c.from, c.to, got, err)
		}
	}
}
