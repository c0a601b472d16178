package container_test

import (
	"strings"
	"testing"

	"skiff/tests/harness"
)

// docker's fourteen, as /proc/<pid>/status prints them.
const dockersCapabilities = "00000000a80425fb"

func TestConfinement_Capabilities(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	const none = "0000000000000000"
	tests := []struct {
		name                string
		flags               []string
		effective, bounding string
	}{
		{"root has docker's fourteen", nil, dockersCapabilities, dockersCapabilities},
		{"an ordinary user has none", []string{"-u", "1000"}, none, dockersCapabilities},
		{"drops all", []string{"--cap-drop", "ALL"}, none, none},
		{"adds one to none", []string{"--cap-drop", "all", "--cap-add", "net_bind_service"}, "0000000000000400", "0000000000000400"},
		{"takes names with CAP_", []string{"--cap-drop=CAP_CHOWN"}, "00000000a80425fa", "00000000a80425fa"},
		{"has all of the namespace when privileged", []string{"--privileged"}, "000001ffffffffff", "000001ffffffffff"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := s.In(t)
			args := append([]string{"run", "--rm", "--network", "none"}, test.flags...)
			got := s.OK(append(args, img, "caps")...)
			for key, want := range map[string]string{
				"CapInh": none, "CapAmb": none, "CapEff": test.effective, "CapPrm": test.effective, "CapBnd": test.bounding,
			} {
				if !strings.Contains(got, key+":\t"+want+"\n") {
					t.Errorf("%s is not %s:\n%s", key, want, got)
				}
			}
		})
	}
}

func TestConfinement_SeccompAndPrivileges(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	run := func(flags ...string) string {
		args := append([]string{"run", "--rm", "--network", "none"}, flags...)
		return s.OK(append(args, img, "caps")...)
	}
	for _, want := range []struct{ got, line string }{
		{run(), "Seccomp:\t2\n"},
		{run(), "NoNewPrivs:\t0\n"},
		{run("--security-opt", "no-new-privileges"), "NoNewPrivs:\t1\n"},
		{run("--security-opt", "seccomp=unconfined"), "Seccomp:\t0\n"},
		{run("--privileged"), "Seccomp:\t0\n"},
	} {
		if !strings.Contains(want.got+"\n", want.line) {
			t.Errorf("%q is not in\n%s", want.line, want.got)
		}
	}
	busybox := s.LoadBusybox()
	s.Skiff("run", "--rm", "--network", "none", busybox, "unshare", "-U", "true").Exits(1).Complains("not permitted")
	s.Skiff("run", "--rm", "--network", "none", busybox, "mount", "-t", "tmpfs", "x", "/tmp").Exits(1).Complains("denied")
	s.Skiff("run", "--rm", "--network", "none", "--security-opt", "seccomp=nosuch.json", busybox, "true").Exits(125).Complains("nosuch.json")
}

func TestConfinement_MaskedAndReadOnlyPaths(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	tests := []struct{ name, script, want string }{
		{"reads nothing of kernel memory", "head -c 1 /proc/kcore | wc -c", "0"},
		{"reads nothing of keys and timers", "cat /proc/keys /proc/timer_list 2>/dev/null | wc -c", "0"},
		{"finds nothing about the firmware", "ls /sys/firmware | wc -l", "0"},
		{"triggers no sysrq", "{ echo x >/proc/sysrq-trigger; } 2>/dev/null || echo no", "no"},
		{"sets no sysctl", "{ echo x >/proc/sys/kernel/core_pattern; } 2>/dev/null || echo no", "no"},
		{"writes nothing in /sys", "{ touch /sys/x; } 2>/dev/null || echo no", "no"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s.In(t).Skiff("run", "--rm", "--network", "none", img, "sh", "-c", test.script).Exits(0).Prints(test.want)
		})
	}
	s.Skiff("run", "--rm", "--network", "none", "--privileged", img, "sh", "-c", "grep -c ' /proc/' /proc/mounts").Prints("0")
}

func TestConfinement_Devices(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.Skiff("run", "--rm", "--network", "none", img, "sh", "-c", "ls /dev | xargs").Exits(0).
		Prints("core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero")
	s.Skiff("run", "--rm", "--network", "none", img, "sh", "-c", "echo x >/dev/null && head -c 2 /dev/zero | wc -c").Exits(0).Prints("2")
	s.Skiff("run", "--rm", "--network", "none", img, "mknod", "/x", "b", "8", "0").Exits(1)
}

func TestConfinement_Namespaces(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	for _, ns := range []string{"user", "mnt", "pid", "ipc", "uts", "net", "cgroup"} {
		outside := s.Shell("readlink /proc/self/ns/" + ns).Succeeds().Out()
		inside := s.OK("run", "--rm", "--network", "none", img, "readlink", "/proc/self/ns/"+ns)
		if inside == outside {
			t.Errorf("the %s namespace is the user's own", ns)
		}
	}
}

func TestConfinement_RootIsThePrivateOverlay(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.Skiff("run", "--rm", "--network", "none", img, "sh", "-c", "echo changed >/etc/os-release && cat /etc/os-release").Exits(0).Prints("changed")
	s.Skiff("run", "--rm", "--network", "none", img, "cat", "/etc/os-release").Exits(0).Prints("ID=busybox")
	s.Skiff("run", "--rm", "--network", "none", img, "sh", "-c", "awk '$2==\"/\"{print $3}' /proc/mounts").Exits(0).PrintsMatch("overlay|fuse.fuse-overlayfs")
}
