package bundle

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
)

func TestTranslate(t *testing.T) {
	own := []rspec.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 65536}}
	for _, c := range []struct {
		name       string
		list, want []rspec.LinuxIDMapping
		identical  bool
		refused    bool
	}{
		{"maps root to the caller", []rspec.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1}}, []rspec.LinuxIDMapping{{ContainerID: 0, HostID: 0, Size: 1}}, false, false},
		{"finds that it is what we have", own, []rspec.LinuxIDMapping{{ContainerID: 0, HostID: 0, Size: 1}, {ContainerID: 1, HostID: 1, Size: 65536}}, true, false},
		{"keeps an id as it is outside", []rspec.LinuxIDMapping{{ContainerID: 1000, HostID: 1000, Size: 1}}, []rspec.LinuxIDMapping{{ContainerID: 1000, HostID: 0, Size: 1}}, false, false},
		{"refuses the ids of others", []rspec.LinuxIDMapping{{ContainerID: 0, HostID: 1001, Size: 1}}, nil, false, true},
		{"refuses a range that ends outside", []rspec.LinuxIDMapping{{ContainerID: 0, HostID: 165000, Size: 65536}}, nil, false, true},
		{"refuses no mapping", nil, nil, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := translate(c.list, own)
			if c.refused != (err != nil) || !reflect.DeepEqual(got, c.want) {
				t.Fatalf("got %v, %v, want %v", got, err, c.want)
			}
			if err == nil && identical(got, own) != c.identical {
				t.Errorf("identical: got %v", !c.identical)
			}
		})
	}
}

func TestCheckID(t *testing.T) {
	for id, good := range map[string]bool{
		"web": true, "A_b-c+1.2": true, "": false, ".": false, "..": false, ".hidden": false, "a/b": false, "a b": false,
		"a\x00": false, strings.Repeat("a", 256): false,
	} {
		if err := checkID(id); (err == nil) != good {
			t.Errorf("%q: got %v", id, err)
		}
	}
}

func TestLoad(t *testing.T) {
	for _, c := range []struct{ name, config, complaint string }{
		{"ignores unknown properties", `{"ociVersion":"1.0.2","future":1,"root":{"path":"rootfs"},"process":{"cwd":"/","args":["x"]}}`, ""},
		{"names what is no JSON", `{`, "config.json"},
		{"refuses another major version", `{"ociVersion":"2.0","root":{"path":"rootfs"},"process":{"cwd":"/","args":["x"]}}`, "ociVersion"},
		{"refuses no version", `{"root":{"path":"rootfs"},"process":{"cwd":"/","args":["x"]}}`, "ociVersion"},
		{"refuses no root", `{"ociVersion":"1.0.2","process":{"cwd":"/","args":["x"]}}`, "root"},
		{"refuses a root that is not there", `{"ociVersion":"1.0.2","root":{"path":"no"},"process":{"cwd":"/","args":["x"]}}`, "root"},
		{"refuses no process", `{"ociVersion":"1.0.2","root":{"path":"rootfs"}}`, "process"},
		{"refuses a relative working directory", `{"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":{"cwd":"x","args":["x"]}}`, "cwd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(os.Mkdir(filepath.Join(dir, "rootfs"), 0o755),
				os.WriteFile(filepath.Join(dir, configFile), []byte(c.config), 0o644)); err != nil {
				t.Fatal(err)
			}
			b, err := Load(dir)
			switch {
			case c.complaint == "" && (err != nil || b.Root != filepath.Join(dir, "rootfs")):
				t.Errorf("got %v, %v", b, err)
			case c.complaint != "" && (err == nil || !strings.Contains(err.Error(), c.complaint)):
				t.Errorf("got %v, want a word about %s", err, c.complaint)
			}
		})
	}
}

// A creator that was killed leaves a container that is stopped and can be
// deleted; while it lives, the container is being created.
func TestClaim(t *testing.T) {
	root := StateRoot(filepath.Join(t.TempDir(), "state"))
	b := &Bundle{Dir: "/b", Root: "/b/rootfs", Spec: Template()}
	c, held, err := claim(root, "web", b)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := claim(root, "web", b); !errors.Is(err, ErrExists) {
		t.Errorf("claim again: got %v", err)
	}
	expect := func(want rspec.ContainerState) {
		t.Helper()
		c, err := root.Open("web")
		if err != nil {
			t.Fatal(err)
		}
		if s, err := c.State(); err != nil || s.Status != want {
			t.Errorf("got %v, %v, want %s", s.Status, err, want)
		}
	}
	expect(rspec.StateCreating)
	held.Release()
	expect(rspec.StateStopped)
	if _, err := c.Delete(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Open("web"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after delete: got %v", err)
	}
	if _, err := os.Stat(string(root)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the empty state root is still there: %v", err)
	}
}

func TestRootless_NeedsNoOtherID(t *testing.T) {
	s := Template()
	Rootless(s, 1000, 1001)
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "gid=5") || s.Linux.UIDMappings[0].HostID != 1000 || s.Linux.GIDMappings[0].HostID != 1001 {
		t.Errorf("got %s", data)
	}
	if !strings.Contains(string(data), "ptmxmode") {
		t.Error("the other options of devpts are gone")
	}
}
