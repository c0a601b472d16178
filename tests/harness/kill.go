package harness

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// Kill runs skiff with args, kills it and all that it started after a time, and
// returns when the last of them is gone. It reports whether the kill came before
// the command's own end, and how it ended.
func (s *Session) Kill(after time.Duration, args ...string) (killed bool, story string) {
	s.T.Helper()
	cmd := s.Command(context.Background(), append([]string{suite.binary}, args...)...)
	words := s.Listen()
	defer words.Close()
	words.To(cmd)
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		s.T.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // being killed is how it is meant to end
	var err error
	select {
	case err = <-ended:
	case <-time.After(after):
		killed = true
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		err = <-ended
	}
	took := time.Since(begin)
	s.Alone()
	return killed, fmt.Sprintf("%s: to be killed after %v, killed %v, ended after %v: %v\n%v", strings.Join(args, " "), after, killed, took, err, words)
}

// Alone waits until nothing runs any more that a killed command had started.
func (s *Session) Alone() {
	s.T.Helper()
	s.Eventually("the killed processes are gone", func() bool { return len(descendants()) == 0 })
}

// KillRoles kills the processes of a role ("skiff:monitor") that a session's
// commands have started, and reports how many there were.
func (s *Session) KillRoles(role string) int {
	killed := 0
	for pid, p := range family() {
		if strings.HasPrefix(p.line, role) && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	return killed
}

// HasProcess reports whether a process with that command line runs below a
// session's commands.
func (s *Session) HasProcess(line string) bool {
	for _, p := range family() {
		if p.line == line && p.state != "Z" {
			return true
		}
	}
	return false
}

// KillAll kills everything that a session's commands have started, as the end of
// the machine would, but that the kernel lives on and writes what it was given.
func (s *Session) KillAll() { killDescendants() }

// Process is a living process that a session's commands have started.
type Process struct {
	PID  int
	Line string // its arguments, apart by blanks
}

// Processes are those of all sessions, each with its own arguments.
func (s *Session) Processes() []Process {
	var all []Process
	for pid, p := range family() {
		if p.state != "Z" {
			all = append(all, Process{pid, p.line})
		}
	}
	return all
}

// Descriptors is how many the process has open.
func (p Process) Descriptors() int {
	return len(Entries(fmt.Sprintf("/proc/%d/fd", p.PID)))
}

// Private is the memory in KiB that is the process's alone (RssAnon of proc(5)).
func (p Process) Private() int {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	_, rest, _ := strings.Cut(string(data), "RssAnon:")
	n := 0
	_, _ = fmt.Sscan(rest, &n)
	return n
}
