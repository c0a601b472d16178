package container_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"skiff/tests/harness"
)

// scenery is an image to change, and the line that changes it.
func scenery(t *testing.T) harness.Image {
	i := harness.BusyboxImage(t)
	i.Name = "scenery:1"
	i.Config["Healthcheck"] = map[string]any{"Test": []string{"CMD", "true"}, "Interval": 5000000000}
	i.Config["Labels"] = map[string]string{"kept": "yes"}
	i.Layers = append(i.Layers, harness.Layer{
		harness.Dir("d"), harness.File("d/old", "old"), harness.Dir("e"), harness.File("e/one", "1"), harness.File("e/two", "2"),
		harness.Dir("keep"), harness.File("keep/me", "kept"),
	})
	return i
}

const (
	changeIt = `rm -r /d && mkdir /d && echo n >/d/new && rm /e/one && echo changed >/e/two && mkdir -p /f/g && echo h >/f/g/h &&
		ln /f/g/h /f/hard && ln -s h /f/g/sym && mkfifo /f/pipe && chown 12:34 /f/g && chmod 4711 /f/g/h &&
		touch -d '2001-02-03 04:05:06' /f/g/h && touch "/f/a
b" && chmod 1777 /e`
	changes = "C /d\nA /d/new\nD /d/old\nC /e\nD /e/one\nC /e/two\nA /f\nA /f/a\\nb\nA /f/g\nA /f/g/h\nA /f/g/sym\nA /f/hard\nA /f/pipe"
)

func TestDiff_ListsWhatDockerLists(t *testing.T) {
	s := harness.New(t)
	image := s.Load(scenery(t))
	s.OK("run", "--name", "c1", "--network", "none", image, "sh", "-c", changeIt)
	s.Skiff("diff", "c1").Exits(0).Prints(changes)
	s.Skiff("container", "diff", "c1").Exits(0).Prints(changes)
	s.OK("create", "--name", "fresh", "--network", "none", image, "true")
	s.Skiff("diff", "fresh").Exits(0).Prints("")
	s.OK("run", "--name", "idle", "--network", "none", "-v", "/data", image, "true")
	s.Skiff("diff", "idle").Exits(0).Prints("A /data")
	s.Skiff("diff", "nosuch").Exits(1).Complains("No such container: nosuch")
	s.Skiff("diff").Exits(1).Complains("requires 1 argument")
}

func TestCommit_MakesAnImageOfTheChanges(t *testing.T) {
	s := harness.New(t)
	image := s.Load(scenery(t))
	s.OK("run", "--name", "c1", "--network", "none", image, "sh", "-c", changeIt)
	before := s.Skiff("export", "c1").Exits(0).Stdout
	id := s.OK("commit", "-a", "Ana <a@b.c>", "-m", "made by hand", "-c", "CMD [\"sh\"]", "-c", "ENV COLOUR=red",
		"--change", "LABEL more=1", "c1", "made:2")
	if !strings.HasPrefix(id, "sha256:") || len(id) != 71 {
		t.Errorf("prints %q", id)
	}
	harness.Equal(t, "id", s.Inspect("made:2", "{{.Id}}"), id)
	harness.Equal(t, "what is kept", s.Inspect("made:2",
		"{{.Author}}|{{.Comment}}|{{.Config.Cmd}}|{{.Config.Healthcheck.Test}}|{{.Config.Labels.kept}}{{.Config.Labels.more}}|{{len .RootFS.Layers}}"),
		"Ana <a@b.c>|made by hand|[sh]|[CMD true]|yes1|3")
	s.Skiff("run", "--rm", "--network", "none", "made:2", "sh", "-c", "echo $COLOUR").Prints("red")
	// A container of the new image is what the old one was.
	s.OK("create", "--name", "copy", "--network", "none", "made:2")
	after := s.Skiff("export", "copy").Exits(0).Stdout
	harness.Equal(t, "files", listing(t, s, after), listing(t, s, before))
	s.Skiff("diff", "copy").Prints("")
	// Without changes there is no layer, and a new image all the same.
	again := s.OK("commit", "copy")
	if again == id || s.Inspect(again, "{{len .RootFS.Layers}}") != "3" {
		t.Errorf("commit of nothing: %s, %s layers", again, s.Inspect(again, "{{len .RootFS.Layers}}"))
	}
}

// listing is what GNU tar says of an archive, modes, owners, times and all.
func listing(t *testing.T, s *harness.Session, archive string) string {
	t.Helper()
	path := s.WriteFile("listing.tar", archive)
	out, err := exec.Command("tar", "--numeric-owner", "--full-time", "--utc", "--exclude=etc", "-tvf", path).CombinedOutput()
	if err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	lines := strings.Split(string(out), "\n")
	for i, l := range lines {
		// Mount points are made anew, now.
		for _, ours := range []string{" proc/", " dev/", " sys/"} {
			if strings.HasSuffix(l, ours) {
				lines[i] = ours
			}
		}
	}
	return strings.Join(lines, "\n")
}

func TestCommit_OfARunningContainer(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	s.OK("run", "-d", "--name", "c1", "--network", "none", image, "sh", "-c", "echo one >/f; sleep 1000")
	s.Eventually("the file is written", func() bool { return strings.Contains(s.Skiff("diff", "c1").Stdout, "A /f\n") })
	s.OK("commit", "--no-pause", "c1", "live")
	s.Skiff("run", "--rm", "--network", "none", "live", "cat", "/f").Prints("one")
	harness.Equal(t, "running", s.Inspect("c1", "{{.State.Running}}"), "true")
	s.Skiff("export", "c1").Exits(0).Says("one\n")
	s.OK("rm", "-f", "c1")
}

func TestCommit_PausesWhatRuns(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	s.OK("run", "-d", "--name", "c1", "--network", "none", image, "sh", "-c", "while :; do sleep 1; done")
	pauses := func() int {
		return strings.Count(s.Skiff("events", "--since", "1h", "--until", "0s", "--filter", "event=pause", "--filter", "event=unpause").Stdout, "\n")
	}
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"--no-pause"}, 0},
		{[]string{"--pause=false"}, 0},
		{nil, 2},
		{[]string{"-p"}, 4},
	} {
		s.OK(append(append([]string{"commit"}, c.args...), "c1")...)
		harness.Equal(t, strings.Join(c.args, " ")+": pauses and resumptions", pauses(), c.want)
		harness.Equal(t, "afterwards", s.Inspect("c1", "{{.State.Status}}"), "running")
	}
	// What the user paused stays so.
	s.OK("pause", "c1")
	s.OK("commit", "c1")
	harness.Equal(t, "afterwards", s.Inspect("c1", "{{.State.Status}}"), "paused")
	s.OK("unpause", "c1")
	s.OK("rm", "-f", "c1")
}

// There is no daemon to resume what a killed commit has paused.
func TestCommit_KilledDoesNotLeaveThePause(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	s.OK("run", "-d", "--name", "c1", "--network", "none", image, "sh", "-c", "truncate -s 50G /large; touch /made; while :; do sleep 1; done")
	s.Eventually("the file is there", func() bool { return strings.Contains(s.Skiff("diff", "c1").Stdout, "A /made\n") })
	commit := s.Command(context.Background(), s.Binary(), "commit", "c1")
	if err := commit.Start(); err != nil {
		t.Fatal(err)
	}
	s.Eventually("it is paused", func() bool { return s.Inspect("c1", "{{.State.Status}}") == "paused" })
	// All of its process group, as a terminal's end would.
	if err := syscall.Kill(-commit.Process.Pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	_ = commit.Wait() // it was killed
	s.Eventually("it goes on", func() bool { return s.Inspect("c1", "{{.State.Status}}") == "running" })
	s.OK("rm", "-f", "c1")
	s.Alone()
}

func TestCommit_FailsAsDockerDoes(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	s.OK("create", "--name", "c1", "--network", "none", image)
	s.Skiff("commit", "nosuch").Exits(1).Complains("No such container: nosuch")
	s.Skiff("commit").Exits(1).Complains("requires at least 1 and at most 2 arguments")
	s.Skiff("commit", "c1", "UPPER").Exits(1).Complains("repository name (library/UPPER) must be lowercase")
	s.Skiff("commit", "c1", "x@sha256:"+strings.Repeat("0", 64)).Exits(1).Complains("refusing to create a tag with a digest reference")
	s.Skiff("commit", "-c", "RUN true", "c1").Exits(1).Complains("run is not a valid change command")
	s.Skiff("commit", "-c", "NOSUCH true", "c1").Exits(1).Complains("nosuch is not a valid change command")
	s.Skiff("images", "-aq").Prints(s.Inspect(image, "{{slice .Id 7 19}}"))
}

func TestExport_WritesTheRoot(t *testing.T) {
	s := harness.New(t)
	image := s.Load(scenery(t))
	s.OK("run", "--name", "c1", "--network", "none", "-v", "data:/data", image, "sh", "-c", changeIt+" && echo v >/data/inside")
	path := filepath.Join(s.Home(), "c.tar")
	s.Skiff("export", "-o", path, "c1").Exits(0).Silent()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	harness.Equal(t, "the stream", s.Skiff("export", "c1").Exits(0).Stdout == string(data), true)
	list := listing(t, s, string(data))
	for _, want := range []string{" d/new\n", " e/two\n", " keep/me\n", " f/hard link to f/g/h\n", "prw-", " 12/34 ", "2001-02-03 04:05:06", " data/\n", "-rws--x--x"} {
		if !strings.Contains(list, want) {
			t.Errorf("no %q in\n%s", want, list)
		}
	}
	for _, not := range []string{" d/old", "e/one", "inside"} {
		if strings.Contains(list, not) {
			t.Errorf("%q in\n%s", not, list)
		}
	}
	s.Skiff("volume", "rm", "-f", "data")
	s.OK("import", path, "again:1")
	s.Skiff("run", "--rm", "--network", "none", "again:1", "/bin/busybox", "cat", "/e/two").Prints("changed")
}

func TestExport_FailsAsDockerDoes(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	s.OK("create", "--name", "c1", "--network", "none", image)
	s.Skiff("export", "nosuch").Exits(1).Complains("No such container: nosuch")
	s.Skiff("export", "-o", "/nosuch/x", "c1").Exits(1).Complains("failed to export container: invalid output path: stat /nosuch: no such file or directory")
	s.Skiff("export", "-o", "/dev/null", "c1").Exits(1).Complains("failed to export container: cannot write to a character device file")
	s.Skiff("export", "-o", s.Home(), "c1").Exits(1).Complains("failed to export container: cannot write to a directory")
	// A file that cannot be written whole is not there at all, and what it would
	// have replaced still is.
	path := s.WriteFile("kept.tar", "precious")
	s.Skiff("export", "-o", path, "nosuch").Exits(1)
	harness.Equal(t, "the file", s.ReadFile("kept.tar"), "precious")
	harness.Equal(t, "files", strings.Join(harness.Entries(s.Home()), " "), ".local kept.tar")
}
