package build_test

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestCopy_ParentsExcludeAndLink(t *testing.T) {
	s, dir := begin(t, `FROM busybox
COPY --parents a/b/one.txt a/c /p/
COPY --parents ./a/./b/one.txt /pivot/
COPY --exclude=*.log --exclude=c a /x/
COPY --link a/b/one.txt /linked/deep/one
COPY --link --chown=5:6 --chmod=u=rw,go=r a/b/one.txt /linked/own
RUN cd / && find p pivot x linked -type f | sort && stat -c '%a %u:%g' /linked/own
`, "a/b/one.txt", "1", "a/c/two.txt", "2", "a/three.log", "3", "a/b/four.log", "4")
	r := s.Skiff("build", "--progress=plain", dir).Exits(0)
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^#\d+ \d+\.\d+ (.*)$`).FindAllStringSubmatch(r.Stderr, -1) {
		got = append(got, m[1])
	}
	harness.Equal(t, "what was copied", strings.Join(got, "\n"), strings.Join([]string{
		"linked/deep/one", "linked/own", "p/a/b/one.txt", "p/a/c/two.txt", "pivot/b/one.txt",
		"x/b/four.log", "x/b/one.txt", "644 5:6",
	}, "\n"))
	s.WriteFile("c/Dockerfile", "FROM busybox\nCOPY --link --chown=nobody a /x\n")
	s.Skiff("build", dir).Exits(1).Complains("can't be resolved when used with --link")
}

func TestBuild_AgentsAreLent(t *testing.T) {
	s, dir := begin(t, "FROM busybox\nRUN --mount=type=ssh [ -S \"$SSH_AUTH_SOCK\" ] && echo le''nt\nRUN [ -z \"$SSH_AUTH_SOCK\" ]\n")
	socket := filepath.Join(s.Dir, "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	s.Skiff("build", "--progress=plain", "--ssh", "default="+socket, dir).Exits(0).Complains(" lent\n")
	s.Setenv("SSH_AUTH_SOCK", socket)
	s.Skiff("build", "--progress=plain", "--no-cache", "--ssh", "default", dir).Exits(0).Complains(" lent\n")
	s.WriteFile("c/Dockerfile", "FROM busybox\nRUN --mount=type=ssh,required true\n")
	s.Skiff("build", dir).Exits(1).Complains("no SSH key \"default\" forwarded from the client")
	s.Skiff("build", "--ssh", "x=/nowhere", dir).Exits(1).Complains("failed to stat ssh agent socket")
}

func TestBuild_FilesThatItWrites(t *testing.T) {
	s, dir := begin(t, "FROM busybox AS one\nRUN cat /proc/sys/kernel/random/uuid > /a\nFROM one AS two\nRUN cat /proc/sys/kernel/random/uuid > /b\n")
	at := func(name string) string { return filepath.Join(s.Home(), name) }
	id := s.OK("build", "-q", "-t", "app:1", "-t", "other", "--iidfile", at("iid"), "--metadata-file", at("meta"), "--label", "k=v", "--label", "empty", dir)
	harness.Equal(t, "the ID file", s.ReadFile("iid"), id)
	for _, want := range []string{`"containerimage.config.digest": "` + id + `"`, `"image.name": "docker.io/library/app:1,docker.io/library/other:latest"`} {
		if !strings.Contains(s.ReadFile("meta"), want) {
			t.Errorf("metadata without %s:\n%s", want, s.ReadFile("meta"))
		}
	}
	harness.Equal(t, "labels", s.Inspect("other", "{{json .Config.Labels}}"), `{"empty":"","k":"v"}`)
	before := inside(s, "other", "cat /a /b")
	s.OK("build", "-q", "-t", "again", "--no-cache-filter", "two", dir)
	after := inside(s, "again", "cat /a /b")
	a, b := strings.Fields(before), strings.Fields(after)
	harness.Equal(t, "the first stage's step was cached, the second's not", a[0] == b[0] && a[1] != b[1], true)
	s.OK("build", "-q", "-t", "first", "--target", "one", dir)
	harness.Equal(t, "the target's files", inside(s, "first", "ls /a; [ ! -e /b ]"), "/a")
	s.Skiff("build", "--target", "three", dir).Exits(1).Complains(`target stage "three" could not be found`)
	s.Skiff("build", "--iidfile", "/nowhere/x", dir).Exits(1).Complains("failed to write image ID file")
}

// --pull asks the registry even when the store has an image of that name.
func TestBuild_Pull(t *testing.T) {
	s, dir := begin(t, "")
	r := harness.NewRegistry(t)
	first := harness.BusyboxImage(t)
	ref := r.Push(t, first, "base:1")
	s.WriteFile("c/Dockerfile", "FROM "+ref+"\n")
	s.OK("build", "-q", dir)
	second := harness.BusyboxImage(t)
	second.Config["Labels"] = map[string]string{"v": "2"}
	r.Push(t, second, "base:1")
	harness.Equal(t, "without --pull", s.Inspect(s.OK("build", "-q", dir), "{{.Config.Labels}}"), "map[]")
	harness.Equal(t, "with --pull", s.Inspect(s.OK("build", "-q", "--pull", dir), "{{.Config.Labels}}"), "map[v:2]")
}
