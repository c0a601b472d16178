package container_test

import (
	"os"
	"path/filepath"
	"testing"

	"skiff/tests/harness"
)

func TestCp_BothWays(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "up", "--tmpfs", "/mem")
	s.OK("create", "--name", "made", img, "true")
	s.WriteFile("tree/sub/file", "content\n")
	s.WriteFile("plain", "plain\n")
	home := s.Home()
	for _, c := range []string{"up", "made"} {
		t.Run(c, func(t *testing.T) {
			s := s.In(t)
			s.OK("cp", filepath.Join(home, "plain"), c+":/tmp/")
			s.OK("cp", filepath.Join(home, "plain"), c+":/tmp/renamed")
			s.OK("cp", filepath.Join(home, "tree"), c+":/tmp")
			s.OK("cp", filepath.Join(home, "tree")+"/.", c+":/tmp/into")
			s.OK("cp", c+":/tmp/plain", filepath.Join(home, "back-"+c))
			harness.Equal(t, "a file there and back", s.ReadFile("back-"+c), "plain\n")
			s.OK("cp", c+":/tmp/renamed", filepath.Join(home, "renamed-"+c))
			harness.Equal(t, "a renamed file", s.ReadFile("renamed-"+c), "plain\n")
			s.OK("cp", c+":/tmp/tree", filepath.Join(home, "tree-"+c))
			harness.Equal(t, "a directory there and back", s.ReadFile("tree-"+c+"/sub/file"), "content\n")
			s.OK("cp", c+":/tmp/into/.", filepath.Join(home, "into-"+c))
			harness.Equal(t, "a directory's contents", s.ReadFile("into-"+c+"/sub/file"), "content\n")
			harness.Equal(t, "the owner outside", harness.Owner(t, filepath.Join(home, "back-"+c)), s.UID())
			s.Shell("skiff cp " + c + ":/tmp/tree - | tar t").Exits(0).Says("tree/sub/file")
			s.Shell("cd ~/tree && tar c sub | skiff cp - " + c + ":/home").Exits(0)
			s.Shell("skiff cp " + c + ":/home/sub/file - | tar xO").Exits(0).Prints("content")
			s.Skiff("cp", c+":/nosuch", home).Exits(1).Complains("Could not find the file /nosuch in container " + c)
			s.Skiff("cp", home+"/plain", c+":/no/such/dir/").Exits(1)
			s.Skiff("cp", home+"/nosuch", c+":/tmp").Exits(1).Complains("nosuch")
		})
	}
	s.OK("cp", filepath.Join(home, "plain"), "up:/mem/f")
	s.Skiff("exec", "up", "cat", "/mem/f").Exits(0).Prints("plain")
	s.Skiff("exec", "up", "stat", "-c", "%u:%g", "/tmp/plain").Exits(0).Prints("0:0")
	s.Skiff("cp", "up:/etc", "made:/tmp").Exits(1).Complains("copying between containers is not supported")
	s.Skiff("cp", home+"/plain", home+"/other").Exits(1).Complains("must specify at least one container source")
	s.Skiff("cp", "nothing:/etc/passwd", home).Exits(1).Complains("No such container: nothing")
}

// The row A-38 of the attack table, its static cases.
func TestCp_NeverFollowsLinksToTheHost(t *testing.T) {
	s := harness.New(t)
	canary := s.Mkdir("canary")
	s.WriteFile("canary/secret", "secret\n")
	s.WriteFile("x", "x\n")
	i := harness.BusyboxImage(t)
	i.Layers = append(i.Layers, harness.Layer{
		harness.Symlink("out", canary),
		harness.Symlink("up", "../../../../../../../.."+canary),
		harness.Symlink("self", "/proc/self/root"+canary),
	})
	img := s.Load(i)
	sleeper(s, img, "--name", "up")
	s.OK("create", "--name", "made", img, "true")
	for _, c := range []string{"up", "made"} {
		for _, link := range []string{"out", "up", "self"} {
			s.Skiff("cp", filepath.Join(s.Home(), "x"), c+":/"+link+"/planted")
			s.Skiff("cp", c+":/"+link+"/secret", filepath.Join(s.Home(), "stolen"))
			if _, err := os.Stat(filepath.Join(s.Home(), "stolen")); err == nil {
				t.Errorf("%s: read a file of the host through /%s", c, link)
			}
		}
	}
	harness.Equal(t, "files beside the secret", len(harness.Entries(canary)), 1)
}
