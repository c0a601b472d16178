package build_test

import (
	"encoding/json"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestProgress_OnATerminal(t *testing.T) {
	s, dir := begin(t, "FROM busybox\nRUN echo li''ne; sleep 1\nRUN true\n")
	c := s.Terminal("build", "-t", "app", dir)
	c.Expect("[+] Building")
	c.Expect(" => => # line")
	c.Expect("FINISHED")
	c.Expect(" => [3/3] RUN true")
	c.Expect(" => => naming to docker.io/library/app:latest")
	c.Exits(0)
	c = s.Terminal("build", dir)
	c.Expect("FINISHED")
	c.Expect(" => CACHED [2/3] RUN echo")
	c.Exits(0)

	s.WriteFile("c/Dockerfile", "FROM busybox\nRUN echo why; exit 3\n")
	c = s.Terminal("build", "--progress=tty", dir)
	c.Expect(" => ERROR [2/2] RUN echo why")
	c.Expect("------")
	c.Expect("exit code: 3")
	c.Exits(1)
	s.Skiff("build", "--progress=tty", dir).Exits(1).Complains("failed to get console: provided file is not a console")
}

func TestProgress_RawJSON(t *testing.T) {
	s, dir := begin(t, "FROM busybox\nRUN echo line; echo error >&2\n")
	r := s.Skiff("build", "--progress=rawjson", dir).Exits(0)
	var logs string
	completed := 0
	for _, line := range strings.Split(strings.TrimSpace(r.Stderr), "\n") {
		var status struct {
			Vertexes []struct{ Name, Completed string }
			Logs     []struct {
				Stream int
				Data   []byte
			}
		}
		if err := json.Unmarshal([]byte(line), &status); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		for _, v := range status.Vertexes {
			if v.Completed != "" {
				completed++
			}
		}
		for _, l := range status.Logs {
			logs += string(l.Data)
		}
	}
	if completed < 4 || !strings.Contains(logs, "line\n") || !strings.Contains(logs, "error\n") {
		t.Errorf("%d completed, logs %q:\n%s", completed, logs, r.Stderr)
	}
	s.Setenv("BUILDKIT_PROGRESS", "plain")
	s.Skiff("build", dir).Exits(0).Complains("#1 [internal] load build definition")
	s.Skiff("build", "--progress=fancy", dir).Exits(1).Complains("invalid progress mode fancy")
}

func TestBuild_Ulimit(t *testing.T) {
	s, dir := begin(t, "FROM busybox\nRUN ulimit -n; ulimit -Hn\n")
	s.Skiff("build", "--ulimit", "nofile=123:456", dir).Exits(0).Complains(" 123\n").Complains(" 456\n")
	s.Skiff("build", "--ulimit", "nofile=9:1", dir).Exits(1).Complains("ulimit soft limit must be less than or equal to hard limit")
	harness.Equal(t, "images", s.OK("images", "-q", "app"), "")
}

// With DOCKER_BUILDKIT=0 scripts read what they always read.
func TestProgress_OfTheFirstBuilder(t *testing.T) {
	s, dir := begin(t, "FROM busybox AS a\nRUN echo in a\nFROM busybox AS unused\nRUN false\nFROM busybox\nENV A=1\nCOPY --from=a /bin/busybox /b\nRUN echo $A; echo err >&2\nCMD [\"x\"]\n")
	s.Setenv("DOCKER_BUILDKIT", "0")
	r := s.Skiff("build", "-t", "app", dir).Exits(0).PrintsMatch(`Step 1/7 : FROM busybox
Step 2/7 : ENV A=1
Step 3/7 : FROM busybox AS a
Step 4/7 : RUN echo in a
in a
Step 5/7 : COPY --from=a /bin/busybox /b
Step 6/7 : RUN echo 1; echo err >&2
(1\nerr|err\n1)
Step 7/7 : CMD \["x"\]
Successfully built [0-9a-f]{12}
Successfully tagged app:latest`)
	harness.Equal(t, "standard error", r.Stderr, "")
	s.Skiff("build", dir).Exits(0).Says("Step 4/7 : RUN echo in a\n ---> Using cache\n")
	s.WriteFile("c/Dockerfile", "FROM busybox\nRUN exit 9\n")
	r = s.Skiff("build", dir).Exits(9)
	harness.Equal(t, "standard error", r.Stderr, "The command '/bin/sh -c exit 9' returned a non-zero code: 9\n")
}
