package build_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skiff/tests/harness"
)

// begin is a session with the image busybox and a context of these files; the
// first is the Dockerfile.
func begin(t *testing.T, dockerfile string, files ...string) (*harness.Session, string) {
	t.Helper()
	s := harness.New(t)
	s.LoadBusybox()
	s.WriteFile("c/Dockerfile", dockerfile)
	for i := 0; i < len(files); i += 2 {
		s.WriteFile("c/"+files[i], files[i+1])
	}
	return s, filepath.Join(s.Home(), "c")
}

// inside runs a line of shell in an image.
func inside(s *harness.Session, image, line string) string {
	s.T.Helper()
	return s.OK("run", "--rm", "--network", "none", image, "sh", "-c", line)
}

func TestBuild_MakesAnImage(t *testing.T) {
	s, dir := begin(t, `FROM busybox AS base
ARG GREETING=hello
LABEL a.b="c d"
RUN echo $GREETING > /greeting
ENV NAME=world TWO="a b"
WORKDIR /work
COPY --chown=33:44 --chmod=640 file sub/ /data/
COPY link* /links/
ADD ["sp ace", "/data/"]
USER 33
EXPOSE 80 53/udp
VOLUME /vol
STOPSIGNAL SIGINT
HEALTHCHECK --interval=3s CMD true
SHELL ["/bin/sh", "-e", "-c"]
ONBUILD RUN echo child > /child
ENTRYPOINT ["cat"]
CMD ["/greeting"]
`, "file", "one\n", "sub/in", "two\n", "sp ace", "three\n", "link-target", "l\n")
	r := s.Skiff("build", "-t", "app", "-t", "other:2", "--build-arg", "GREETING=hi", "--label", "x=y", dir).Exits(0)
	r.Complains("[2/6] RUN echo hi > /greeting").Complains("naming to docker.io/library/other:2 done")
	harness.Equal(t, "standard output", r.Stdout, "")
	harness.Equal(t, "the image's program", s.OK("run", "--rm", "--network", "none", "app"), "hi")
	harness.Equal(t, "files", s.OK("run", "--rm", "--network", "none", "--entrypoint", "sh", "-u", "0", "other:2", "-c",
		"pwd; stat -c '%a %u:%g %n' /data /data/file /data/in '/data/sp ace' /work /links/link-target; cat /data/*"),
		"/work\n755 33:44 /data\n640 33:44 /data/file\n640 33:44 /data/in\n644 0:0 /data/sp ace\n755 0:0 /work\n644 0:0 /links/link-target\none\ntwo\nthree")
	for template, want := range map[string]string{
		"{{json .Config.Env}}":                                           `["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","NAME=world","TWO=a b"]`,
		"{{json .Config.Labels}}":                                        `{"a.b":"c d","x":"y"}`,
		"{{json .Config.ExposedPorts}}":                                  `{"53/udp":{},"80/tcp":{}}`,
		"{{json .Config.Volumes}}":                                       `{"/vol":{}}`,
		"{{json .Config.Healthcheck.Test}}":                              `["CMD-SHELL","true"]`,
		"{{json .Config.Shell}}":                                         `["/bin/sh","-e","-c"]`,
		"{{json .Config.OnBuild}}":                                       `["RUN echo child \u003e /child"]`,
		"{{.Config.User}} {{.Config.WorkingDir}} {{.Config.StopSignal}}": "33 /work SIGINT",
	} {
		if got := strings.ReplaceAll(s.Inspect("app", template), ">", `\u003e`); got != want {
			t.Errorf("%s: %s, want %s", template, got, want)
		}
	}
	history := s.OK("history", "--no-trunc", "--format", "{{.CreatedBy}}", "app")
	for _, line := range []string{
		`CMD ["/greeting"]`, `ENTRYPOINT ["cat"]`, "SHELL [/bin/sh -e -c]", "STOPSIGNAL SIGINT", "VOLUME [/vol]", "EXPOSE [53/udp 80/tcp]", "USER 33",
		"ADD sp ace /data/ # buildkit", "COPY --chown=33:44 --chmod=640 file sub/ /data/ # buildkit", "WORKDIR /work",
		"ENV NAME=world TWO=a b", "RUN |1 GREETING=hi /bin/sh -c echo $GREETING > /greeting # buildkit", "LABEL a.b=c d", "ARG GREETING=hi",
	} {
		if !strings.Contains("\n"+history+"\n", "\n"+line+"\n") {
			t.Errorf("history lacks %q:\n%s", line, history)
		}
	}

	// A child runs what its base wants.
	s.WriteFile("child/Dockerfile", "FROM app\nUSER 0\n")
	s.Skiff("build", "-q", "-t", "child", filepath.Join(s.Home(), "child")).Exits(1).Complains("> [2/2] ONBUILD RUN echo child > /child:")
	s.WriteFile("child/Dockerfile", "FROM busybox\nONBUILD RUN echo child > /child\n")
	s.OK("build", "-q", "-t", "parent", filepath.Join(s.Home(), "child"))
	s.WriteFile("child/Dockerfile", "FROM parent\n")
	s.OK("build", "-q", "-t", "child", filepath.Join(s.Home(), "child"))
	harness.Equal(t, "what ONBUILD made", inside(s, "child", "cat /child"), "child")
	harness.Equal(t, "ONBUILD of the child", s.Inspect("child", "{{json .Config.OnBuild}}"), "null")
}

func TestBuild_RemembersWhatWasDone(t *testing.T) {
	s, dir := begin(t, "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /id\nCOPY f /\nRUN echo after\n", "f", "1")
	id := s.OK("build", "-q", "-t", "a", dir)
	mark := inside(s, "a", "cat /id")
	harness.Equal(t, "the same build", s.OK("build", "-q", "-t", "a", dir), id)

	// A time is nothing new, a mode and contents are.
	when := time.Unix(1000, 0)
	if err := os.Chtimes(filepath.Join(dir, "f"), when, when); err != nil {
		t.Fatal(err)
	}
	harness.Equal(t, "with another time", s.OK("build", "-q", dir), id)
	s.WriteFile("c/f", "2")
	changed := s.OK("build", "-q", "-t", "b", dir)
	if changed == id {
		t.Error("a changed file is not noticed")
	}
	harness.Equal(t, "what came before the change", inside(s, "b", "cat /id /f"), mark+"\n2")
	r := s.Skiff("build", dir).Exits(0)
	if strings.Count(r.Stderr, "CACHED") != 4 {
		t.Errorf("want four cached steps:\n%s", r.Stderr)
	}
	s.OK("build", "-q", "-t", "n", "--no-cache", dir)
	if inside(s, "n", "cat /id") == mark {
		t.Error("--no-cache used the cache")
	}

	// What an image took along is made again when the image is gone.
	s.OK("rmi", "-f", "n", "a", "b", id, changed)
	s.OK("build", "-q", "-t", "again", dir)
	inside(s, "again", "cat /id /f")
}

// reliability.md A-56: what counts is what the base is, not its name.
func TestBuild_A56_AnotherBaseUnderTheSameName(t *testing.T) {
	s, dir := begin(t, "FROM base\nRUN cp /mark /copy\n")
	for _, mark := range []string{"one", "two"} {
		s.WriteFile("b/Dockerfile", "FROM busybox\nRUN echo "+mark+" > /mark\n")
		s.OK("build", "-q", "-t", "base", filepath.Join(s.Home(), "b"))
		s.OK("build", "-q", "-t", "app", dir)
		harness.Equal(t, "the copy", inside(s, "app", "cat /copy"), mark)
	}
}

func TestBuild_StagesAreBuiltOnlyIfNeeded(t *testing.T) {
	s, dir := begin(t, `FROM busybox AS first
RUN echo 1 > /one
FROM busybox AS broken
RUN false
FROM first AS second
RUN echo 2 > /two
FROM scratch
COPY --from=second /one /two /
COPY --from=0 /one /again
COPY --from=busybox /bin/busybox /
CMD ["/busybox", "cat", "/one", "/two", "/again"]
`)
	s.OK("build", "-q", "-t", "app", dir)
	harness.Equal(t, "files of stages", s.OK("run", "--rm", "--network", "none", "app"), "1\n2\n1")
	s.OK("build", "-q", "-t", "one", "--target", "FIRST", dir)
	harness.Equal(t, "the target", inside(s, "one", "ls /two 2>/dev/null; cat /one"), "1")
	s.Skiff("build", "--target", "broken", dir).Exits(1).Complains(`did not complete successfully: exit code: 1`)
	s.Skiff("build", "--target", "none", dir).Exits(1).Complains(`target stage "none" could not be found`)
}

func TestBuild_FailsAsDockerDoes(t *testing.T) {
	s, dir := begin(t, "FROM busybox\nRUN echo some output; exit 3\n")
	s.Skiff("build", dir).Exits(1).Complains(`------
 > [2/2] RUN echo some output; exit 3:
some output
------
Dockerfile:2
--------------------
   1 |     FROM busybox
   2 | >>> RUN echo some output; exit 3
   3 |     
--------------------
ERROR: failed to solve: process "/bin/sh -c echo some output; exit 3" did not complete successfully: exit code: 3
`)
	for text, want := range map[string]string{
		"FROM busybox\nCOPY nothere /\n":                    `"/nothere": not found`,
		"FROM busybox\nCOPY ../../etc/passwd /\n":           `"/etc/passwd": not found`,
		"FROM busybox\nFROB\n":                              "unknown instruction: FROB",
		"# syntax=evil/frontend\nFROM busybox\n":            "is not supported",
		"FROM busybox\nRUN --security=insecure true\n":      "security.insecure is not allowed",
		"FROM busybox\nCOPY http://127.0.0.1/x /\n":         "source can't be a URL for COPY",
		"FROM busybox\nCOPY --chmod=9 Dockerfile /\n":       "invalid chmod parameter",
		"FROM busybox\nCOPY --chown=nobody1 Dockerfile /\n": "nobody1",
		"FROM busybox\nRUN [\"/nosuch\"]\n":                 "exit code: 127",
		"FROM scratch\nRUN true\n":                          "exit code: 127",
		"FROM busybox\nSTOPSIGNAL FOO\n":                    "invalid signal",
		"FROM busybox\nCOPY a b /c\n":                       "the destination must be a directory",
		"\n":                                                "cannot be empty",
	} {
		s.WriteFile("c/Dockerfile", text)
		s.Skiff("build", "-q", dir).Exits(1).Complains(want)
	}
	s.Skiff("build").Exits(1).Complains("requires 1 argument")
	s.Skiff("build", "-t", "UPPER", dir).Exits(1).Complains("invalid tag")
	s.Skiff("build", filepath.Join(s.Home(), "nosuch")).Exits(1).Complains("not found")
	s.Skiff("build", "-f", "nosuch", dir).Exits(1).Complains("failed to read dockerfile: open nosuch: no such file or directory")
	harness.Equal(t, "images", s.OK("images", "-q", "-f", "dangling=true"), "")
}

func TestBuild_FromStandardInput(t *testing.T) {
	s, dir := begin(t, "FROM busybox\n", "f", "of the context")
	s.SkiffInput(strings.NewReader("FROM busybox\nRUN echo in > /out\n"), "build", "-q", "-t", "a", "-").Exits(0)
	harness.Equal(t, "a Dockerfile alone", inside(s, "a", "cat /out"), "in")
	s.SkiffInput(strings.NewReader("FROM busybox\nCOPY f /\n"), "build", "-q", "-t", "b", "-f", "-", dir).Exits(0)
	harness.Equal(t, "with a context", inside(s, "b", "cat /f"), "of the context")
	s.SkiffInput(strings.NewReader("FROM busybox\nCOPY f /\n"), "build", "-").Exits(1).Complains("there is none")
}

func TestBuild_LeavesOutWhatIsIgnored(t *testing.T) {
	s, dir := begin(t, "FROM busybox\nCOPY . /all/\n", ".dockerignore", "*.log\n# comment\nnode_modules\n!node_modules/keep\n/sub/*/x\n**/deep\n!important.log\nDockerfile\n",
		"a.log", "", "important.log", "", "b.txt", "", "node_modules/no", "", "node_modules/keep", "", "sub/one/x", "", "sub/one/y", "", "p/q/deep/z", "", "p/q/r", "")
	s.OK("build", "-q", "-t", "app", dir)
	harness.Equal(t, "what was copied", inside(s, "app", "cd /all; find . -type f | sort"),
		"./.dockerignore\n./b.txt\n./important.log\n./node_modules/keep\n./p/q/r\n./sub/one/y")
	s.WriteFile("c/Dockerfile.dockerignore", "*\n!b.txt\n")
	s.OK("build", "-q", "-t", "app", dir)
	harness.Equal(t, "its own ignore file wins", inside(s, "app", "cd /all; find . -type f | sort"), "./b.txt")
	s.WriteFile("c/Dockerfile", "FROM busybox\nCOPY a.log /\n")
	s.Skiff("build", "-q", dir).Exits(1).Complains(`"/a.log": not found`)
}

// Nothing is in the store before the first image.
func TestBuild_FirstOfAll(t *testing.T) {
	s := harness.New(t)
	s.WriteFile("c/Dockerfile", "FROM scratch\nCOPY Dockerfile /d\n")
	s.OK("build", "-q", "-t", "app", s.Home()+"/c")
	harness.Equal(t, "layers", s.Inspect("app", "{{len .RootFS.Layers}}"), "1")
}
