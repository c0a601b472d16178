package image_test

import (
	"regexp"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// gallery loads three images over one base: used by a container, named, and
// without a name.
func gallery(s *harness.Session) (used, named, dangling string) {
	s.T.Helper()
	base := harness.BusyboxImage(s.T)
	made := func(name, label string) string {
		i := base
		i.Name = name
		i.Layers = append(base.Layers[:1:1], harness.Layer{harness.File("own-"+label, strings.Repeat(label, 1000))})
		i.Config = map[string]any{"Cmd": []string{"sh"}, "Labels": map[string]string{"kind": label}}
		s.Load(i)
		return s.Inspect(name, "{{.Id}}")
	}
	dangling = made("gallery:1", "d")
	named = made("gallery:1", "n")
	used = made("gallery:2", "u")
	s.OK("create", "--name", "user", "--network", "none", "gallery:2")
	return used, named, dangling
}

func TestImagePrune_RemovesWhatNobodyUses(t *testing.T) {
	s := harness.New(t)
	used, named, dangling := gallery(s)
	s.SkiffInput(strings.NewReader("n\n"), "image", "prune").Exits(0).
		Prints("WARNING! This will remove all dangling images.\nAre you sure you want to continue? [y/N] ")
	s.Skiff("image", "prune", "-f", "--filter", "label=kind=n").Exits(0).Prints("Total reclaimed space: 0B")
	s.Skiff("image", "prune", "-f", "--filter", "until=2020-01-01").Exits(0).Prints("Total reclaimed space: 0B")
	s.SkiffInput(strings.NewReader("y\n"), "image", "prune").Exits(0).PrintsMatch(
		`WARNING! This will remove all dangling images.\nAre you sure you want to continue\? \[y/N\] Deleted Images:\n` +
			`deleted: ` + dangling + `\ndeleted: sha256:[0-9a-f]{64}\n\nTotal reclaimed space: 1kB`)
	s.SkiffInput(strings.NewReader(""), "image", "prune", "-a").Exits(0).
		Prints("WARNING! This will remove all images without at least one container associated to them.\nAre you sure you want to continue? [y/N] ")
	s.Skiff("image", "prune", "-af", "--filter", "label!=kind=n").Exits(0).Prints("Total reclaimed space: 0B")
	s.Skiff("image", "prune", "-a", "-f").Exits(0).PrintsMatch(
		`Deleted Images:\nuntagged: gallery:1\ndeleted: ` + named + `\ndeleted: sha256:[0-9a-f]{64}\n\nTotal reclaimed space: 1kB`)
	s.Skiff("images", "-aq", "--no-trunc").Prints(used)
	harness.Equal(t, "layers left", len(s.Layers()), 2)
	s.Skiff("image", "prune", "--filter", "nosuch=1", "-f").Exits(1).Complains("invalid filter 'nosuch'")
	s.Skiff("image", "prune", "--filter", "dangling=maybe", "-f").Exits(1).Complains("invalid filter 'dangling=[maybe]'")
	s.Skiff("image", "prune", "x").Exits(1).Complains("accepts no arguments")
}

func TestSystemDf_CountsAsDockerDoes(t *testing.T) {
	s := harness.New(t)
	s.Skiff("system", "df").Exits(0).Prints(strings.Join([]string{
		"TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE",
		"Images          0         0         0B        0B",
		"Containers      0         0         0B        0B",
		"Local Volumes   0         0         0B        0B",
		"Build Cache     0         0         0B        0B",
	}, "\n"))
	gallery(s)
	s.OK("run", "-d", "--name", "runs", "--network", "none", "-v", "data:/data", "gallery:2", "sh", "-c", "echo 12345 >/f; echo 1 >/data/f; sleep 1000")
	s.Eventually("the files are written", func() bool { return strings.Contains(s.Skiff("diff", "runs").Stdout, "A /f\n") })
	s.OK("volume", "create", "unused")
	s.Skiff("system", "df", "--format", "{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Reclaimable}}").Exits(0).PrintsMatch(
		`Images\|3\|1\|\d\.\d+MB \(99%\)\nContainers\|2\|1\|0B \(0%\)\nLocal Volumes\|2\|1\|0B \(0%\)\nBuild Cache\|0\|0\|0B`)
	s.Skiff("system", "df", "--format", "json").Exits(0).Says(`{"Active":"1","Reclaimable":"0B (0%)","Size":"6B","TotalCount":"2","Type":"Containers"}`)
	long := s.Skiff("system", "df", "-v").Exits(0)
	for _, want := range []string{
		"Images space usage:\n\nREPOSITORY   TAG       IMAGE ID", "SHARED SIZE   UNIQUE SIZE   CONTAINERS",
		"Containers space usage:\n\nCONTAINER ID", "LOCAL VOLUMES   SIZE", "Local Volumes space usage:\n\nVOLUME NAME   LINKS     SIZE\n", "unused        0         0B\n",
		"data          1         2B\n", "Build cache usage: 0B\n\nCACHE ID   CACHE TYPE   SIZE      CREATED   LAST USED   USAGE     SHARED",
	} {
		long.Says(want)
	}
	s.Skiff("system", "df", "-v", "--format", `{{range .Images}}{{.Repository}}:{{.Tag}} {{.UniqueSize}} {{.Containers}} {{end}}`).Exits(0).
		PrintsMatch(`(gallery:[12] 1kB [02] ){2}<none>:<none> 1kB 0 |.*<none>:<none> 1kB 0 .*`)
	s.Skiff("system", "df", "x").Exits(1).Complains("accepts no arguments")
	s.OK("rm", "-f", "runs")
	s.OK("volume", "rm", "data", "unused")
}

func TestSystemPrune_RemovesWhatNobodyUses(t *testing.T) {
	s := harness.New(t)
	used, named, dangling := gallery(s)
	s.OK("run", "-d", "--name", "runs", "--network", "none", "gallery:2", "sleep", "1000")
	s.OK("run", "--name", "ended", "--network", "none", "-v", "/anonymous", "-v", "named:/named", "gallery:2", "true")
	s.SkiffInput(strings.NewReader("n\n"), "system", "prune", "-a", "--volumes", "--filter", "label=x").Exits(0).Prints(`WARNING! This will remove:
  - all stopped containers
  - all networks not used by at least one container
  - all anonymous volumes not used by at least one container
  - all images without at least one container associated to them
  - all build cache

  Items to be pruned will be filtered with:
  - label=x

Are you sure you want to continue? [y/N] `)
	s.Skiff("system", "prune", "--volumes", "--filter", "until=1h").Exits(1).Complains(`The "until" filter is not supported with "--volumes"`)
	s.Skiff("system", "prune", "-f", "--filter", "until=24h").Exits(0)
	// Of another kind each: a network, and steps of a build.
	s.OK("network", "create", "idle")
	s.OK("network", "create", "--label", "keep", "kept")
	s.SkiffInput(strings.NewReader("FROM gallery:2\nRUN --network=none echo one >/one\nRUN --network=none echo two >/two\n"), "build", "-q", "-").Exits(0)
	s.Skiff("system", "prune", "-f", "--filter", "label!=keep").Exits(0).Says("Deleted Networks:\nidle\n\n")
	s.Skiff("network", "ls", "--filter", "type=custom", "--format", "{{.Name}}").Prints("kept")
	s.SkiffInput(strings.NewReader("FROM gallery:2\nRUN --network=none echo three >/three\n"), "build", "-q", "-").Exits(0)
	s.OK("run", "--name", "ended", "--network", "none", "-v", "/anonymous", "-v", "named:/named", "gallery:2", "true")
	id := s.Inspect("ended", "{{.Id}}")
	r := s.Skiff("system", "prune", "-f", "--volumes").Exits(0).Says("Deleted Containers:\n").Says(id + "\n")
	r.Says("Deleted Volumes:\n").Says("Total reclaimed space: ")
	if strings.Contains(r.Stdout, "\nnamed\n") {
		t.Error("a named volume was pruned")
	}
	if strings.Contains(s.OK("images", "-q", "--no-trunc"), dangling) {
		t.Error("the dangling image is left")
	}
	if order := regexp.MustCompile(`(?m)^Deleted (.*):$`).FindAllString(r.Stdout, -1); strings.Join(order, " ") !=
		"Deleted Containers: Deleted Networks: Deleted Volumes: Deleted Images: Deleted build cache objects:" {
		t.Errorf("the order is %q", order)
	}
	s.Skiff("images", "-q", "--no-trunc").Says(named)
	s.Skiff("builder", "du").Says("Total:\t").Says("0B")
	s.Skiff("system", "prune", "-af").Exits(0).Says("untagged: gallery:1\ndeleted: " + named + "\n")
	s.Skiff("images", "-aq", "--no-trunc").Prints(used)
	s.Skiff("volume", "ls", "-q").Prints("named")
	s.OK("rm", "-f", "runs")
	s.OK("volume", "rm", "named")
}

func TestHistory_ShowsTheSteps(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	s.OK("run", "--name", "c1", "--network", "none", image, "sh", "-c", "echo 1234567 >/f")
	s.OK("commit", "-m", "by hand", "c1", "app:1")
	s.OK("rm", "c1")
	id := s.Inspect("app:1", "{{.Id}}")
	s.Skiff("history", "app:1").Exits(0).PrintsMatch(
		`IMAGE          CREATED +CREATED BY +SIZE +COMMENT\n` +
			id[7:19] + `   (Less than a second|1 second|\d+ seconds) ago   sh -c echo 1234567 >/f +8B +by hand`)
	s.Skiff("image", "history", "-q", "--no-trunc", "app:1").Exits(0).Prints(id)
	s.Skiff("history", "--format", "{{.CreatedBy}}|{{.Size}}", "-H=false", "app:1").Exits(0).Prints("sh -c echo 1234567 >/f|8")
	// An image that says nothing of its history still has its layers' sizes.
	s.Skiff("history", "--format", "{{.ID}} {{.CreatedSince}} {{.Size}}", image).Exits(0).PrintsMatch(`[0-9a-f]{12} N/A \d\.\d+MB`)
	s.Skiff("history", "nosuch").Exits(1).Complains("No such image: nosuch:latest")
	s.Skiff("history").Exits(1).Complains("requires 1 argument")
}
