package container_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// unpacked is a directory of s's user with an image's files.
func unpacked(s *harness.Session, img, name string) string {
	s.T.Helper()
	s.OK("create", "--name", "unpacked", "--network", "none", img, "true")
	// Mount points of ours are left out: the directory is nobody's container yet.
	s.Shell("mkdir " + name + " && skiff export unpacked | tar -C " + name + " -xf - --exclude=dev/console && chmod -R u+w " + name).Exits(0)
	s.OK("rm", "unpacked")
	return filepath.Join(s.Home(), name)
}

func TestRootfs_RunsFromADirectory(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	dir := unpacked(s, img, "tree")

	// Used as it is: what the container writes is there.
	s.Skiff("run", "--rm", "--network", "none", "-e", "A=1", "--rootfs", "tree", "sh", "-c", "echo $A; pwd; echo new >/made").Exits(0).Prints("1\n/")
	harness.Equal(t, "written", s.ReadFile("tree/made"), "new\n")

	s.OK("run", "-d", "--name", "direct", "--network", "none", "--rootfs", dir, "sleep", "1000")
	harness.Equal(t, "seen by exec", s.OK("exec", "direct", "cat", "/made"), "new")
	harness.Equal(t, "its image", s.Inspect("direct", "{{.Image}}|{{.Config.Image}}"), "|"+dir)
	harness.Equal(t, "in the list", s.OK("ps", "--format", "{{.Image}}"), dir)
	s.WriteFile("word", "word")
	s.OK("cp", "word", "direct:/word")
	s.OK("stop", "-t", "0", "direct")
	harness.Equal(t, "copied in", s.ReadFile("tree/word"), "word")
	// Stopped, it is read all the same.
	s.Shell("skiff cp direct:/made - | tar -xOf -").Exits(0).Prints("new")
	s.Shell("skiff export direct | tar -tf - | grep -cx made").Exits(0).Prints("1")
	s.Skiff("diff", "direct").Exits(1).Complains("Error: cannot compare container direct: it runs from the directory " + dir + ", not from an image")
	s.Skiff("commit", "direct").Exits(1).Complains("Error: cannot commit container direct: it runs from the directory " + dir + ", not from an image")
	s.OK("start", "direct")
	s.OK("rm", "-f", "direct")
	if _, err := os.Stat(filepath.Join(dir, "made")); err != nil {
		t.Errorf("rm removed what was not its own: %v", err)
	}

	// Read only, it can still be given mounts where it has the directories.
	s.Skiff("run", "--rm", "--network", "none", "--read-only", "--rootfs", "tree", "sh", "-c", "touch /x 2>/dev/null || echo refused").Exits(0).Prints("refused")
	s.Skiff("run", "--rm", "--network", "none", "--rootfs", "tree", "nosuch").Exits(127).Complains("executable file not found")
}

func TestRootfs_LeavesTheDirectoryBelowAnOverlay(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	dir := unpacked(s, img, "tree")
	list := func() string { return s.Shell("cd tree && find . | sort").Exits(0).Stdout }
	before := list()
	s.Skiff("run", "--name", "over", "--network", "none", "--rootfs", "tree:O", "sh", "-c", "echo new >/made; rm /etc/passwd; cat /made").Exits(0).Prints("new")
	harness.Equal(t, "the directory", list(), before)
	s.Skiff("diff", "over").Exits(0).Prints("C /etc\nD /etc/passwd\nA /made")
	s.Shell("skiff export over | tar -tf - | grep -cx -e made -e etc/passwd").Exits(0).Prints("1")
	s.Skiff("start", "-a", "over").Exits(0).Prints("new")
	harness.Equal(t, "layer", s.Inspect("over", "{{.GraphDriver.Data.LowerDir}}"), dir)
	s.OK("rm", "over")
	// A colon may be a part of the name.
	s.Shell("mv tree tree:O && skiff run --rm --network none --rootfs tree:O sh -c 'echo 1 >/here' && cat tree:O/here").Exits(0).Prints("1")
}

func TestRootfs_RefusesWhatIsNoRoot(t *testing.T) {
	s := harness.New(t)
	s.LoadBusybox()
	s.WriteFile("file", "")
	for line, want := range map[string]string{
		"nosuch true":     "--rootfs nosuch: there is no such directory",
		"file true":       "--rootfs file: it is not a directory",
		"empty:idmap sh":  `--rootfs empty:idmap: option "idmap" is not supported, only "O" is`,
		"empty":           "no command specified",
		longName() + " x": "there is no such directory",
	} {
		s.Mkdir("empty")
		r := s.Skiff(append([]string{"run", "--rm", "--network", "none", "--rootfs"}, strings.Fields(line)...)...)
		r.Exits(125).Complains(want)
	}
	harness.Equal(t, "containers left", s.OK("ps", "-aq"), "")
}

func longName() string { return strings.Repeat("d/", 100) + "d" }

func TestPreserve_PassesDescriptors(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.WriteFile("in", "from 3\n")
	run := "skiff run --rm --network none "
	for _, flags := range []string{"", "-i ", "--init ", "--userns keep-id -u 0 "} {
		s.Shell(run + flags + "--preserve-fds 2 " + img + " sh -c 'cat <&3; echo to 4 >&4' 3<in 4>out </dev/null; cat out").Exits(0).Says("from 3").Says("to 4")
	}
	// No more than was said, and none that was not.
	s.Shell(run + "--preserve-fds 1 " + img + " sh -c 'cat <&3; test -e /proc/self/fd/4 || echo no 4' 3<in 4>out").Exits(0).Prints("from 3\nno 4")
	s.Shell(run + img + " sh -c 'test -e /proc/self/fd/3 || echo no 3' 3<in").Exits(0).Prints("no 3")
	s.Shell(run + "--preserve-fds 2 " + img + " true 3<in").Exits(125).
		Complains("file descriptor 4 is not available: --preserve-fds 2 needs the descriptors 3 to 4 to be open")
	s.Shell(run + "--preserve-fds -1 " + img + " true").Exits(125).Complains("must be a number from 0 to")

	sleeper(s, img, "--name", "up")
	s.Shell("skiff exec --preserve-fds 2 up sh -c 'cat <&3; echo exec to 4 >&4' 3<in 4>out; cat out").Exits(0).Prints("from 3\nexec to 4")
	s.Shell("skiff exec --preserve-fds 1 up true").Exits(1).Complains("file descriptor 3 is not available")
	s.OK("rm", "-f", "up")

	// One that is started again has them again.
	s.Shell("skiff run -d --name again --restart on-failure:2 --network none --preserve-fds 1 " + img + " sh -c 'echo round >&3; false' 3>>rounds").Exits(0)
	s.OK("wait", "again")
	harness.Equal(t, "rounds", s.ReadFile("rounds"), "round\nround\nround\n")
	s.OK("rm", "again")
}

// What the caller left open is not kept open by a container in the background:
// a script's lock would be held for days.
func TestRun_KeepsNothingOfTheCallersOpen(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	for _, network := range []string{"none", "bridge"} {
		s.Shell("exec 9>lock; flock 9; skiff run -d --name up --network " + network + " " + img + " sleep 1000 >/dev/null").Exits(0)
		s.Shell("flock -n lock echo free").Exits(0).Prints("free")
		s.OK("rm", "-f", "up")
	}
}
