package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// end removes what the test's containers are, then complains about everything
// that a clean end does not leave: mounts, processes, temporary files, records
// of the store that lead nowhere.
func (s *Session) end() {
	s.T.Helper()
	s.removeContainers()
	var left []string
	if !within(comesWithin, func() bool {
		left = s.left()
		return len(left) == 0
	}) {
		for _, what := range left {
			s.T.Errorf("left behind: %s", what)
		}
	}
	killDescendants()
	if s.T.Failed() {
		s.reportLogs()
	}
	if err := removeTree(s.Dir); err != nil {
		s.T.Logf("remove the session's directory: %v", err)
	}
}

// removeContainers takes away the containers that a test is done with. One
// that was to vanish at its end (--rm) may not be here any more.
func (s *Session) removeContainers() {
	// A store that lies elsewhere is asked for; a default one only if it is there.
	if !Exists(filepath.Join(s.Store(), "containers")) && s.mounts == "" {
		return
	}
	r := s.Skiff("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}}").Exits(0)
	for line := range strings.Lines(r.Stdout) {
		id, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasSuffix(name, "-infra") {
			s.Skiff("pod", "rm", "-f", id).Exits(0)
			continue
		}
		if s.autoRemoves(id) && !s.running(id) {
			s.T.Errorf("left behind: container %.12s, which was to vanish at its end", id)
		}
		s.Skiff("rm", "-f", "-v", id).Exits(0)
	}
}

func (s *Session) autoRemoves(id string) bool {
	data, err := os.ReadFile(filepath.Join(s.Store(), "containers", id, "config.json"))
	var config struct{ HostConfig struct{ AutoRemove bool } }
	return err == nil && json.Unmarshal(data, &config) == nil && config.HostConfig.AutoRemove
}

func (s *Session) running(id string) bool {
	return s.Skiff("inspect", "-f", "{{.State.Running}}", id).Out() == "true"
}

// left lists what a clean end does not leave.
func (s *Session) left() []string {
	var left []string
	for _, p := range descendants() {
		left = append(left, "process "+p)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return append(left, err.Error())
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, s.Dir) {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	left = append(left, names("temporary file", s.TempDir())...)
	left = append(left, names("runtime file", s.RuntimeDir())...)
	for _, name := range names("unpublished work", filepath.Join(s.Store(), "tmp")) {
		if !strings.HasSuffix(name, "/.sweep.lock") {
			left = append(left, name)
		}
	}
	for _, name := range names("unpublished volume", filepath.Join(s.Store(), "volumes")) {
		if strings.HasPrefix(filepath.Base(name), ".") {
			left = append(left, name)
		}
	}
	left = append(left, names("running mark", filepath.Join(s.Store(), "running"))...)
	left = append(left, names("name", filepath.Join(s.Store(), "containers", "by-name"))...)
	for _, name := range names("container directory", filepath.Join(s.Store(), "containers")) {
		if !strings.HasSuffix(name, "/by-name") {
			left = append(left, name)
		}
	}
	for name := range s.sharedTemporaries() {
		if !s.before[name] {
			left = append(left, "temporary file "+name)
		}
	}
	return left
}

// names lists the entries of a directory as "what dir/entry".
func names(what, dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return []string{err.Error()}
	}
	var all []string
	for _, e := range entries {
		all = append(all, what+" "+filepath.Join(dir, e.Name()))
	}
	return all
}

// sharedTemporaries lists what the test user has in the directories that all
// users share. When the user is also the developer, others may write there at
// the same time and nothing can be said.
func (s *Session) sharedTemporaries() map[string]bool {
	found := map[string]bool{}
	if !suite.user.switched {
		return found
	}
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if info, err := e.Info(); err == nil && suite.user.owns(int(info.Sys().(*syscall.Stat_t).Uid)) {
				found[filepath.Join(dir, e.Name())] = true
			}
		}
	}
	return found
}

// own are processes that the harness itself started and ends (a registry).
var own pidSet

// pidSet is a set of process ids, safe for concurrent use.
type pidSet struct {
	mu   sync.Mutex
	pids map[int]bool
}

func (s *pidSet) add(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pids == nil {
		s.pids = map[int]bool{}
	}
	s.pids[pid] = true
}

func (s *pidSet) remove(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pids, pid)
}

func (s *pidSet) has(pid int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pids[pid]
}

// reapOrphans does for as long as the tests run what a machine's process 1
// does: it reaps what ended and has no parent any more. A pid namespace cannot
// end before its last process was reaped. Our own children are reaped by who
// waits for them, at once; what is still a zombie at a second look is an
// orphan.
func reapOrphans() {
	seen := map[int]bool{}
	for ; ; time.Sleep(300 * time.Millisecond) {
		zombies := map[int]bool{}
		for pid, p := range family() {
			if p.state != "Z" || p.parent != os.Getpid() {
				continue
			}
			if seen[pid] {
				_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
			}
			zombies[pid] = true
		}
		seen = zombies
	}
}

// descendants describes the living processes below us that the harness did not
// start for itself. Orphans count, because we are their subreaper.
func descendants() []string {
	var found []string
	for pid, p := range family() {
		if p.state != "Z" {
			found = append(found, fmt.Sprintf("%d %s", pid, p.line))
		}
	}
	return found
}

func killDescendants() {
	for pid, p := range family() {
		if p.state != "Z" {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	within(time.Second, func() bool { return len(descendants()) == 0 })
}

type process struct {
	parent int
	state  string
	line   string
}

// family returns the processes below us, without the harness's own ones.
func family() map[int]process {
	all := map[int]process{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if p, ok := readProcess(dir); ok {
			all[pid] = p
		}
	}
	// A parent that ended while we read has left its children to another one.
	for pid, p := range all {
		for try := 0; p.parent != 0 && try < 10; try++ {
			if _, ok := all[p.parent]; ok {
				break
			}
			now, ok := readProcess(fmt.Sprintf("/proc/%d", pid))
			if !ok {
				break
			}
			p = now
			all[pid] = p
		}
	}
	below := map[int]process{}
	for pid, p := range all {
		for up, ok := p, !own.has(pid); ok && up.parent != 0; up, ok = all[up.parent], !own.has(up.parent) {
			if up.parent == os.Getpid() {
				below[pid] = p
				break
			}
		}
	}
	return below
}

// readProcess reads what proc(5) says in a process's directory.
func readProcess(dir string) (p process, ok bool) {
	data, err := os.ReadFile(filepath.Join(dir, "stat"))
	end := strings.LastIndexByte(string(data), ')')
	if err != nil || end < 0 {
		return p, false
	}
	fields := strings.Fields(string(data[end+1:]))
	parent, _ := strconv.Atoi(fields[1])
	line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	state := fields[0]
	if threads, _ := strconv.Atoi(fields[17]); state == "Z" && threads > 1 {
		// Only its first thread has ended; another one, in a syncfs that
		// SIGKILL does not interrupt, still holds its files and locks.
		state = "D"
	}
	return process{parent, state, strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " ")}, true
}

// reportLogs shows what a failed test's containers said, which often says why.
func (s *Session) reportLogs() {
	logs, _ := filepath.Glob(filepath.Join(s.Store(), "containers", "*", "log"))
	for _, path := range logs {
		if data, err := os.ReadFile(path); err == nil && len(data) > 0 {
			s.T.Logf("%s:\n%s", path, data)
		}
	}
}

// removeTree removes a directory even where files in it belong to subordinate
// ids, which only root or somebody in the user's own namespace may unlink.
func removeTree(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil || suite.user.switched {
		return err
	}
	// Directories without write permission within, or foreign owners.
	_ = exec.Command("unshare", "--user", "--map-root-user", "--map-auto", "rm", "-rf", dir).Run()
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("remove %s: %w", dir, err)
}
