package spec

import (
	"errors"
	"slices"
	"strings"
	"testing"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"skiff/storage/container"
)

func config() *container.Config {
	return &container.Config{
		Path: "/bin/sh", Args: []string{"-c", "true"},
		Config: container.Process{Hostname: "box", Env: []string{"A=1", "PATH=/bin"}},
		Host:   container.Host{ShmSize: 64 << 20},
	}
}

func build(t *testing.T, cfg *container.Config, f Facts) *rspec.Spec {
	t.Helper()
	s, err := Build(cfg, &f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBuild_HasDockersDefaults(t *testing.T) {
	s := build(t, config(), Facts{Rootless: true})
	if got, want := s.Process.Args, []string{"/bin/sh", "-c", "true"}; !slices.Equal(got, want) {
		t.Errorf("args: got %v, want %v", got, want)
	}
	if got, want := s.Process.Env, []string{"PATH=/bin", "HOSTNAME=box", "A=1"}; !slices.Equal(got, want) {
		t.Errorf("env: got %v, want %v", got, want)
	}
	if got := len(s.Process.Capabilities.Bounding); got != 14 {
		t.Errorf("got %d capabilities, docker has 14", got)
	}
	if len(s.Process.Capabilities.Inheritable)+len(s.Process.Capabilities.Ambient) != 0 {
		t.Error("inheritable or ambient capabilities are not empty")
	}
	if s.Process.Cwd != "/" || *s.Process.User.Umask != 0o022 || s.Process.NoNewPrivileges {
		t.Errorf("got cwd %q, umask %o, no new privileges %t", s.Process.Cwd, *s.Process.User.Umask, s.Process.NoNewPrivileges)
	}
	if !slices.Contains(s.Linux.MaskedPaths, "/proc/kcore") || !slices.Contains(s.Linux.ReadonlyPaths, "/proc/sys") {
		t.Error("paths are not protected")
	}
}

func TestCapabilities(t *testing.T) {
	for _, tc := range []struct {
		name      string
		add, drop []string
		has, not  string
		count     int
	}{
		{name: "default", has: "CAP_CHOWN", not: "CAP_SYS_ADMIN", count: 14},
		{name: "one more", add: []string{"sys_admin"}, has: "CAP_SYS_ADMIN", count: 15},
		{name: "one less", drop: []string{"CAP_CHOWN"}, not: "CAP_CHOWN", count: 13},
		{name: "none but one", drop: []string{"ALL"}, add: []string{"NET_RAW"}, has: "CAP_NET_RAW", count: 1},
		{name: "all but one", add: []string{"all"}, drop: []string{"sys_admin"}, has: "CAP_BPF", not: "CAP_SYS_ADMIN", count: 40},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Capabilities(&container.Host{CapAdd: tc.add, CapDrop: tc.drop})
			if err != nil || len(got) != tc.count {
				t.Fatalf("got %d (%v), want %d", len(got), err, tc.count)
			}
			if tc.has != "" && !slices.Contains(got, tc.has) || slices.Contains(got, tc.not) {
				t.Errorf("got %v", got)
			}
		})
	}
	if _, err := Capabilities(&container.Host{CapAdd: []string{"FLY"}}); err == nil {
		t.Error("an unknown capability is accepted")
	}
}

func TestBuild_UsersMountsReplaceOurs(t *testing.T) {
	cfg := config()
	cfg.Mounts = []container.Mount{
		{Type: "bind", Source: "/h/deep", Destination: "/a/b", RW: true},
		{Type: "volume", Source: "/v", Destination: "/a"},
		{Type: "bind", Source: "/h/shm", Destination: "/dev/shm", RW: true},
	}
	cfg.Host.Tmpfs = map[string]string{"/run": "size=1m"}
	s := build(t, cfg, Facts{})
	var order []string
	for _, m := range s.Mounts {
		if m.Destination == "/dev/shm" && m.Type != "bind" {
			t.Error("our own /dev/shm is still there")
		}
		if m.Destination == "/a" && !slices.Contains(m.Options, "ro") {
			t.Error("a read-only volume may be written")
		}
		if strings.HasPrefix(m.Destination, "/a") {
			order = append(order, m.Destination)
		}
	}
	if !slices.Equal(order, []string{"/a", "/a/b"}) {
		t.Errorf("got order %v: what is below must come later", order)
	}
}

func TestBuild_OneIDHasNoTerminalGroup(t *testing.T) {
	for _, one := range []bool{true, false} {
		for _, m := range build(t, config(), Facts{OneID: one}).Mounts {
			if m.Type == "devpts" && slices.Contains(m.Options, "gid=5") == one {
				t.Errorf("one id %t: got %v", one, m.Options)
			}
		}
	}
}

func TestCloneFlags_AgreesWithBuild(t *testing.T) {
	const all = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
	for _, tc := range []struct {
		name string
		host container.Host
		want uintptr
		ok   bool
	}{
		{"default", container.Host{}, all, true},
		{"the host's network", container.Host{NetworkMode: "host"}, all &^ unix.CLONE_NEWNET, true},
		{"the host's processes", container.Host{PidMode: "host"}, all &^ unix.CLONE_NEWPID, true},
		{"another's network", container.Host{NetworkMode: "container:x"}, 0, false},
		{"a user namespace of its own", container.Host{UsernsMode: "keep-id"}, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := CloneFlags(&tc.host)
			if got != tc.want || ok != tc.ok {
				t.Errorf("got %x, %t, want %x, %t", got, ok, tc.want, tc.ok)
			}
		})
	}
}

func TestBuild_JoinsAnother(t *testing.T) {
	cfg := config()
	cfg.Host.NetworkMode = "container:abc"
	s := build(t, cfg, Facts{Namespaces: func(id string) (string, error) { return "/proc/7/ns", nil }})
	paths := map[rspec.LinuxNamespaceType]string{}
	for _, ns := range s.Linux.Namespaces {
		paths[ns.Type] = ns.Path
	}
	if paths[rspec.NetworkNamespace] != "/proc/7/ns/net" || paths[rspec.UTSNamespace] != "/proc/7/ns/uts" || paths[rspec.PIDNamespace] != "" {
		t.Errorf("got %v", paths)
	}
	gone := errors.New("gone")
	if _, err := Build(cfg, &Facts{Namespaces: func(string) (string, error) { return "", gone }}); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

func TestProtected_MasksAndUnmasks(t *testing.T) {
	masked, readonly := Protected(&container.Host{})
	if len(masked) < 10 || len(readonly) < 5 {
		t.Fatalf("by default: %v %v", masked, readonly)
	}
	for _, c := range []struct {
		options              []string
		hidden, shown        string
		masked, readonlyLeft int
	}{
		{[]string{"mask=/a:/b"}, "/b", "", len(masked) + 2, len(readonly)},
		{[]string{"unmask=/proc/kcore:/proc/sys"}, "/proc/keys", "/proc/kcore", len(masked) - 1, len(readonly) - 1},
		{[]string{"unmask=/proc/*"}, "/sys/firmware", "/proc/keys", 3, 0},
		{[]string{"unmask=ALL", "mask=/a"}, "/a", "/proc/keys", 1, 0},
		{[]string{"systempaths=unconfined", "mask=/a"}, "/a", "/proc/keys", 1, 0},
	} {
		m, r := Protected(&container.Host{SecurityOpt: c.options})
		if len(m) != c.masked || len(r) != c.readonlyLeft || !slices.Contains(m, c.hidden) || slices.Contains(m, c.shown) {
			t.Errorf("%v: %v %v", c.options, m, r)
		}
	}
}

func TestUserMount_SaysWhatIsReadOnly(t *testing.T) {
	for _, c := range []struct {
		name string
		m    container.Mount
		want []string
	}{
		{"writable", container.Mount{Type: "bind", RW: true}, []string{"rbind"}},
		{"read-only with all below", container.Mount{Type: "bind"}, []string{"rbind", "ro", "rro"}},
		{"what is below stays", container.Mount{Type: "bind", WritableBelow: true}, []string{"rbind", "ro"}},
		{"nothing below", container.Mount{Type: "bind", NonRecursive: true}, []string{"bind", "ro"}},
		{"an image", container.Mount{Type: "image"}, []string{"ro"}},
		{"a layer above", container.Mount{Type: "bind", RW: true, Overlay: true}, nil},
	} {
		if got := userMount(&c.m).Options; !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestBuild_ControlGroupsAreWritableIfAsked(t *testing.T) {
	for option, writable := range map[string]bool{"": false, "writable-cgroups=false": false, "writable-cgroups=true": true, "writable-cgroups=1": true} {
		cfg := &container.Config{Path: "true"}
		if option != "" {
			cfg.Host.SecurityOpt = []string{option}
		}
		s, err := Build(cfg, &Facts{UnifiedCgroup: true})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(s.Mounts, func(m rspec.Mount) bool { return m.Destination == "/sys/fs/cgroup" })
		if i < 0 || slices.Contains(s.Mounts[i].Options, "ro") == writable {
			t.Errorf("%q: %v", option, s.Mounts)
		}
	}
}
