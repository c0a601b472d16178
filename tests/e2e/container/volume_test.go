package container_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestVolume_DriverOptions(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.Skiff("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,mode=0700", "memory").Exits(0).Prints("memory")
	s.Skiff("run", "--rm", "--network", "none", "-v", "memory:/m", img, "sh", "-c",
		`grep " /m " /proc/mounts | cut -d" " -f1,3; df -k /m | tail -1 | awk '{print $2}'; stat -c %a /m; touch /m/f; ls /m`).
		Exits(0).Prints("tmpfs tmpfs\n1024\n700\nf")
	s.Skiff("run", "--rm", "--network", "none", "-v", "memory:/m:ro", img, "touch", "/m/f").Exits(1)

	dir := s.Mkdir("src")
	s.WriteFile("src/f", "here")
	s.OK("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device="+dir, "bound")
	s.Skiff("run", "--rm", "--network", "none", "-v", "bound:/b", img, "sh", "-c", "cat /b/f; echo new >/b/g").Exits(0).Prints("here")
	harness.Equal(t, "the file in the bound directory", s.ReadFile("src/g"), "new\n")
	s.OK("run", "--rm", "--network", "none", "--mount", "type=volume,src=viamount,dst=/m,volume-opt=type=tmpfs,volume-opt=device=tmpfs", img,
		"grep", "-q", " /m tmpfs ", "/proc/mounts")
	harness.Equal(t, "the options", s.OK("volume", "inspect", "-f", "{{json .Options}}", "viamount"), `{"device":"tmpfs","type":"tmpfs"}`)
	s.OK("volume", "rm", "bound")
	if !harness.Exists(filepath.Join(dir, "f")) {
		t.Error("removing the volume removed the directory that it was bound to")
	}
	for _, bad := range []struct{ options, says string }{
		{"nosuch=1", `create v9: invalid option: "nosuch"`},
		{"type=tmpfs", `create v9: missing required option: "device"`},
		{"device=/x", `create v9: missing required option: "type"`},
		{"type=nfs device=:/x o=addr=1.2.3.4", `create v9: type "nfs" is not supported`},
		{"type=none device=x o=bind", `create v9: invalid device "x": it must be an absolute path`},
		{"size=1g", "create v9: quota size requested but no quota support"},
	} {
		args := []string{"volume", "create", "v9"}
		for _, o := range strings.Fields(bad.options) {
			args = append(args, "-o", o)
		}
		s.Skiff(args...).Exits(1).Complains(bad.says)
	}
	s.Skiff("volume", "exists", "v9").Exits(1)
	s.OK("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/nosuch/dir", "missing")
	s.Skiff("run", "--rm", "--network", "none", "-v", "missing:/m", img, "true").Exits(127).Complains("failed to mount local volume")
}

func TestVolumePrune_TakesAnonymousOnesUnlessAll(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("create", "--name", "holder", "-v", "/held", "-v", "used:/used", img)
	s.OK("run", "--name", "gone", "--network", "none", "-v", "/loose", img, "sh", "-c", "echo 1234 >/loose/f")
	loose := s.Inspect("gone", "{{(index .Mounts 0).Name}}")
	s.OK("rm", "gone")
	s.OK("volume", "create", "named")
	s.OK("volume", "create", "--label", "keep", "labelled")
	s.Skiff("volume", "ls", "-q", "-f", "label=com.docker.volume.anonymous", "-f", "dangling=true").Prints(loose)
	s.SkiffInput(strings.NewReader("no\n"), "volume", "prune").Exits(0).
		Prints("WARNING! This will remove anonymous local volumes not used by at least one container.\nAre you sure you want to continue? [y/N] ")
	s.Skiff("volume", "prune", "-f").Exits(0).Prints("Deleted Volumes:\n" + loose + "\n\nTotal reclaimed space: 5B")
	s.Skiff("volume", "prune", "-f").Exits(0).Prints("Total reclaimed space: 0B")
	s.Skiff("volume", "prune", "-f", "-a", "--filter", "label!=keep").Exits(0).Prints("Deleted Volumes:\nnamed\n\nTotal reclaimed space: 0B")
	s.Skiff("volume", "prune", "-f", "--filter", "all=1").Exits(0).Prints("Deleted Volumes:\nlabelled\n\nTotal reclaimed space: 0B")
	s.Skiff("volume", "exists", "used").Exits(0)
	s.Skiff("volume", "prune", "-f", "--filter", "name=x").Exits(1).Complains("invalid filter 'name'")
	s.Skiff("volume", "rm", "used").Exits(1).Complains("remove used: volume is in use - [" + s.Inspect("holder", "{{.Id}}") + "]")
}

func TestVolume_ExportAndImport(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "--rm", "--network", "none", "-v", "data:/d", img, "sh", "-c",
		"echo one >/d/f; mkdir /d/sub; echo two >/d/sub/g; ln -s f /d/link; chown -R 1000:1000 /d/sub; chmod 640 /d/f")
	s.OK("volume", "export", "-o", filepath.Join(s.Home(), "data.tar"), "data")
	s.OK("volume", "create", "copy")
	s.OK("volume", "import", "copy", filepath.Join(s.Home(), "data.tar"))
	const list = "cd /d; cat f sub/g; readlink link; stat -c '%n %u %a' f sub sub/g"
	want := s.OK("run", "--rm", "--network", "none", "-v", "data:/d", img, "sh", "-c", list)
	harness.Equal(t, "the copy", s.OK("run", "--rm", "--network", "none", "-v", "copy:/d", img, "sh", "-c", list), want)
	s.Shell("skiff volume export data | skiff volume import copy -").Exits(0)
	s.Skiff("volume", "export", "nothing").Exits(1).Complains("get nothing: no such volume")
	s.Skiff("volume", "import", "nothing").Exits(1).Complains("get nothing: no such volume")
	s.Skiff("volume", "import", "copy", "/nosuch").Exits(1).Complains("no such file or directory")
	s.SkiffInput(strings.NewReader("not an archive, but text that is long enough to be looked at"), "volume", "import", "copy").Exits(1).Complains("import into volume copy")
	if _, err := os.Stat(filepath.Join(s.Home(), "nosuch")); err == nil {
		t.Error("something was made")
	}
}

func TestVolumesFrom_TakesOver(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "--name", "from", "--network", "none", "-v", "named:/n", "-v", "/a", img, "sh", "-c", "echo n >/n/f; echo a >/a/f")
	s.Skiff("run", "--rm", "--network", "none", "--volumes-from", "from", img, "cat", "/n/f", "/a/f").Exits(0).Prints("n\na")
	s.Skiff("run", "--rm", "--network", "none", "--volumes-from", "from:ro", img, "touch", "/n/g").Exits(1).Complains("Read-only file system")
	// Another's anonymous volume stays with it.
	s.OK("run", "--network", "none", "--name", "second", "--volumes-from", "from", img, "true")
	s.OK("rm", "-v", "second")
	s.Skiff("run", "--rm", "--network", "none", "--volumes-from", "from", img, "cat", "/a/f").Exits(0).Prints("a")
	// And stays for those that still have it.
	s.OK("run", "-d", "--rm", "--name", "owner", "--network", "none", "-v", "/b", img, "sh", "-c", "echo b >/b/f; sleep 1000")
	s.OK("create", "--name", "user", "--network", "none", "--volumes-from", "owner", img, "cat", "/b/f")
	s.OK("kill", "owner")
	s.OK("create", "--name", "third", "--network", "none", "--volumes-from", "user", img, "true")
	s.Skiff("start", "-a", "user").Exits(0).Prints("b")
	s.OK("rm", "-v", "user", "third")
}
