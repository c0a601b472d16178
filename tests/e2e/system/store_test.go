package system_test

import (
	"path/filepath"
	"testing"

	"skiff/tests/harness"
)

// Where the store lies is the user's to choose: what is special in a pattern, an option
// of a mount or a shell is not special in its name.
func TestStore_InADirectoryOfAnyName(t *testing.T) {
	s := harness.New(t)
	archive := harness.BusyboxImage(t).OCIArchive(t, filepath.Join(s.Dir, "busybox.tar"))
	s.WriteFile("context/Dockerfile", "FROM box\nCOPY Dockerfile /d\nRUN echo built >/b\n")
	for _, name := range []string{"[work]", "a[b", `a\b`, `a*c, d:e='f' "?`} {
		data := s.Mkdir(name)
		// A store that the name would stand for as a pattern, in which a pull is under way.
		other := s.Mkdir("abc, d:e='f' \"g/skiff/tmp/transfer-1")
		s.Setenv("XDG_DATA_HOME", data)
		s.OK("tag", s.OK("load", "-q", "-i", archive)[len("Loaded image: "):], "box")
		s.OK("run", "--name", "made", "--network", "none", "-v", "vol:/v", "box", "sh", "-c", "echo one >/v/one; echo two >/two")
		s.Skiff("start", "-a", "made").Exits(0)
		s.Skiff("cp", "made:/two", "-").Exits(0).Says("two")
		s.OK("commit", "made", "committed")
		s.OK("build", "-q", "--network", "none", "-t", "built", filepath.Join(s.Home(), "context"))
		s.Skiff("run", "--rm", "--network", "none", "-v", "vol:/v", "built", "cat", "/b", "/v/one").Exits(0).Prints("built\none")
		// What a dead pull leaves is found by the next command.
		dead := s.Mkdir(filepath.Join(name, "skiff/tmp/transfer-2"))
		s.OK("images", "-q")
		if harness.Exists(dead) {
			t.Errorf("%s: what a dead transfer left is still there", name)
		}
		if !harness.Exists(other) {
			t.Errorf("%s: somebody else's transfer is gone", name)
		}
		s.OK("system", "check")
		s.OK("rm", "made")
		s.OK("volume", "rm", "vol")
		s.OK("rmi", "built", "committed", "box")
		s.OK("system", "prune", "-af")
		harness.Equal(t, "layers in "+name, len(harness.Entries(filepath.Join(data, "skiff/storage/overlay/l"))), 0)
		s.Unsetenv("XDG_DATA_HOME")
	}
}
