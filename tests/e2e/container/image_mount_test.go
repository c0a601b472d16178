package container_test

import (
	"testing"

	"skiff/tests/harness"
)

// files loads an image of two layers, the upper of which removes a file of the
// lower.
func files(t *testing.T, s *harness.Session) string {
	t.Helper()
	return s.Load(harness.Image{
		Name: "files:1",
		Layers: []harness.Layer{
			{harness.Dir("d"), harness.File("d/kept", "kept\n"), harness.File("d/gone", "gone\n"), harness.File("top", "old\n")},
			{harness.File("d/.wh.gone", ""), harness.File("top", "new\n")},
		},
	})
}

func TestImageMount_ShowsFilesOfAnImage(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	files(t, s)
	run := func(args ...string) *harness.Result {
		t.Helper()
		return s.Skiff(append([]string{"run", "--rm", "--network", "none"}, args...)...)
	}
	for _, ids := range [][]string{nil, {"--userns", "keep-id", "-u", "0"}} {
		run(append(ids, "--mount", "type=image,source=files:1,target=/i", img, "sh", "-c",
			"cat /i/top; ls /i/d; echo x >/i/new && cat /i/new")...).Exits(0).Prints("new\nkept\nx")
	}
	// Nothing that was written reaches the image.
	run("--mount", "type=image,source=files:1,target=/i,readonly", img, "sh", "-c", "ls /i; echo x >/i/new").
		Exits(1).Prints("d\ntop").Complains("Read-only file system")
	run("--mount", "type=image,src=files:1,dst=/i/j,image-subpath=d", img, "sh", "-c", "ls /i/j; echo x >/i/j/new; ls /i/j").
		Exits(0).Prints("kept\nkept\nnew")
	harness.Equal(t, "what is left", s.OK("ps", "-aq"), "")
}

func TestImageMount_KeepsItsImage(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	files(t, s)
	sleeper(s, img, "--name", "it", "--mount", "type=image,source=files:1,target=/i")
	s.OK("exec", "it", "sh", "-c", "echo mine >/i/top")
	s.Skiff("exec", "it", "cat", "/i/top").Exits(0).Prints("mine")
	harness.Equal(t, "what inspect says", s.Inspect("it", `{{range .Mounts}}{{.Type}} {{.Source}} {{.Destination}} {{.RW}}{{end}}`), "image files:1 /i true")
	s.Skiff("system", "df", "--format", "{{.Type}} {{.Active}}").Exits(0).Says("Images 2")
	id := s.Inspect("files:1", "{{.Id}}")
	s.Skiff("rmi", "files:1").Exits(1).Complains("is using its referenced image")
	s.Skiff("rmi", "-f", id).Exits(1).Complains("image is being used by running container")
	s.OK("tag", "files:1", "files:2")
	s.Skiff("rmi", "files:1").Exits(0).Prints("Untagged: files:1")
	s.Skiff("image", "prune", "-a", "-f").Exits(0).Says("Total reclaimed space: 0B")
	s.OK("stop", "it")
	s.Skiff("cp", "it:/i/top", s.Home()).Exits(0)
	harness.Equal(t, "what was copied of the stopped one", s.ReadFile("top"), "mine\n")
	s.OK("start", "it")
	s.Skiff("exec", "it", "cat", "/i/top", "/i/d/kept").Exits(0).Prints("mine\nkept")
	s.OK("rm", "-f", "it")
	s.Skiff("image", "prune", "-a", "-f").Exits(0).Says("deleted: " + id)
	s.Skiff("inspect", "files:2").Exits(1)
}

func TestImageMount_RefusesWhatIsNot(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	files(t, s)
	for mount, want := range map[string]string{
		"source=nosuch,target=/i": "No such image: nosuch:latest",
		"target=/i":               "field Source must not be empty",
		"source=files:1,target=/i,image-subpath=../d": "must be relative and stay below the image",
		"source=files:1,target=/i,image-subpath=/d":   "must be relative and stay below the image",
		"source=files:1,target=/i,image-subpath=none": "open directory none of the image: no such file or directory",
		"source=files:1,target=/i,image-subpath=top":  "open directory top of the image: not a directory",
		"source=files:1,target=/i,volume-nocopy":      "cannot mix 'volume-*' options with mount type 'image'",
		"source=files:1,target=/proc/x":               "inside /proc",
	} {
		r := s.Skiff("run", "--rm", "--network", "none", "--mount", "type=image,"+mount, img, "true").Complains(want)
		if r.Code != 125 && r.Code != 127 { // 127, as docker: a file is missing
			t.Errorf("%s: exit code %d", mount, r.Code)
		}
	}
	s.Skiff("run", "--rm", "--mount", "type=bind,source=/,target=/i,image-subpath=d", img, "true").
		Exits(125).Complains("cannot mix 'image-*' options with mount type 'bind'")
	harness.Equal(t, "what is left", s.OK("ps", "-aq"), "")
}
