package configuration

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDeviceDirs(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
		none, bad        bool
	}{
		{name: "two", text: `{"cdi-spec-dirs":["/a","/b"],"registry-mirrors":["bad"]}`, want: "/a /b"},
		{name: "none at all", text: `{"cdi-spec-dirs":[]}`},
		{name: "nothing said", text: `{}`, none: true},
		{name: "an empty file", text: " \n", none: true},
		{name: "no list", text: `{"cdi-spec-dirs":"/a"}`, bad: true},
		{name: "no JSON", text: `{`, bad: true},
	} {
		home := t.TempDir()
		if err := os.MkdirAll(filepath.Join(home, ".config/docker"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, ".config/docker/daemon.json"), []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		dirs, err := DeviceDirs(func(name string) string { return map[string]string{"HOME": home}[name] })
		var place *FileError
		if errors.As(err, &place) != tt.bad || !tt.bad && err != nil || strings.Join(dirs, " ") != tt.want {
			t.Errorf("%s: %q, %v", tt.name, dirs, err)
		}
		if _, machine := os.Stat(machineFile); machine != nil && !tt.bad && (dirs == nil) != tt.none {
			t.Errorf("%s: %v", tt.name, dirs)
		}
	}
}
