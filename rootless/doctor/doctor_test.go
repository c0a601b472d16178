package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// machine is one on which all is well, below a directory of the test's.
func machine(t *testing.T) *Machine {
	t.Helper()
	m := &Machine{
		FS: t.TempDir(), UID: os.Getuid() + 1000, User: "ana", Program: "/usr/bin/skiff",
		LookPath: func(name string) string { return "/usr/bin/" + name },
		Now:      time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	m.Store = filepath.Join(m.FS, "home/ana/.local/share/skiff")
	m.put(t, "/etc/subuid", "ana:100000:65536\nbob:165536:65536\n")
	m.put(t, "/etc/subgid", "ana:100000:65536\n")
	m.put(t, "/etc/resolv.conf", "search lan\nnameserver 192.0.2.1\n")
	m.put(t, "/dev/net/tun", "")
	m.put(t, "/dev/fuse", "")
	m.put(t, "/proc/sys/net/ipv4/ip_unprivileged_port_start", "80\n")
	return m
}

func (m *Machine) put(t *testing.T, path, text string) {
	t.Helper()
	full := m.path(path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestExamine_FindsWhatIsAmiss(t *testing.T) {
	broken := errors.New("refused")
	tests := []struct {
		name  string
		spoil func(t *testing.T, m *Machine)
		check string
		state State
		cure  string // part of it
		root  bool
	}{
		{"no subordinate ids", func(t *testing.T, m *Machine) { m.put(t, "/etc/subuid", "bob:100000:65536\n") }, "subordinate user ids", Warning, "usermod --add-subuids 165536-231071 ana", true},
		{"no file of them", func(t *testing.T, m *Machine) { os.Remove(m.path("/etc/subgid")) }, "subordinate group ids", Warning, "usermod --add-subgids 100000-165535 ana", true},
		{"few", func(t *testing.T, m *Machine) { m.put(t, "/etc/subuid", "ana:100000:1000\n") }, "subordinate user ids", Warning, "usermod", true},
		{"enough in two lines, one by number", func(t *testing.T, m *Machine) {
			m.UID = 4321
			m.put(t, "/etc/subuid", "ana:100000:65000\n4321:200000:65000\n")
		}, "subordinate user ids", OK, "", false},
		{"overlapping ones", func(t *testing.T, m *Machine) { m.put(t, "/etc/subuid", "ana:100000:65536\nbob:165535:10\n") }, "subordinate user ids", Failure, "", false},
		{"nonsense in the file", func(t *testing.T, m *Machine) { m.put(t, "/etc/subuid", "ana:x:65536\nana\n::\nana:1:-5\n") }, "subordinate user ids", Warning, "usermod", true},
		{"no user namespace", func(t *testing.T, m *Machine) { m.Namespace = broken }, "user namespaces", Failure, "", false},
		{"forbidden by sysctl", func(t *testing.T, m *Machine) {
			m.Namespace = broken
			m.put(t, "/proc/sys/kernel/unprivileged_userns_clone", "0\n")
		}, "user namespaces", Failure, "sysctl -w kernel.unprivileged_userns_clone=1", true},
		{"restricted by AppArmor", func(t *testing.T, m *Machine) {
			m.Namespace = broken
			m.put(t, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n")
		}, "AppArmor", Failure, "profile skiff /usr/bin/skiff flags=(unconfined)", true},
		{"restricted, but not for us", func(t *testing.T, m *Machine) {
			m.put(t, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n")
		}, "AppArmor", OK, "", false},
		{"no newuidmap", func(_ *testing.T, m *Machine) { m.LookPath = func(string) string { return "" } }, "newuidmap", Warning, "apt-get install -y uidmap", true},
		{"newuidmap without privilege", func(t *testing.T, m *Machine) {
			m.put(t, "/newuidmap", "")
			m.Namespace = broken
			m.LookPath = func(string) string { return m.path("/newuidmap") }
		}, "newuidmap", Failure, "chmod u+s", true},
		{"no overlay, but fuse-overlayfs", func(_ *testing.T, m *Machine) { m.Overlay = broken }, "overlay", Warning, "", false},
		{"no overlay at all", func(_ *testing.T, m *Machine) { m.Overlay = broken; m.LookPath = func(string) string { return "" } }, "overlay", Failure, "install -y fuse-overlayfs", true},
		{"no FUSE where it is needed", func(_ *testing.T, m *Machine) { m.Overlay = broken; os.Remove(m.path("/dev/fuse")) }, "FUSE", Failure, "modprobe fuse", true},
		{"a runtime directory that is gone", func(_ *testing.T, m *Machine) { m.RuntimeDir = m.path("/run/user/1") }, "runtime directory", Warning, "unset XDG_RUNTIME_DIR", false},
		{"no linger", func(t *testing.T, m *Machine) { m.put(t, "/run/systemd/system/x", "") }, "lingering", Warning, "loginctl enable-linger ana", false},
		{"linger", func(t *testing.T, m *Machine) {
			m.put(t, "/run/systemd/system/x", "")
			m.put(t, "/var/lib/systemd/linger/ana", "")
		}, "lingering", OK, "", false},
		{"low ports", func(t *testing.T, m *Machine) {
			m.put(t, "/proc/sys/net/ipv4/ip_unprivileged_port_start", "1024\n")
		}, "ports", Warning, "net.ipv4.ip_unprivileged_port_start=80", true},
		{"no tun", func(_ *testing.T, m *Machine) { os.Remove(m.path("/dev/net/tun")) }, "network", Warning, "modprobe tun", true},
		{"no pasta", func(_ *testing.T, m *Machine) { m.LookPath = func(string) string { return "" } }, "network", Warning, "passt", true},
		{"no resolver", func(t *testing.T, m *Machine) { m.put(t, "/etc/resolv.conf", "search lan\n") }, "resolver", Warning, "", false},
		{"a clock of 1970", func(_ *testing.T, m *Machine) { m.Now = time.Unix(1, 0) }, "clock", Failure, "timedatectl", true},
		{"a store where nobody can write", func(_ *testing.T, m *Machine) { m.Store = m.path("/etc/subuid/store") }, "store", Failure, "XDG_DATA_HOME", false},
		{"cgroup v1", func(*testing.T, *Machine) {}, "cgroup", Warning, "systemd.unified_cgroup_hierarchy", true},
		{"foreign binaries", func(t *testing.T, m *Machine) { m.put(t, "/proc/sys/fs/binfmt_misc/qemu-aarch64", "") }, "other architectures", OK, "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := machine(t)
			test.spoil(t, m)
			for _, f := range Examine(m) {
				if f.Name != test.check {
					continue
				}
				if f.State != test.state || !strings.Contains(f.Cure, test.cure) || f.Root != test.root {
					t.Errorf("got %+v", f)
				}
				if f.State != OK && f.Meaning == "" {
					t.Errorf("says nothing about what it means: %+v", f)
				}
				return
			}
			t.Errorf("no finding %q", test.check)
		})
	}
}

func TestExamine_OfRootAsksForNothingOfAUsers(t *testing.T) {
	m := machine(t)
	m.UID, m.Namespace = 0, errors.New("not tried")
	for _, f := range Examine(m) {
		switch f.Name {
		case "subordinate user ids", "newuidmap", "lingering", "AppArmor":
			t.Errorf("%+v", f)
		case "user namespaces", "ports":
			if f.State != OK {
				t.Errorf("%+v", f)
			}
		}
	}
}
