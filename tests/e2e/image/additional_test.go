package image_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// readsFrom makes the session's store read another one.
func readsFrom(s *harness.Session, graph string) {
	s.T.Helper()
	s.WriteFile(".config/containers/storage.conf", "[storage]\ndriver = \"overlay\"\n\n[storage.options]\nadditionalimagestores = [\n  \""+graph+"\", # shared\n]\n")
}

func TestAdditionalStore_IsUsedInPlace(t *testing.T) {
	s := harness.New(t)
	// Somebody else's store is one of ours elsewhere.
	elsewhere := s.Mkdir("elsewhere")
	s.Setenv("XDG_DATA_HOME", elsewhere)
	i := harness.BusyboxImage(t)
	i.Name = "shared:1"
	i.Layers = append(i.Layers, harness.Layer{harness.File("from", "elsewhere")})
	s.Load(i)
	id := s.Inspect("shared:1", "{{.Id}}")
	s.Unsetenv("XDG_DATA_HOME")
	before := harness.Snapshot(t, filepath.Join(elsewhere, "skiff/storage/overlay-images"))
	s.Skiff("images", "-q").Prints("")
	readsFrom(s, filepath.Join(elsewhere, "skiff/storage"))
	s.Skiff("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").Exits(0).Prints("shared:1 " + id[7:19])
	harness.Equal(t, "id", s.Inspect(id[7:20], "{{.Id}}"), id)
	s.Skiff("run", "--rm", "--network", "none", "shared:1", "cat", "/from").Exits(0).Prints("elsewhere")
	s.OK("run", "--name", "c1", "--network", "none", "shared:1", "sh", "-c", "echo mine >/from")
	s.Skiff("diff", "c1").Prints("C /from")
	s.Skiff("history", "-q", "shared:1").Exits(0)
	for _, line := range [][]string{{"rmi", "shared:1"}, {"rmi", "-f", id}, {"tag", "shared:1", "x"}, {"save", "-o", "x.tar", "shared:1"}, {"commit", "c1"}} {
		s.Skiff(line...).Exits(1).Complains("read-only store")
	}
	s.Skiff("image", "prune", "-af").Exits(0).Prints("Total reclaimed space: 0B")
	s.Skiff("system", "df", "--format", "{{.Type}} {{.TotalCount}}").Exits(0).Says("Images 0\n")
	s.OK("rm", "c1")
	// Nothing was copied, nothing was changed.
	if layers := s.Layers(); len(layers) > 0 {
		t.Errorf("layers in the own store: %v", layers)
	}
	harness.Equal(t, "the other store is as it was", harness.Snapshot(t, filepath.Join(elsewhere, "skiff/storage/overlay-images")) == before, true)
	// An image of one's own goes first, and is one's own.
	s.Load(i)
	s.Skiff("images", "-q").Prints(id[7:19])
	s.Skiff("rmi", "shared:1").Exits(0).Says("Deleted: " + id)
	s.Skiff("images", "-q").Prints(id[7:19])
	// A store that is not there is none; one that is damaged is named.
	readsFrom(s, "/nosuch/store")
	s.Skiff("images", "-q").Exits(0).Prints("")
	s.WriteFile("damaged/overlay-images/images.json", `[{"id":"`)
	readsFrom(s, filepath.Join(s.Home(), "damaged"))
	s.Skiff("images", "-q").Exits(1).Complains("additional image store " + filepath.Join(s.Home(), "damaged"))
	s.WriteFile(".config/containers/storage.conf", "[storage.options]\nadditionalimagestores = 1\n")
	s.Skiff("images").Exits(1).Complains("storage.conf: additionalimagestores is not a list of strings")
	s.Skiff("ps").Exits(0)
}

// An administrator's store is made by podman, belongs to root, and everybody
// reads it.
func TestAdditionalStore_OfPodman(t *testing.T) {
	harness.Requires(t, harness.Root, harness.CommandNamed("podman"))
	s := harness.New(t)
	i := harness.BusyboxImage(t)
	i.Name = "shared:2"
	archive := i.OCIArchive(t, filepath.Join(s.Dir, "x.tar"))
	graph := filepath.Join(s.Dir, "shared")
	podman := []string{"--root", graph, "--runroot", t.TempDir(), "--storage-driver", "overlay"}
	for _, args := range [][]string{
		append([]string{"podman"}, append(podman, "load", "-q", "-i", archive)...),
		{"podman", "--root", graph, "--runroot", podman[3], "--storage-driver", "overlay", "tag", "shared:2", "localhost/team/app:3"},
		{"chmod", "-R", "a+rX", graph},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("podman does not make a store here: %v: %v\n%s", args, err, out)
		}
	}
	readsFrom(s, graph)
	// podman's word for no registry is not docker's.
	s.Skiff("images", "--format", "{{.Repository}}:{{.Tag}}").Exits(0).PrintsMatch(`(shared:2\nteam/app:3|team/app:3\nshared:2)`)
	s.Skiff("run", "--rm", "--network", "none", "shared:2", "echo", "hi").Exits(0).Prints("hi")
	s.Skiff("run", "--rm", "--network", "none", "team/app:3", "sh", "-c", "echo x >/new && cat /new").Exits(0).Prints("x")
	if r := s.Skiff("rmi", "shared:2").Exits(1); !strings.Contains(r.Stderr, graph) {
		t.Errorf("does not say which store: %s", r.Stderr)
	}
}
