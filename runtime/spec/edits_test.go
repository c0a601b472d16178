package spec

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	cdi "tags.cncf.io/container-device-interface/specs-go"

	"skiff/storage/container"
)

func at(s *rspec.Spec, dest string) (found []rspec.Mount) {
	for _, m := range s.Mounts {
		if m.Destination == dest {
			found = append(found, m)
		}
	}
	return found
}

func TestBuild_MakesTheEditsOfDevices(t *testing.T) {
	cfg := config()
	cfg.Host.Devices = []container.Device{{PathOnHost: "/dev/zero", PathInContainer: "/dev/gpu0", CgroupPermissions: "rwm"}}
	cfg.Mounts = []container.Mount{{Type: "bind", Source: "/users", Destination: "/usr/lib/a/b", RW: true}, {Type: "bind", Source: "/x", Destination: "/deep/er/mount", RW: true}}
	five := 5
	edits := &cdi.ContainerEdits{
		Env:         []string{"A=2", "NEW=x=y", "A=3"},
		DeviceNodes: []*cdi.DeviceNode{{Path: "/dev/gpu0", HostPath: "/dev/null"}, {Path: "/dev/full"}},
		Mounts: []*cdi.Mount{
			{HostPath: "/lib/b", ContainerPath: "/usr/lib/a/b/", Options: []string{"ro", "bind"}},
			{HostPath: "tmpfs", ContainerPath: "/dev/shm", Type: "tmpfs"},
		},
		Hooks: []*cdi.Hook{
			{HookName: "createContainer", Path: "/one", Args: []string{"one", "a"}, Env: []string{"E=1"}, Timeout: &five},
			{HookName: "prestart", Path: "/pre"},
			{HookName: "createContainer", Path: "/two"},
			{HookName: "createRuntime", Path: "/rt"},
			{HookName: "startContainer", Path: "/start"},
			{HookName: "poststart", Path: "/post"},
			{HookName: "poststop", Path: "/stop"},
		},
		AdditionalGIDs: []uint32{44, 0, 109},
	}
	s := build(t, cfg, Facts{Rootless: true, Edits: edits})
	if got, want := s.Process.Env, []string{"PATH=/bin", "HOSTNAME=box", "NEW=x=y", "A=3"}; !slices.Equal(got, want) {
		t.Errorf("env: got %v, want %v", got, want)
	}
	if got, want := s.Process.User.AdditionalGids, []uint32{44, 109}; !slices.Equal(got, want) {
		t.Errorf("groups: got %v, want %v", got, want)
	}
	for dest, source := range map[string]string{"/dev/gpu0": "/dev/null", "/dev/full": "/dev/full", "/usr/lib/a/b": "/lib/b", "/dev/shm": "tmpfs"} {
		if found := at(s, dest); len(found) != 1 || found[0].Source != source {
			t.Errorf("%s: %v", dest, found)
		}
	}
	if len(s.Linux.Devices) != 0 {
		t.Errorf("an ordinary user has nodes made: %v", s.Linux.Devices)
	}
	h := s.Hooks
	if h == nil || len(h.CreateContainer) != 2 || h.CreateContainer[0].Path != "/one" || *h.CreateContainer[0].Timeout != 5 ||
		strings.Join(h.CreateContainer[0].Args, " ") != "one a" || h.CreateContainer[0].Env[0] != "E=1" || h.CreateContainer[1].Path != "/two" ||
		//lint:ignore SA1019 specifications may still have them
		h.Prestart[0].Path != "/pre" || h.CreateRuntime[0].Path != "/rt" || h.StartContainer[0].Path != "/start" ||
		h.Poststart[0].Path != "/post" || h.Poststop[0].Path != "/stop" {
		t.Errorf("hooks: %+v", h)
	}
	if s := build(t, config(), Facts{Rootless: true}); s.Hooks != nil {
		t.Errorf("hooks of no device: %+v", s.Hooks)
	}
}

func TestBuild_MakesNodesOfDevices(t *testing.T) {
	seven, mode := uint32(7), os.FileMode(0o640)
	edits := &cdi.ContainerEdits{DeviceNodes: []*cdi.DeviceNode{
		{Path: "/dev/a", HostPath: "/dev/null"},
		{Path: "/dev/b", HostPath: "/dev/null", Type: "c", FileMode: &mode, UID: &seven, GID: &seven},
		{Path: "/dev/a", HostPath: "/dev/zero"},
		{Path: "/dev/nowhere", Type: "b", Major: 7, Minor: 3, FileMode: &mode},
	}}
	s := build(t, config(), Facts{Edits: edits})
	if len(s.Linux.Devices) != 3 {
		t.Fatalf("devices: %+v", s.Linux.Devices)
	}
	b, a, n := s.Linux.Devices[0], s.Linux.Devices[1], s.Linux.Devices[2]
	if b.Path != "/dev/b" || b.Type != "c" || b.Major != 1 || b.Minor != 3 || *b.FileMode != mode || *b.UID != 7 || *b.GID != 7 {
		t.Errorf("%+v", b)
	}
	if a.Path != "/dev/a" || a.Major != 1 || a.Minor != 5 || a.FileMode == nil {
		t.Errorf("%+v", a)
	}
	if n.Path != "/dev/nowhere" || n.Type != "b" || n.Major != 7 || n.Minor != 3 {
		t.Errorf("%+v", n)
	}
}

func TestBuild_RefusesDevicesThatAreNotThere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		node cdi.DeviceNode
		says string
	}{
		{cdi.DeviceNode{Path: "/dev/nosuch"}, `failed to stat CDI host device "/dev/nosuch": no such file or directory`},
		{cdi.DeviceNode{Path: "/dev/x", HostPath: file}, "not a device node"},
		{cdi.DeviceNode{Path: "/dev/x", HostPath: "/dev/null", Type: "b"}, `CDI device ("/dev/x", "/dev/null"), host type mismatch (b, c)`},
	} {
		_, err := Build(config(), &Facts{Rootless: true, Edits: &cdi.ContainerEdits{DeviceNodes: []*cdi.DeviceNode{&tt.node}}})
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v", tt.node, err)
		}
	}
}

func TestIneffective(t *testing.T) {
	zero, seven, mode, own := uint32(0), uint32(7), os.FileMode(0o600), os.FileMode(0)
	st, err := os.Stat("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	own = st.Mode().Perm()
	edits := &cdi.ContainerEdits{DeviceNodes: []*cdi.DeviceNode{
		{Path: "/dev/null", Permissions: "rw", FileMode: &own, UID: &zero, GID: &zero},
		{Path: "/dev/x", HostPath: "/dev/null", Permissions: "r", FileMode: &mode, UID: &seven, GID: &seven},
	}}
	want := []string{
		`CDI device node /dev/x: its permission "r" has no effect.`, "CDI device node /dev/x: its fileMode 0600 has no effect.",
		"CDI device node /dev/x: its uid 7 has no effect.", "CDI device node /dev/x: its gid 7 has no effect.",
	}
	if got := Ineffective(edits, true); !slices.Equal(got, want) {
		t.Errorf("of an ordinary user: %q", got)
	}
	if got := Ineffective(edits, false); !slices.Equal(got, want[:1]) {
		t.Errorf("of root: %q", got)
	}
	if got := Ineffective(nil, true); got != nil {
		t.Errorf("of nothing: %q", got)
	}
}
