package container

import "testing"

func TestCommandText(t *testing.T) {
	cases := []struct {
		name string
		path string
		args []string
		want string
	}{
		{"a path alone", "sh", nil, "sh"},
		{"plain words stay plain", "sh", []string{"-c", "true"}, "sh -c true"},
		{"an argument with a space is quoted", "sh", []string{"-c", "exit 2"}, "sh -c 'exit 2'"},
		{"quotes within are left alone", "sh", []string{"it's a"}, "sh 'it's a'"},
		{"the path is never quoted", "/my shell", []string{""}, "/my shell "},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := commandText(c.path, c.args); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
