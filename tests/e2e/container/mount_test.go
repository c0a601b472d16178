package container_test

import (
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestMount_BindsFilesAndDirectories(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	dir := s.Mkdir("dir")
	s.WriteFile("dir/file", "from the host\n")
	run := func(line string) *harness.Result {
		return s.Shell("skiff run --rm --network none " + strings.ReplaceAll(line, "DIR", dir))
	}
	run("-v DIR:/d " + img + " cat /d/file").Exits(0).Prints("from the host")
	run("-v DIR/file:/etc/made/here " + img + " cat /etc/made/here").Exits(0).Prints("from the host")
	run("-v DIR:/d:ro " + img + " sh -c 'echo x >/d/no'").Exits(1).Complains("Read-only file system")
	run("--mount type=bind,source=DIR,target=/d,readonly " + img + " touch /d/no").Exits(1).Complains("Read-only file system")
	run("--mount type=bind,src=DIR,dst=/d " + img + " sh -c 'echo inside >/d/new'").Exits(0)
	harness.Equal(t, "what the container wrote", s.ReadFile("dir/new"), "inside\n")
	harness.Equal(t, "its owner", harness.Owner(t, filepath.Join(dir, "new")), s.UID())
	run("-v ./dir:/d " + img + " ls /d").Exits(0).Prints("file\nnew")
	run("-v DIR:/d -v DIR/..:/d " + img + " true").Exits(125).Complains("Duplicate mount point: /d")
	harness.Equal(t, "the file", s.ReadFile("dir/file"), "from the host\n")
}

func TestMount_MakesAMissingSourceOfV(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	missing := filepath.Join(s.Home(), "made/for/it")
	s.OK("run", "--rm", "--network", "none", "-v", missing+":/x", img, "touch", "/x/f")
	harness.Equal(t, "the owner of the new directory", harness.Owner(t, missing), s.UID())
	if !harness.Exists(missing + "/f") {
		t.Error("the file is not in the new directory")
	}
}

func TestMount_NamedVolumesOutliveContainers(t *testing.T) {
	s := harness.New(t)
	i := harness.BusyboxImage(t)
	i.Layers = append(i.Layers, harness.Layer{harness.Dir("data"), harness.File("data/given", "by the image\n")})
	img := s.Load(i)
	s.Skiff("run", "--rm", "--network", "none", "-v", "data:/data", img, "sh", "-c", "cat /data/given; echo kept >/data/mine").
		Exits(0).Prints("by the image") // an empty volume is filled from the image
	s.Skiff("run", "--rm", "--network", "none", "--mount", "type=volume,src=data,dst=/other", img, "cat", "/other/mine", "/other/given").
		Exits(0).Prints("kept\nby the image")
	s.Skiff("run", "--rm", "--network", "none", "-v", "data:/data:ro", img, "touch", "/data/no").
		Exits(1).Complains("Read-only file system")
	s.Skiff("run", "--rm", "--network", "none", "--mount", "type=volume,src=bare,dst=/data,volume-nocopy", img, "ls", "/data").
		Exits(0).Prints("")
}

func TestMount_Tmpfs(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.Skiff("run", "--rm", "--network", "none", "--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=0750", img,
		"sh", "-c", "stat -f -c %T /t; stat -c %a /t; df -k /t | awk 'END{print $2}'").Exits(0).Prints("tmpfs\n750\n1024")
	s.Skiff("run", "--rm", "--network", "none", "--tmpfs", "/t", img, "awk", `$2=="/t"{print $4}`, "/proc/mounts").
		Exits(0).PrintsMatch("rw,nosuid,nodev,noexec.*")
}

func TestMount_AnonymousVolumesGoWithRm(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "--rm", "--network", "none", "-v", "/scratch", img, "touch", "/scratch/f")
	if left := harness.Entries(filepath.Join(s.Store(), "volumes")); len(left) > 0 {
		t.Errorf("volumes left: %v", left)
	}
}
