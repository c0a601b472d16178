package container_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"skiff/tests/harness"
)

// busy starts a container whose processes count in a file, a child too.
func busy(s *harness.Session, image, name string, flags ...string) string {
	s.T.Helper()
	args := append([]string{"run", "-d", "--network", "none", "--name", name}, flags...)
	return s.OK(append(args, image, "sh", "-c",
		"(while :; do date +%s%N >/child; sleep 0.02; done) & trap 'exit 7' TERM; while :; do date +%s%N >/parent; sleep 0.02; done")...)
}

func states(s *harness.Session, name string) string {
	s.T.Helper()
	lines := strings.Split(s.OK("top", name, "-o", "pid,s"), "\n")[1:]
	var all []string
	for _, l := range lines {
		all = append(all, strings.Fields(l)[1])
	}
	return strings.Join(all, "")
}

func TestPause_StopsEveryProcess(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	id := busy(s, img, "it")
	s.Eventually("it runs", func() bool { return s.Skiff("exec", "it", "test", "-s", "/parent", "-a", "-s", "/child").Code == 0 })
	s.Skiff("pause", "it").Exits(0).Prints("it")
	if got := states(s, "it"); strings.Trim(got, "TDtZ") != "" || len(got) < 2 {
		t.Errorf("states of a paused container: %s", got)
	}
	s.Skiff("ps", "--format", "{{.State}} {{.Status}}").PrintsMatch(`paused Up .* \(Paused\)`)
	harness.Equal(t, "the state", s.Inspect("it", "{{.State.Status}} {{.State.Running}} {{.State.Paused}}"), "paused true true")
	s.Skiff("ps", "-q", "--no-trunc", "-f", "status=paused").Prints(id)
	before := s.OK("cp", "it:/parent", "-")
	time.Sleep(100 * time.Millisecond)
	harness.Equal(t, "the file of a paused container changes", s.OK("cp", "it:/parent", "-") == before, true)

	s.Skiff("pause", "it").Exits(1).Complains("container " + id + " is already paused")
	s.Skiff("exec", "it", "true").Exits(1).Complains("Container it is paused, unpause the container before exec")
	s.Skiff("start", "it").Exits(1).Complains("cannot start a paused container, try unpause instead")
	s.Skiff("attach", "it").Exits(1).Complains("You cannot attach to a paused container, unpause it first")
	s.Skiff("rm", "it").Exits(1).Complains(`cannot remove container "it": container is paused and must be unpaused first`)

	s.Skiff("unpause", "it").Exits(0).Prints("it")
	s.Eventually("it goes on", func() bool { return s.OK("cp", "it:/parent", "-") != before })
	s.Skiff("unpause", "it").Exits(1).Complains("Container " + id + " is not paused")
	s.Skiff("ps", "--format", "{{.State}}").Prints("running")
	harness.Equal(t, "the events", strings.Join(told(s, "-f", "event=pause", "-f", "event=unpause", "--format", "{{.Action}}"), " "), "pause unpause")
}

func TestPause_LetsSignalsThrough(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	busy(s, img, "stopped")
	busy(s, img, "killed")
	busy(s, img, "removed")
	for _, name := range []string{"stopped", "killed"} {
		pid := s.Inspect(name, "{{.State.Pid}}")
		s.Eventually("the trap is set", func() bool { return catches(pid, 15) })
	}
	s.OK("pause", "stopped", "killed", "removed")
	start := time.Now()
	s.OK("stop", "stopped")
	harness.Equal(t, "the exit code", s.Inspect("stopped", "{{.State.ExitCode}} {{.State.Paused}}"), "7 false")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("stop of a paused container took %v", took)
	}
	s.OK("kill", "killed")
	s.Skiff("wait", "killed").Prints("137")
	s.OK("start", "killed")
	harness.Equal(t, "the state after another start", s.Inspect("killed", "{{.State.Status}}"), "running")
	s.Skiff("rm", "-f", "removed").Exits(0).Prints("removed")
}

func TestPause_RefusesWhatDoesNotRun(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	id := s.OK("create", "--name", "it", img)
	s.Skiff("pause", "it").Exits(1).Complains("container " + id + " is not running")
	s.Skiff("unpause", "it").Exits(1).Complains("Container " + id + " is not paused")
	s.Skiff("pause", "nothing").Exits(1).Complains("No such container: nothing")
	s.Skiff("pause").Exits(1).Complains(" requires at least 1 argument")
}

func TestTop_ShowsProcesses(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "it", "--network", "none", img, "sh", "-c", "sleep 1001 & exec sleep 1002")
	pid := s.Inspect("it", "{{.State.Pid}}")
	s.Eventually("both sleep", func() bool { return strings.Count(s.OK("top", "it"), " sleep 100") == 2 })
	lines := strings.Split(s.OK("top", "it"), "\n")
	harness.Equal(t, "the headings", lines[0],
		"UID                 PID                 PPID                C                   STIME               TTY                 TIME                CMD")
	// In the order of their numbers, as ps lists them: the child is the first
	// where the numbers have begun again in between.
	if !regexp.MustCompile(`(?m)^\S+ +` + pid + ` +\d+ +\d+ +(\d\d:\d\d|[A-Z][a-z]+\d+) +\? +00:00:\d\d +sleep 1002$`).MatchString(strings.Join(lines[1:], "\n")) {
		t.Errorf("lines: %q", lines[1:])
	}
	if len(lines) != 3 {
		t.Errorf("%d lines:\n%s", len(lines), strings.Join(lines, "\n"))
	}
	// What exec starts belongs to it, too.
	s.OK("exec", "-d", "it", "sleep", "1003")
	s.Eventually("exec's is listed", func() bool { return strings.Contains(s.OK("top", "it", "-eo", "pid,args"), "sleep 1003") })
	s.Skiff("container", "top", "it", "aux").Exits(0).Says("USER                PID                 %CPU                %MEM")
	s.Skiff("top", "it", "-o", "pid,user=WHO,comm").Exits(0).Says("PID                 WHO                 COMMAND")
	s.Skiff("top", "it", "-o", "comm").Exits(1).Complains("Couldn't find PID field in ps output")
	s.Skiff("top", "it", "-o", "pid,nosuch").Exits(1).Complains(`ps option "-o nosuch" is not supported`)
	id := s.OK("create", "--name", "off", img)
	s.Skiff("top", "off").Exits(1).Complains("container " + id + " is not running")
	s.Skiff("top", "nothing").Exits(1).Complains("No such container: nothing")
}

func TestTop_AgreesWithPs(t *testing.T) {
	if _, err := os.Stat("/bin/ps"); err != nil {
		t.Skip("no ps(1) on this machine")
	}
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "it", "--network", "none", img, "sh", "-c", "exec sleep 1004")
	pid := s.Inspect("it", "{{.State.Pid}}")
	s.Eventually("it sleeps", func() bool { return strings.Contains(s.OK("top", "it"), "sleep 1004") })
	for _, columns := range []string{"pid,ppid,pgid,sid,uid,gid,user,group,comm,args", "pid,tty,stat,s,ni,pri,nlwp,vsz", "pid,time,stime"} {
		ours := strings.Fields(strings.Split(s.OK("top", "it", "-o", columns), "\n")[1])
		theirs := strings.Fields(s.Do(nil, "ps", "--no-headers", "-p", pid, "-o", columns).Out())
		last := len(ours) - 1
		if strings.HasSuffix(columns, ",stime") && len(theirs) == len(ours) && minuteApart(ours[last], theirs[last]) {
			// ps takes the machine's start from the clock and the uptime at the
			// moment that it is called: to a second, which may be a minute's last.
			theirs[last] = ours[last]
		}
		harness.Equal(t, columns, fmt.Sprint(ours), fmt.Sprint(theirs))
	}
}

// minuteApart reports whether two times of a day, HH:MM, are a minute apart.
func minuteApart(a, b string) bool {
	x, errA := time.Parse("15:04", a)
	y, errB := time.Parse("15:04", b)
	apart := x.Sub(y).Abs()
	return errA == nil && errB == nil && (apart == time.Minute || apart == 24*time.Hour-time.Minute)
}

func TestStats_MeasuresContainers(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	id := s.OK("run", "-d", "--name", "it", "--network", "none", img, "sh", "-c", "while :; do :; done")
	s.OK("create", "--name", "off", img)
	s.Skiff("stats", "--no-stream").Exits(0).PrintsMatch(`CONTAINER ID +NAME +CPU % +MEM USAGE / LIMIT +MEM % +NET I/O +BLOCK I/O +PIDS\n` +
		id[:12] + ` +it +\d+\.\d\d% +[\d.]+[KM]iB / [\d.]+GiB +\d+\.\d\d% +0B / 0B +\S+B / \S+B +1`)
	var cpu float64
	out := s.OK("stats", "--no-stream", "--format", "{{.CPUPerc}}", "it")
	if _, err := fmt.Sscanf(out, "%f%%", &cpu); err != nil || cpu < 5 || cpu > 150 {
		t.Errorf("a busy loop uses %s of a processor", out)
	}
	s.Skiff("stats", "--no-stream", "-a", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}", "--no-trunc").Exits(0).Says("off 0.00% 0B / 0B 0")
	s.Skiff("stats", "--no-stream", "--no-trunc", "--format", "{{.ID}} {{.Container}}").Prints(id + " " + id)
	s.Skiff("stats", "--no-stream", "nothing").Exits(1).Complains("No such container: nothing")
	s.Skiff("stats", "--no-stream", "--format", "{{.Nope}}", "it").Exits(1).Complains("template parsing error")
}

func TestStats_RedrawsOnATerminal(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "it", "--network", "none", img, "sleep", "1000")
	term := s.Terminal("stats")
	term.Expect("CONTAINER ID")
	term.Expect("it")
	term.Expect("\x1b[H") // the next round, over the first
	term.Expect("it")
	term.Type("\x03")
	term.Exits(130)
}

func TestWait_KnowsConditions(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "long", "--network", "none", img, "sh", "-c", "until [ -e /go ]; do sleep 0.05; done; exit 3")
	s.Skiff("wait", "--condition", "running", "long").Exits(0).Prints("-1")
	s.OK("exec", "long", "touch", "/go")
	s.Skiff("wait", "--condition", "exited", "long").Exits(0).Prints("3")
	s.OK("run", "-d", "--rm", "--name", "gone", "--network", "none", img, "sh", "-c", "until [ -e /go ]; do sleep 0.05; done; exit 4")
	// Asked before it ends: afterwards nobody knows the name.
	s.Shell(`skiff wait --condition removed gone >w.out &
		until ls -l /proc/$!/fd | grep -q socket; do sleep 0.05; done
		skiff exec gone touch /go; wait $!`).Exits(0)
	s.Shell("cat w.out").Exits(0).Prints("4")
	s.Skiff("inspect", "gone").Exits(1)
	s.Skiff("wait", "--condition", "tired", "long").Exits(1).Complains(`invalid condition: "tired"`)
	s.Skiff("container", "exists", "long").Exits(0).Prints("")
	s.Skiff("container", "exists", "gone").Exits(1).Prints("")
}
