package durable_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"skiff/tests/harness"
)

// failing are the system calls that fail, with the error that they may well have.
var failing = []struct{ calls, errno string }{
	{"write,pwrite64,writev", "EIO"},
	{"write,pwrite64,writev", "ENOSPC"},
	{"fsync,fdatasync,syncfs", "EIO"},
	{"rename,renameat,renameat2", "EIO"},
	{"open,openat,openat2", "EMFILE"},
	{"mount,fsopen,fsmount,move_mount,open_tree,mount_setattr", "ENOMEM"},
	{"clone,clone3,fork,vfork", "EAGAIN"},
	{"unlink,unlinkat,rmdir", "EIO"},
	{"mkdir,mkdirat,link,linkat,symlink,symlinkat", "ENOSPC"},
}

// once are faults that had an effect once, each tried again every time.
var once = []struct {
	verb         string
	calls, errno string
	nth          int
}{
	{"run --rm", "unlink,unlinkat,rmdir", "EIO", 2}, // the monitor left the container's name
	{"load", "open,openat,openat2", "EMFILE", 5},    // a panic of the library in a goroutine
	{"rmi", "unlink,unlinkat,rmdir", "EIO", 1},      // the short name of a layer stayed
	{"run --rm", "unlink,unlinkat,rmdir", "EIO", 5}, // an anonymous volume stayed that was made in the end
}

// The nth call of a kind fails in every process of a command: no hang, no panic,
// no damage, and an error in words. SKIFF_FAULTS is how many such calls there are;
// SKIFF_VERB picks one command.
func TestKernel_CallsThatFail(t *testing.T) {
	harness.Requires(t, harness.Root, harness.CommandNamed("strace"))
	s := harness.New(t)
	random := dice(t)
	var verbs []verb
	for _, v := range everyVerb(t, s) {
		if slices.Contains([]string{"pull", "load", "run --rm", "run", "build", "rm", "rmi"}, v.name) {
			if v.name == "run" {
				// What a guest or its log's writer cannot write is no affair of run's.
				v.done = func(s *harness.Session) { s.Inspect("made", "{{.State.Status}}") }
			}
			verbs = append(verbs, v)
		}
	}
	// Traced without a call that fails, they succeed: else nothing here is a finding.
	if code, stderr := injected(s, []string{"run", "--rm", "--network", "none", "busybox", "true"}, "inject=write:error=EIO:when=60000"); code != 0 {
		t.Fatalf("traced, with no call that fails: exit code %d\n%s", code, stderr)
	}
	type outcome struct{ fine, failed int }
	outcomes := map[string]*outcome{}
	only := onlyVerb()
	for n := range times(t, "SKIFF_FAULTS", 6) {
		v := verbs[n%len(verbs)]
		f := failing[random.IntN(len(failing))]
		// A call that one process makes 400 times is rare, the first ones matter most.
		nth := 1 + random.IntN([]int{5, 20, 80, 400}[random.IntN(4)])
		if n < len(once) {
			o := once[n]
			v = verbs[slices.IndexFunc(verbs, func(v verb) bool { return v.name == o.verb })]
			f.calls, f.errno, nth = o.calls, o.errno, o.nth
		}
		if only != "" && only != v.name {
			continue
		}
		code := 0
		func() {
			stderr := "it was being prepared"
			defer s.Keep(func() string {
				return fmt.Sprintf("fault %d: %s with %s failing (%s) at call %d; exit code %d\n%s", n, v.name, f.calls, f.errno, nth, code, stderr)
			})
			v.prepare(s)
			code, stderr = injected(s, v.line, fmt.Sprintf("inject=%s:error=%s:when=%d", f.calls, f.errno, nth))
			// Where writing fails, the words themselves may be what was not written.
			if stderr != "" || !strings.HasPrefix(f.calls, "write") {
				complaint(t, code, stderr)
			}
			next(s, v, code == 0)
		}()
		if t.Failed() {
			t.FailNow()
		}
		o := outcomes[v.name]
		if o == nil {
			o = &outcome{}
			outcomes[v.name] = o
		}
		if code == 0 {
			o.fine++
		} else {
			o.failed++
		}
	}
	for name, o := range outcomes {
		t.Logf("%s: %d went well all the same, %d failed in words", name, o.fine, o.failed)
	}
}

// injected runs skiff as the user with calls that fail. Root traces it, because an
// unprivileged tracer takes newuidmap's privilege away.
func injected(s *harness.Session, line []string, inject string) (code int, stderr string) {
	s.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var user string
	for _, e := range s.Env {
		if name, ok := strings.CutPrefix(e, "USER="); ok {
			user = name
		}
	}
	calls, _, _ := strings.Cut(strings.TrimPrefix(inject, "inject="), ":")
	args := append([]string{"-f", "--quiet=all", "-o", "/dev/null", "-u", user, "-e", "trace=" + calls, "-e", inject, s.Binary()}, line...)
	cmd := exec.CommandContext(ctx, "strace", args...)
	var text bytes.Buffer
	cmd.Stderr = &text
	cmd.Env, cmd.Dir = s.Env, s.Home()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 3 * time.Second
	// strace ends with the last process that it traces, monitors included.
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		s.T.Errorf("no end within a minute")
	case err != nil && !errors.As(err, &exit):
		s.T.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), text.String()
}

// runtimeThrow is what Go's own runtime says when it can make no thread or cannot
// wake itself; no program in that language can do anything about it.
var runtimeThrow = regexp.MustCompile(`(?m)^(runtime: failed to create new OS thread|fatal error: (newosproc|runtime: netpollBreak write failed|runtime: netpoll))|^runtime: (netpoll|eventfd|epoll)`)

// complaint checks the words of a failure.
func complaint(t *testing.T, code int, stderr string) {
	t.Helper()
	if runtimeThrow.MatchString(stderr) {
		return
	}
	if strings.Contains(stderr, "panic:") || strings.Contains(stderr, "goroutine ") || code == 139 || code == 134 {
		t.Errorf("it fell over")
	}
	if code != 0 && !regexp.MustCompile(`[a-z]+ .*: |[a-z]{3,} [a-z]{2,} `).MatchString(stderr) {
		t.Errorf("exit code %d without a reason in words: %q", code, stderr)
	}
}

// moments are the calls by which a command makes things true, or takes them away.
var moments = []struct{ name, calls string }{
	{"rename", "rename,renameat,renameat2"},
	{"unlink", "unlink,unlinkat,rmdir"},
	{"sync", "fsync,fdatasync,syncfs"},
	{"make", "mkdir,mkdirat,link,linkat,symlink,symlinkat"},
}

// Killed at its nth such call, a command leaves what was before or what should be:
// the moments that a kill at a random time rarely meets. SKIFF_FAULTS has all of them
// tried, for each command; SKIFF_VERB picks one command. Without, some renames of those
// that write most, and of the others a few that the dice choose.
func TestKernel_KilledAtEachMoment(t *testing.T) {
	harness.Requires(t, harness.Root, harness.CommandNamed("strace"))
	s := harness.New(t)
	random := dice(t)
	only, long := onlyVerb(), os.Getenv("SKIFF_FAULTS") != ""
	var verbs []verb
	for _, v := range everyVerb(t, s) {
		switch v.name {
		case "run -d":
			continue // the tracer would stay for as long as the container
		case "run":
			v.done = func(s *harness.Session) { s.Inspect("made", "{{.State.Status}}") }
		}
		verbs = append(verbs, v)
	}
	type plan struct {
		v                 verb
		name, calls       string
		first, step, most int
	}
	var plans []plan
	for _, v := range verbs {
		for _, m := range moments {
			switch {
			case only != "" && only != v.name:
			case long:
				plans = append(plans, plan{v, m.name, m.calls, 1, 1, 400})
			case m.name == "rename" && slices.Contains([]string{"pull", "load", "build", "commit", "rmi"}, v.name):
				plans = append(plans, plan{v, m.name, m.calls, 1, 5, 1000})
			}
		}
	}
	if !long && only == "" {
		for range 6 {
			v, m := verbs[random.IntN(len(verbs))], moments[random.IntN(len(moments))]
			plans = append(plans, plan{v, m.name, m.calls, 1 + random.IntN(4), 1, 1})
		}
	}
	for _, p := range plans {
		killed, fine, last := 0, 0, ""
		// One success may be that of a command whose helper was killed.
		for nth := p.first; fine < 2 && killed < p.most; nth += p.step {
			func() {
				story := "while it was prepared"
				defer s.Keep(func() string { return fmt.Sprintf("%s, killed at %s %d: %s", p.v.name, p.name, nth, story) })
				p.v.prepare(s)
				code, stderr := injected(s, p.v.line, fmt.Sprintf("inject=%s:signal=KILL:when=%d", p.calls, nth))
				story = fmt.Sprintf("exit code %d\n%s", code, stderr)
				next(s, p.v, code == 0)
				if fine++; code != 0 {
					killed, fine, last = killed+1, 0, story
				}
			}()
			if t.Failed() {
				t.FailNow()
			}
		}
		if killed > 1 && killed == p.most {
			t.Fatalf("%s fails however late it is to be killed: %s", p.v.name, last)
		}
		t.Logf("%s: killed at %d calls of %s", p.v.name, killed, p.name)
		if killed == 0 && p.most > 1 && p.name == "rename" && slices.Contains([]string{"pull", "load", "build", "commit", "rmi"}, p.v.name) {
			t.Fatalf("%s was never killed", p.v.name)
		}
	}
}

// The first command of all makes the store, and the library tries out what the file
// system can do: killed at any moment of that, it leaves a store that the next ones use,
// and nothing else. SKIFF_FAULTS has all moments tried; without, the dice choose.
func TestKernel_KilledInANewStore(t *testing.T) {
	harness.Requires(t, harness.Root, harness.CommandNamed("strace"))
	s := harness.New(t)
	random := dice(t)
	archive := harness.BusyboxImage(t).OCIArchive(t, filepath.Join(s.Dir, "busybox.tar"))
	line := []string{"load", "-q", "-i", archive}
	try := func(name, calls string, nth int) (code int) {
		story := "while the store was removed"
		defer s.Keep(func() string { return fmt.Sprintf("killed at %s %d: %s", name, nth, story) })
		if err := os.RemoveAll(s.Store()); err != nil {
			t.Fatal(err)
		}
		code, stderr := injected(s, line, fmt.Sprintf("inject=%s:signal=KILL:when=%d", calls, nth))
		story = fmt.Sprintf("exit code %d\n%s", code, stderr)
		s.Alone()
		s.OK("ps", "-a")
		s.OK("images", "-a")
		left(s)
		unowned(s)
		s.OK(line...)
		return code
	}
	for _, m := range moments {
		killed := 0
		switch {
		case os.Getenv("SKIFF_FAULTS") != "":
			for nth, fine := 1, 0; fine < 2 && !t.Failed(); nth++ {
				if fine++; try(m.name, m.calls, nth) != 0 {
					killed, fine = killed+1, 0
				}
			}
		case try(m.name, m.calls, 1+random.IntN(12)) != 0:
			killed++
		}
		t.Logf("killed at %d calls of %s", killed, m.name)
	}
}

// Killed while it unpacks the programs that are part of it, which the first run does, a
// command leaves no part of one: they are some MB each.
func TestKernel_KilledUnpacking(t *testing.T) {
	harness.Requires(t, harness.Root, harness.CommandNamed("strace"))
	s := harness.New(t)
	img := s.LoadBusybox()
	killed := 0
	for nth := 1; nth <= 6; nth++ {
		if err := os.RemoveAll(filepath.Join(s.Store(), "cache")); err != nil {
			t.Fatal(err)
		}
		code, _ := injected(s, []string{"run", "--rm", img, "true"}, fmt.Sprintf("inject=fsync,fdatasync:signal=KILL:when=%d", nth))
		if code != 0 {
			killed++
		}
		s.Alone()
		s.OK("ps", "-a")
		if found := strays(s); len(found) > 0 {
			t.Errorf("killed at sync %d: left %v", nth, found)
		}
	}
	if killed == 0 {
		t.Error("it was never killed")
	}
}

// A front that is killed while its monitor is between the lock and the record of
// the start leaves a container that starts all the same; who wants to remove or start
// it meanwhile waits for that, not for its end.
func TestKernel_FrontIsKilledBeforeTheStartIsRecorded(t *testing.T) {
	harness.Requires(t, harness.Root, harness.CommandNamed("strace"))
	s := harness.New(t)
	img := s.LoadBusybox()
	for n, line := range [][]string{{"rm", "-f"}, {"start"}} {
		guest := fmt.Sprintf("sleep 43%d", n)
		name := fmt.Sprintf("late%d", n)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			injected(s, append([]string{"run", "-d", "--network", "none", "--name", name, img}, strings.Fields(guest)...),
				"inject=rename,renameat,renameat2:delay_enter=700000")
		}()
		s.Eventually("the container's process to run", func() bool { return s.HasProcess(guest) })
		if s.KillRoles(s.Binary()+" run") != 1 {
			t.Error("the front was not there any more: the record came too early")
		}
		s.OK(append(line, name)...)
		if line[0] == "start" {
			harness.Equal(t, "state", s.Inspect(name, "{{.State.Status}}"), "running")
			s.OK("rm", "-f", name)
		}
		<-ended
	}
}

// A front that dies before the stage that it has just forked knows whose child it is
// leaves no process that waits for it for ever.
func TestKernel_FrontKilledBeforeItsChildLooks(t *testing.T) {
	harness.Requires(t, harness.Root, harness.Subids, harness.CommandNamed("strace"))
	s := harness.New(t)
	s.OK("tag", s.LoadBusybox(), "busybox")
	line := []string{"run", "--rm", "--network", "none", "busybox", "true"}
	s.OK(line...) // leaves word what to start early
	// Mappers that outlive the front and map nothing.
	path := s.Getenv("PATH")
	for _, mapper := range []string{"newuidmap", "newgidmap"} {
		s.WriteFile("slow/"+mapper, "#!/bin/sh\nexec sleep 1\n")
		s.Shell("chmod +x slow/" + mapper).Exits(0)
	}
	s.Setenv("PATH", filepath.Join(s.Home(), "slow")+":"+path)
	done := make(chan string)
	go func() {
		// The child's first getppid comes after the front's death.
		code, stderr := injected(s, line, "inject=getppid:delay_enter=800000:when=1")
		done <- fmt.Sprintf("exit code %d, %s", code, stderr)
	}()
	var front int
	s.Eventually("the front has forked", func() bool {
		front = tracee(s, line)
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", front, front))
		return len(strings.Fields(string(data))) == 3
	})
	if err := syscall.Kill(front, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.Setenv("PATH", path)
	t.Log(<-done)
	s.Alone()
}

// tracee is the process that strace started as skiff with a command line; 0 when
// there is none yet.
func tracee(s *harness.Session, line []string) int {
	want := strings.Join(append([]string{s.Binary()}, line...), "\x00") + "\x00"
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		if data, err := os.ReadFile(path); err != nil || string(data) != want {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "stat"))
		var parent int
		_, after, _ := strings.Cut(string(stat), ") ")
		_, _ = fmt.Sscanf(after, "%1s %d", new(string), &parent)
		if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", parent)); err == nil && string(name) == "strace\n" {
			return pid
		}
	}
	return 0
}
