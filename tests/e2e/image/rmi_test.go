package image_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// twoImages loads base and app, which stands on base's layer.
func twoImages(t *testing.T, s *harness.Session) {
	t.Helper()
	base := harness.Busybox(t)
	top := harness.Layer{harness.File("etc/app", "app\n")}
	s.Load(harness.Image{Name: "base:1", Layers: []harness.Layer{base}, Config: map[string]any{"Labels": map[string]string{"part": "base"}}})
	s.Load(harness.Image{Name: "app:1", Layers: []harness.Layer{base, top}, Config: map[string]any{"Cmd": []string{"cat", "/etc/app"}}})
}

func layers(s *harness.Session) int {
	dirs, _ := filepath.Glob(filepath.Join(s.Store(), "storage/overlay/*/diff"))
	return len(dirs)
}

// TestRmi_TakesALayerWithItsLastUser removes images that share a layer, in both
// orders.
func TestRmi_TakesALayerWithItsLastUser(t *testing.T) {
	for _, order := range [][]string{{"base:1", "app:1"}, {"app:1", "base:1"}} {
		t.Run(order[0]+" first", func(t *testing.T) {
			s := harness.New(t)
			twoImages(t, s)
			harness.Equal(t, "layers of both", layers(s), 2)
			deleted := func(name string) []string {
				id := s.Inspect(name, "{{.Id}}")
				lines := strings.Split(s.Skiff("rmi", name).Exits(0).Out(), "\n")
				harness.Equal(t, "the first line", lines[0], "Untagged: "+name)
				harness.Equal(t, "the second line", lines[1], "Deleted: "+id)
				return lines[2:]
			}
			first, second := deleted(order[0]), deleted(order[1])
			all := slices.Concat(first, second)
			harness.Equal(t, "layers that are deleted", len(all), 2)
			for _, line := range all {
				if !strings.HasPrefix(line, "Deleted: sha256:") {
					t.Errorf("%q", line)
				}
			}
			if order[0] == "base:1" {
				harness.Equal(t, "layers deleted while app stands on them", len(first), 0)
			}
			harness.Equal(t, "layers left", layers(s), 0)
		})
	}
}

func TestRmi_TakesSeveralAndGoesOn(t *testing.T) {
	s := harness.New(t)
	twoImages(t, s)
	id := s.Inspect("app:1", "{{.Id}}")
	r := s.Skiff("rmi", "base:1", "nothing:1", id[7:12]).Exits(1).Complains("No such image: nothing:1")
	for _, line := range []string{"Untagged: base:1", "Untagged: app:1", "Deleted: " + id} {
		r.Says(line)
	}
	s.Skiff("images", "-aq").Exits(0).Prints("")
}

func TestRmi_OfWhatAContainerUses(t *testing.T) {
	s := harness.New(t)
	twoImages(t, s)
	s.OK("tag", "app:1", "other:1")
	c := s.OK("create", "--network", "none", "app:1")
	id := s.Inspect("app:1", "{{.Id}}")
	// Names may go as long as one is left, and with -f the last one too.
	s.Skiff("rmi", "other:1").Exits(0).Prints("Untagged: other:1")
	s.Skiff("rmi", "app:1").Exits(1).
		Complains("conflict: unable to delete app:1 (must be forced) - container " + c[:12] + " is using its referenced image " + id[7:19])
	s.OK("rmi", "-f", "app:1")
	s.Skiff("start", "-a", c).Exits(0).Prints("app")
	d := s.OK("run", "-d", "--network", "none", "base:1", "sleep", "1000")
	base := s.Inspect("base:1", "{{.Id}}")
	s.Skiff("rmi", "-f", base[7:19]).Exits(1).
		Complains("conflict: unable to delete " + base[7:19] + " (cannot be forced) - image is being used by running container " + d[:12])
}

func TestImages_Filters(t *testing.T) {
	s := harness.New(t)
	twoImages(t, s)
	s.OK("commit", s.OK("create", "base:1", "true"), "late:1")
	tests := []struct{ name, args, want string }{
		{"by label", "-f label=part=base --format {{.Repository}} base", "base"},
		{"by label that nobody has", "-f label=part=none -q", ""},
		{"since", "-f since=app:1 --format {{.Repository}}", "late"},
		{"before", "-f before=late:1 --format {{.Repository}} | sort", "app\nbase"},
		{"until", "-f until=2000-01-01 -q", ""},
		{"by two references", "-f reference=app -f reference=base --format {{.Repository}} | sort", "app\nbase"},
		{"by a glob", "--format {{.Repository}} 'la*'", "late"},
		{"a name that moved on leaves none", "-f dangling=true -q | wc -l", "0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { s.In(t).Shell("skiff images " + test.args).Exits(0).Prints(test.want) })
	}
	old := s.Inspect("base:1", "{{.Id}}")
	s.OK("tag", "app:1", "base:1")
	s.Shell("skiff images --no-trunc -f dangling=true --format '{{.Repository}} {{.Tag}} {{.ID}}'").Exits(0).Prints("<none> <none> " + old)
}
