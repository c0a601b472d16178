package container_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// foreign makes a session for containers that do not have the user's ids.
func foreign(t *testing.T) (s *harness.Session, img string) {
	t.Helper()
	harness.Requires(t, harness.CommandNamed("fuse-overlayfs"), harness.FUSE)
	s = harness.New(t)
	return s, s.LoadBusybox()
}

func TestIDs_ContainerIsNotTheUser(t *testing.T) {
	s, img := foreign(t)
	// Its way leads through the home directory, which nobody else may enter.
	s.WriteFile("mine/f", "the user's")
	if err := os.Chmod(s.Home(), 0o700); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(s.Home(), "mine")
	for mode, ids := range map[string]string{
		"--userns nomap":                    "0 1 65536",
		"--userns auto":                     "0 1 1024",
		"--userns auto:size=70":             "0 1 70",
		"--uidmap 0:100:50 --gidmap 0:7:60": "0 100 50",
	} {
		t.Run(mode, func(t *testing.T) {
			s := s.In(t)
			run := append([]string{"run", "--rm", "--network", "none", "-v", mine + ":/mine"}, strings.Fields(mode)...)
			r := s.Skiff(append(run, img, "sh", "-c",
				`id -u; id -g; read a b c </proc/self/uid_map; echo $a $b $c
				stat -c '%u %g %n' /bin /etc/hosts /mine /mine/f; cat /mine/f; echo
				echo x >/written; stat -c '%u %g %n' /written
				chown 5:6 /written && stat -c '%u %g %n' /written
				(echo x >/mine/f) 2>/dev/null || echo refused`)...)
			r.Exits(0).Prints(strings.Join([]string{
				"0", "0", ids, "0 0 /bin", "0 0 /etc/hosts", "65534 65534 /mine", "65534 65534 /mine/f", "the user's",
				"0 0 /written", "5 6 /written", "refused",
			}, "\n"))
		})
	}
	harness.Equal(t, "the user's file", s.ReadFile("mine/f"), "the user's")
	// Unless it is given to it.
	s.WriteFile("given/f", "mine")
	given := filepath.Join(s.Home(), "given")
	for _, mode := range []string{"nomap", "auto"} {
		s.Skiff("run", "--rm", "--network", "none", "--userns", mode, "-u", "5:6", "-v", given+":/g:U", img,
			"sh", "-c", "stat -c '%u %g' /g /g/f; echo x >>/g/f && echo written").Exits(0).Prints("5 6\n5 6\nwritten")
		s.Skiff("run", "--rm", "--network", "none", "--userns", mode, "-u", "root", "-v", given+":/g:U", img, "true").
			Exits(125).Complains("needs the user by number")
	}
}

func TestIDs_WholeLifeWithoutTheUsers(t *testing.T) {
	s, img := foreign(t)
	sleeper(s, img, "--name", "it", "--userns", "auto", "-v", "filled:/etc", "--health-cmd", "test $(id -u) = 0", "--health-interval", "200ms")
	s.Skiff("exec", "it", "sh", "-c", "stat -c '%u %g' /etc; echo x >/etc/new; touch /own; chown 7:8 /own; stat -c '%u %g' /etc/new /own").
		Exits(0).Prints("0 0\n0 0\n7 8")
	s.Skiff("exec", "-u", "5:6", "it", "id", "-u").Exits(0).Prints("5")
	s.Eventually("it is healthy", func() bool { return s.Inspect("it", "{{.State.Health.Status}}") == "healthy" })
	s.WriteFile("from/file", "copied")
	s.OK("cp", filepath.Join(s.Home(), "from"), "it:/")
	s.Skiff("exec", "it", "sh", "-c", "stat -c '%u %g' /from /from/file; cat /from/file").Exits(0).Prints("0 0\n0 0\ncopied")
	owner := func() string {
		t.Helper()
		return strings.Join(strings.Fields(s.Shell("skiff cp it:/own - | tar tvn --numeric-owner").Exits(0).Out())[1:2], "")
	}
	harness.Equal(t, "whose the file is, of a running container", owner(), "7/8")
	s.OK("commit", "it", "foreign:1")
	s.Skiff("run", "--rm", "--network", "none", "foreign:1", "stat", "-c", "%u %g", "/own", "/from/file").Exits(0).Prints("7 8\n0 0")
	s.OK("stop", "it")
	harness.Equal(t, "whose the file is, of a stopped container", owner(), "7/8")
	s.OK("start", "it")
	s.Skiff("exec", "it", "stat", "-c", "%u %g", "/own", "/etc/new").Exits(0).Prints("7 8\n0 0")
	// Two such containers are not each other.
	sleeper(s, img, "--name", "two", "--userns", "auto:size=100")
	outside := func(name string) string {
		return s.OK("exec", name, "sh", "-c", "read a b c </proc/self/uid_map; echo $b $c")
	}
	harness.Equal(t, "the first one's ids", outside("it"), "1 1024")
	harness.Equal(t, "the second one's ids", outside("two"), "1025 100")
	s.OK("rm", "-f", "it")
	s.OK("create", "--name", "three", "--userns", "auto:size=1024", "--network", "none", img, "true")
	harness.Equal(t, "what is free is used again", s.Inspect("three", "{{range .HostConfig.IDMappings.UidMap}}{{.host_id}} {{.size}}{{end}}"), "1 1024")
	s.OK("rm", "-f", "two", "three")
}

func TestIDs_ChosenAtOnceDiffer(t *testing.T) {
	s, img := foreign(t)
	// Sixteen that choose from the same ids.
	s.Shell("for n in $(seq 16); do skiff create --name at$n --userns auto:size=10 --network none " + img + " true >/dev/null & done; wait").Exits(0)
	seen := map[string]string{}
	for n := range 16 {
		name := fmt.Sprint("at", n+1)
		first := s.Inspect(name, "{{range .HostConfig.IDMappings.UidMap}}{{.host_id}} {{.size}}{{end}}")
		if other := seen[first]; other != "" {
			t.Errorf("%s and %s have the same ids: %s", name, other, first)
		}
		seen[first] = name
	}
}

func TestIDs_SharedNetworkWithOtherIDs(t *testing.T) {
	s, img := foreign(t)
	sleeper(s, img, "--name", "peer", "--hostname", "peer", "--ipc", "shareable")
	s.OK("exec", "peer", "sh", "-c", "echo shared >/dev/shm/f; chmod 644 /dev/shm/f")
	for _, mode := range []string{"keep-id", "nomap", "auto"} {
		s.Skiff("run", "--rm", "--userns", mode, "--network", "container:peer", "--ipc", "container:peer", img,
			"sh", "-c", "hostname; cat /dev/shm/f").Exits(0).Prints("peer\nshared")
		s.Skiff("run", "--rm", "--userns", mode, "--network", "none", "--pid", "container:peer", img, "true").
			Exits(125).Complains("the pid namespace is of another user namespace")
	}
	s.OK("rm", "-f", "peer")
}

func TestIDs_RefusesWhatCannotBe(t *testing.T) {
	s, img := foreign(t)
	for flags, want := range map[string]string{
		"--userns auto:size=0":      `invalid option "size=0" of auto`,
		"--userns auto:uid=1":       `invalid option "uid=1" of auto`,
		"--userns auto:size=999999": "no 999999 of the user's 65536 subordinate ids are together and free",
		"--userns nosuch":           "invalid USER mode",
	} {
		s.Skiff(append(append([]string{"run", "--network", "none"}, strings.Fields(flags)...), img, "true")...).Exits(125).Complains(want)
	}
	s.Skiff("run", "--rm", "--network", "none", "--userns", "nomap", "--rootfs", s.Mkdir("tree"), "true").
		Exits(125).Complains("the directory of --rootfs is the user's").Complains("DIR:O")
	s.Setenv("PATH", without(t, s, "fuse-overlayfs"))
	s.Skiff("run", "--rm", "--network", "none", "--userns", "nomap", img, "true").Exits(125).Complains("install fuse-overlayfs")
	harness.Equal(t, "what is left", s.OK("ps", "-aq"), "")
}

// without makes a directory for PATH with what skiff and the harness need, but
// not this program.
func without(t *testing.T, s *harness.Session, program string) string {
	t.Helper()
	dir := s.Mkdir("path")
	for _, from := range strings.Split(os.Getenv("PATH"), ":") {
		entries, err := os.ReadDir(from)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.Name() != program {
				_ = os.Symlink(filepath.Join(from, e.Name()), filepath.Join(dir, e.Name()))
			}
		}
	}
	return dir
}

func TestIDs_MonitorKilledLeavesNothing(t *testing.T) {
	s, img := foreign(t)
	vanishes(s, img, "--userns", "auto")
}

func TestRun_VanishesWhenItsMonitorIsKilled(t *testing.T) {
	s := harness.New(t)
	vanishes(s, s.LoadBusybox())
}

// vanishes kills monitors of containers that are to vanish at their end.
func vanishes(s *harness.Session, img string, flags ...string) {
	s.T.Helper()
	for i := range 3 {
		done := make(chan *harness.Result)
		name := fmt.Sprint("it", i)
		go func() {
			args := append([]string{"run", "--rm", "--name", name, "--network", "none"}, flags...)
			done <- s.Skiff(append(args, img, "sleep", "1000")...)
		}()
		s.Eventually("it runs", func() bool { return s.Skiff("inspect", "-f", "{{.State.Running}}", name).Stdout == "true\n" })
		if s.KillRoles("skiff:monitor") == 0 {
			s.T.Fatal("no monitor")
		}
		(<-done).Exits(137)
		if left, _ := filepath.Glob(filepath.Join(s.Store(), "tmp", "removed-*")); len(left) > 0 {
			s.T.Errorf("not deleted: %v", left)
		}
		harness.Equal(s.T, "what is left for the next command", s.OK("ps", "-aq"), "")
		s.Skiff("rm", name).Exits(1).Complains("No such container: " + name)
	}
}
