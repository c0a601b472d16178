package container_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"skiff/tests/harness"
)

func TestLogs_KeepsStreamsApart(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "it", "--network", "none", img, "sh", "-c", "echo one; sleep 0.1; echo two >&2; sleep 0.1; echo three; printf no-newline")
	s.OK("wait", "it")
	r := s.Skiff("logs", "it").Exits(0)
	harness.Equal(t, "standard output", r.Stdout, "one\nthree\nno-newline")
	harness.Equal(t, "standard error", r.Stderr, "two\n")
	s.Skiff("logs", "--tail", "1", "it").Exits(0).Prints("no-newline")
	s.Skiff("logs", "-n", "0", "it").Exits(0).Silent()
	s.Skiff("logs", "nothing").Exits(1).Complains("No such container: nothing")
	s.Skiff("logs", "--tail", "many", "it").Exits(0).Says("one") // as docker: not a number is all
}

func TestLogs_ByTime(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "--name", "it", "--network", "none", img, "sh", "-c", "echo early; sleep 2; echo late")
	r := s.Skiff("logs", "-t", "it").Exits(0)
	lines := strings.Split(r.Out(), "\n")
	stamp := regexp.MustCompile(`^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) (early|late)$`)
	if len(lines) != 2 || !stamp.MatchString(lines[0]) || !stamp.MatchString(lines[1]) {
		t.Fatalf("logs -t = %q", lines)
	}
	first, err := time.Parse(time.RFC3339Nano, stamp.FindStringSubmatch(lines[0])[1])
	if err != nil {
		t.Fatal(err)
	}
	between := first.Add(time.Second).Format(time.RFC3339Nano)
	s.Skiff("logs", "--since", between, "it").Exits(0).Prints("late")
	s.Skiff("logs", "--until", between, "it").Exits(0).Prints("early")
	s.Skiff("logs", "--since", "1h", "it").Exits(0).Prints("early\nlate")
	s.Skiff("logs", "--since", "yesterday-ish", "it").Exits(1)
}

func TestLogs_FollowsToTheEnd(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "it", "--network", "none", img, "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.2; done")
	s.Skiff("logs", "-f", "it").Exits(0).Prints("1\n2\n3\n4\n5")
	s.Skiff("logs", "-f", "--tail", "2", "it").Exits(0).Prints("4\n5")
}

func TestLogs_ReturnsTheBytesThatWereWritten(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "it", "--network", "none", img, "sh", "-c", `head -c 300000 /dev/urandom >/b; cat /b; sha256sum /b >&2`)
	s.OK("wait", "it")
	s.Shell(`test "$(skiff logs it 2>/dev/null | sha256sum | cut -c1-64)" = "$(skiff logs it 2>&1 >/dev/null | cut -c1-64)"`).Exits(0)
}

// With the driver passthrough the container has the caller's own streams.
func TestLogs_PassthroughCopiesNothing(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	run := "skiff run --network none --log-driver passthrough "
	r := s.Shell(run + "--rm " + img + " sh -c 'echo out; echo err >&2; exit 3'").Exits(3).Prints("out")
	harness.Equal(t, "standard error", r.Stderr, "err\n")
	// The very file, not a pipe to somebody who copies.
	s.Shell("echo typed | " + run + "--name box -i " + img + " sh -c 'cat; stat -Lc %i /proc/self/fd/1' >said; [ $(tail -1 said) = $(stat -c %i said) ] && head -1 said").Exits(0).Prints("typed")
	s.Shell("echo typed | " + run + "--rm " + img + " cat").Exits(0).Prints("")
	s.Skiff("logs", "box").Exits(1).Complains("configured logging driver does not support reading")
	// Started by somebody who does not stay, it has no streams.
	s.Skiff("start", "box").Exits(0).Prints("box")
	s.OK("rm", "-f", "box")
	s.Shell(run + "-d " + img).Exits(125).Complains("conflicting options: --detach and --log-driver=passthrough")
	s.Shell(run + "-t " + img).Exits(125).Complains("conflicting options: --tty and --log-driver=passthrough")
	s.Shell("script -qec '" + run + "--rm " + img + " true' /dev/null").Exits(125).Says("those are a terminal: redirect them")
}
