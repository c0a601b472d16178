package bare_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"skiff/tests/harness"
)

func sleeper(s *harness.Session, image string, flags ...string) string {
	s.T.Helper()
	args := append([]string{"run", "-d", "--network", "none"}, flags...)
	return s.OK(append(args, image, "sleep", "1000")...)
}

func TestSession_WithoutALogin(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	for _, key := range []string{"XDG_RUNTIME_DIR", "USER", "LOGNAME", "TMPDIR", "LANG"} {
		s.Unsetenv(key)
	}
	sleeper(s, img, "--name", "it")
	s.Skiff("exec", "it", "echo", "hi").Exits(0).Prints("hi")
	s.Skiff("run", "--rm", "--network", "none", img, "echo", "hi").Exits(0).Prints("hi")
	s.OK("rm", "-f", "it")
}

func TestSession_RuntimeDirectoryIsWiped(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "it")
	if err := os.RemoveAll(s.RuntimeDir()); err != nil {
		t.Fatal(err)
	}
	s.Skiff("ps", "--format", "{{.Names}} {{.State}}").Exits(0).Prints("it running")
	s.Skiff("exec", "it", "echo", "hi").Exits(0).Prints("hi")
	s.OK("stop", "-t", "1", "it")
	s.Skiff("ps", "-a", "--format", "{{.Names}} {{.State}}").Exits(0).Prints("it exited")
}

func TestSession_OneUserIDIsEnoughToRun(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.New(t)
	oneID(s)
	img := s.LoadBusybox()
	r := s.Skiff("run", "--rm", "--network", "none", img, "sh", "-c", "echo hi; cat /proc/self/uid_map | wc -l").Exits(0).Prints("hi\n1")
	if notices := strings.Count(r.Stderr, "\n"); notices != 1 {
		t.Errorf("%d lines of notice, want 1:\n%s", notices, r.Stderr)
	}
	r.Complains("subordinate")
}

// Who comes second finds the first one's namespace, and has one id there, too.
func TestSession_OneUserIDIsEnoughForSeveral(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.New(t)
	oneID(s)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "first")
	r := s.Skiff("run", "--rm", "--network", "none", img, "sh", "-c", "cat /proc/self/uid_map | wc -l; tty -s || test -c /dev/ptmx").Exits(0).Prints("1")
	r.Complains("subordinate")
	s.Skiff("run", "--rm", "-t", "--network", "none", img, "true").Exits(0)
	s.Skiff("exec", "first", "id", "-u").Exits(0).Prints("0")
	s.OK("rm", "-f", "first")
}

func oneID(s *harness.Session) {
	s.T.Helper()
	none := filepath.Join(s.Dir, "none")
	if err := os.WriteFile(none, nil, 0o644); err != nil {
		s.T.Fatal(err)
	}
	s.InMountNamespace("mount --bind " + none + " /etc/subuid; mount --bind " + none + " /etc/subgid")
}

// A unit with DynamicUser=yes has one id, may make no set-user-ID files and has no
// openat2(2): images with such files work, without what these bits would not do there.
func TestSession_OfADynamicUser(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.New(t)
	oneID(s)
	as := []string{harness.Payload(t), "restrict", s.Binary()}
	do := func(args ...string) *harness.Result { t.Helper(); return s.Do(nil, slices.Concat(as, args)...) }
	box := harness.BusyboxImage(t)
	box.Name = "box:latest"
	su := harness.Program("bin/su", "#!/bin/sh\n")
	su.Mode = 0o4755
	mail := harness.Dir("mail")
	mail.Mode = 0o2775
	link := harness.Symlink("data", "/var/../mail")
	box.Layers = append(box.Layers, harness.Layer{su, mail, link})
	do("load", "-i", box.OCIArchive(t, filepath.Join(s.Home(), "box.tar"))).Exits(0)
	do("run", "--rm", "--network", "none", "-v", "vol:/data", "box", "sh", "-c", "id -u; stat -c %a /bin/su /mail; echo kept >/mail/f").Exits(0).Prints("0\n755\n775")
	do("run", "-d", "--name", "it", "--network", "none", "-v", "vol:/data", "box", "sleep", "1000").Exits(0)
	do("exec", "it", "cat", "/mail/f").Exits(0).Prints("kept")
	s.WriteFile("file", "copied")
	do("cp", "file", "it:/data/g").Exits(0)
	do("exec", "it", "cat", "/mail/g").Exits(0).Prints("copied")
	do("rm", "-f", "-v", "it").Exits(0)
	s.WriteFile("Dockerfile", "FROM box\nCOPY file /data/\nRUN test $(cat /mail/file) = copied\n")
	do("build", "-q", "--network", "none", "-t", "made", ".").Exits(0)
	do("system", "check").Exits(0)
	home := s.Getenv("HOME")
	defer s.Setenv("HOME", home)
	s.Setenv("HOME", "/")
	do("ps").Exits(1).Complains("set XDG_DATA_HOME to a directory that may be written (in a unit with StateDirectory=NAME: Environment=XDG_DATA_HOME=%S/NAME)")
}

// An administrator may give ids in several portions: the kernel takes no mapping
// that reaches from one into the other.
func TestSession_SeveralRangesOfIDs(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.New(t)
	ranges := filepath.Join(s.Dir, "ranges")
	text := fmt.Sprintf("%[1]d:700000:500\n%[1]d:800000:65000\n", s.UID())
	if err := os.WriteFile(ranges, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s.InMountNamespace("mount --bind " + ranges + " /etc/subuid; mount --bind " + ranges + " /etc/subgid")
	img := s.LoadBusybox()
	s.Skiff("run", "--rm", "--network", "none", img, "sh", "-c", "wc -l < /proc/self/uid_map; touch /f; chown 60000 /f; stat -c %u /f").Exits(0).Prints("3\n60000")
	s.Skiff("run", "--rm", "--network", "none", "--userns", "keep-id:uid=1000,gid=1000", img, "sh", "-c", "id -u; touch /tmp/f; stat -c %u /tmp/f").Exits(0).Prints("1000\n1000")
	s.Skiff("run", "--rm", "--network", "none", "--userns", "keep-id:uid=200,gid=200", img, "id", "-u").Exits(0).Prints("200")
}

func TestSession_AsRoot(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.NewAsRoot(t)
	s.Setenv("XDG_DATA_HOME", filepath.Join(s.Home(), ".local/share"))
	img := s.LoadBusybox()
	s.Skiff("run", "--rm", "--network", "none", img, "id", "-u").Exits(0).Prints("0")
	sleeper(s, img, "--name", "it")
	s.Skiff("exec", "it", "echo", "hi").Exits(0).Prints("hi")
	s.OK("rm", "-f", "it")
}

func TestSession_HomeOfAnotherUserIsRefused(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.New(t)
	foreign := filepath.Join(s.Dir, "foreign")
	if err := os.MkdirAll(filepath.Join(foreign, "skiff"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(foreign, "skiff"), 0o777); err != nil {
		t.Fatal(err)
	}
	s.Setenv("XDG_DATA_HOME", foreign)
	s.Skiff("images").Exits(1).Complains("belongs to another user")
}

func TestSession_WithoutAHome(t *testing.T) {
	s := harness.New(t)
	s.Unsetenv("HOME")
	s.Skiff("version").Exits(0)
	s.Skiff("ps").Exits(1).Complains("HOME")
}

// After a kill -9 of the monitor ps must not say Up for what is dead, nor
// Exited for what lives.
func TestMonitor_KilledLeavesTheTruth(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	for range 10 {
		sleeper(s, img, "--name", "it")
		monitor := monitorOf(s, "it")
		init, err := strconv.Atoi(s.Inspect("it", "{{.State.Pid}}"))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(monitor, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.Eventually("the monitor is dead", func() bool { return zombie(monitor) })
		up := s.OK("ps", "--format", "{{.State}}") == "running"
		alive := syscall.Kill(init, 0) == nil && !zombie(init)
		if up != alive {
			t.Errorf("ps says up: %v; the process is alive: %v", up, alive)
		}
		s.Skiff("stop", "-t", "1", "it").Exits(0)
		harness.Equal(t, "the state", s.Inspect("it", "{{.State.Status}}"), "exited")
		s.OK("start", "it")
		s.Skiff("exec", "it", "echo", "again").Exits(0).Prints("again")
		s.OK("rm", "-f", "it")
	}
}

func TestMonitor_AndInitKilledTogether(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "it")
	init, err := strconv.Atoi(s.Inspect("it", "{{.State.Pid}}"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{monitorOf(s, "it"), init} {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	s.Eventually("ps says that it ended", func() bool { return s.Inspect("it", "{{.State.Status}}") == "exited" })
	s.OK("start", "it")
	harness.Equal(t, "the state", s.Inspect("it", "{{.State.Status}}"), "running")
	s.OK("rm", "-f", "it")
}

func TestRun_KilledAtAnyMomentLeavesNothing(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	for n := range 40 {
		after := strconv.FormatFloat(0.001+float64(n)*0.0015, 'f', 4, 64)
		s.Shell("timeout -s KILL " + after + " skiff run --rm --network none " + img + " true")
	}
	s.Skiff("run", "--rm", "--network", "none", img, "true").Exits(0)
	s.Eventually("no container is left", func() bool { return s.OK("ps", "-aq") == "" })
}

// A store that a full disk stopped can still be emptied.
func TestDisk_FullCanBeEmptied(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.New(t)
	disk := s.Mkdir("disk")
	s.InMountNamespace("mount -t tmpfs -o size=40m,mode=777 disk " + disk)
	s.Setenv("XDG_DATA_HOME", disk)
	img := s.LoadBusybox()
	s.OK("create", "--name", "it", img, "true")
	s.Shell("cat /dev/zero >" + disk + "/ballast")
	s.Skiff("images", "-q").Exits(0)
	s.Skiff("ps", "-aq").Exits(0)
	s.Skiff("run", "--network", "none", img, "true").Exits(125).Complains("no space left on device")
	s.Skiff("rm", "-f", "it").Exits(0)
	s.Skiff("rmi", "-f", img).Exits(0)
	s.Skiff("images", "-q").Exits(0).Prints("")
}

func TestPull_IntoAFullDisk(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.New(t)
	registry := harness.NewRegistry(t)
	ref := registry.Push(t, bigImage(t), "big:1")
	disk := smallDisk(s)
	s.Skiff("pull", ref).Exits(1).Complains("no space left on device")
	isEmpty(s, disk)
}

func TestLoad_IntoAFullDisk(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.New(t)
	path := bigImage(t).DockerArchive(t, filepath.Join(s.Dir, "big.tar"))
	disk := smallDisk(s)
	s.Skiff("load", "-i", path).Exits(1).Complains("no space left on device")
	isEmpty(s, disk)
	s.Shell("cat " + path + " | skiff load").Exits(1).Complains("no space left on device")
	isEmpty(s, disk)
}

func TestImport_IntoAFullDisk(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.New(t)
	path := filepath.Join(s.Dir, "big.tar")
	if err := os.WriteFile(path, bigImage(t).Layers[1].Tar(t), 0o644); err != nil {
		t.Fatal(err)
	}
	disk := smallDisk(s)
	s.Skiff("import", path, "big:1").Exits(1).Complains("no space left on device")
	isEmpty(s, disk)
}

// bigImage has a layer that a smallDisk has room for, and one that it has not.
func bigImage(t *testing.T) harness.Image {
	t.Helper()
	i := harness.BusyboxImage(t)
	i.Layers = append(i.Layers, harness.Layer{harness.File("big", strings.Repeat("zero", 16<<20))})
	return i
}

// smallDisk gives the user a disk of 30 MB for the store.
func smallDisk(s *harness.Session) string {
	s.T.Helper()
	disk := s.Mkdir("disk")
	s.InMountNamespace("mount -t tmpfs -o size=30m,mode=777 disk " + disk)
	s.Setenv("XDG_DATA_HOME", disk)
	return disk
}

// isEmpty checks that a failed transfer has left nothing on the disk.
func isEmpty(s *harness.Session, disk string) {
	s.T.Helper()
	s.Skiff("images", "-q").Exits(0).Prints("")
	used := s.Shell("du -sk " + disk + " | cut -f1").Out()
	// The reserve, 1 MB, and the tables.
	if kilobytes, err := strconv.Atoi(used); err != nil || kilobytes > 1024+64 {
		s.T.Errorf("after the failed transfer %s kB are in use", used)
	}
}

// monitorOf finds the monitor as an administrator would: by its process name.
func monitorOf(s *harness.Session, container string) int {
	s.T.Helper()
	id := s.Inspect(container, "{{.Id}}")
	out := s.Shell("grep -l -a skiff:monitor /proc/[0-9]*/cmdline /proc/[0-9]*/comm 2>/dev/null").Stdout
	init := s.Inspect(container, "{{.State.Pid}}")
	parent := s.Shell("awk '/^PPid:/{print $2}' /proc/" + init + "/status").Succeeds().Out()
	if !strings.Contains(out, "/proc/"+parent+"/") {
		s.T.Fatalf("the parent %s of container %.12s is not named skiff:monitor; those are:\n%s", parent, id, out)
	}
	pid, err := strconv.Atoi(parent)
	if err != nil {
		s.T.Fatal(err)
	}
	return pid
}

func zombie(pid int) bool {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(status), ") ")
	return strings.HasPrefix(rest, "Z")
}

func TestStore_WhereTheKernelRefusesOverlay(t *testing.T) {
	harness.Requires(t, harness.Root, harness.CommandNamed("fuse-overlayfs"))
	s := harness.New(t)
	// An overlay cannot hold another's upper directory.
	disk := s.Mkdir("disk")
	s.InMountNamespace("mount -t tmpfs -o mode=777 disk " + disk +
		"; mkdir -m 777 " + disk + "/l " + disk + "/u " + disk + "/w " + disk + "/m" +
		"; mount -t overlay -o lowerdir=" + disk + "/l,upperdir=" + disk + "/u,workdir=" + disk + "/w overlay " + disk + "/m; chmod 777 " + disk + "/m")
	s.Setenv("XDG_DATA_HOME", disk+"/m")
	img := s.LoadBusybox()
	s.Skiff("run", "--rm", "--network", "none", img, "sh", "-c", "echo kept > /f && cat /f && grep -c ' / .*fuse' /proc/self/mountinfo").
		Exits(0).Prints("kept\n1")
	sleeper(s, img, "--name", "it")
	s.Skiff("exec", "it", "sh", "-c", "echo more > /g; cat /g").Exits(0).Prints("more")
	s.OK("rm", "-f", "it")
	bare := s.Mkdir("bin") // with what skiff and the harness need, and no more
	for _, program := range []string{"newuidmap", "newgidmap", "setpriv", "env", "sh"} {
		path, err := exec.LookPath(program)
		if err == nil {
			err = os.Symlink(path, bare+"/"+program)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Setenv("PATH", bare)
	s.Skiff("run", "--rm", "--network", "none", img, "true").Exits(125).
		Complains("the kernel refuses overlay").Complains("install fuse-overlayfs")
}
