package lifecycle

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"skiff/storage/container"
)

// Pids returns the ids of a running container's processes as this process sees
// them, its init first, or ErrNotRunning. They are those of its cgroup where it
// has one of its own, else those of its pid namespace and what descends from
// them. With the machine's pid namespace and without a cgroup what exec started
// is not found.
func Pids(c *container.Container) ([]int, error) {
	st, err := c.Status()
	if err != nil {
		return nil, err
	}
	if !st.Running() {
		return nil, notRunning(c)
	}
	pids := []int{st.Pid}
	var rest []int
	if dir := CgroupOf(c, st.Pid); dir != "" {
		rest = cgroupPids(dir)
	} else if rest, err = namespacePids(st.Pid, c.Config.Host.PidMode == ""); err != nil {
		return nil, err
	}
	slices.Sort(rest)
	for _, pid := range rest {
		if pid != st.Pid {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// CgroupOf returns the directory of the container's own control group (version
// 2, cgroups(7)), or "" when its processes share one with others. pid is its
// init's.
func CgroupOf(c *container.Container, pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return ""
	}
	for l := range strings.Lines(string(data)) {
		path, ok := strings.CutPrefix(strings.TrimSpace(l), "0::/")
		if !ok {
			continue
		}
		// Its name has the id in it; what is below is the container's own affair.
		parts := strings.Split(path, "/")
		for i, p := range parts {
			if p == c.Config.ID {
				dir := filepath.Join("/sys/fs/cgroup", filepath.Join(parts[:i+1]...))
				if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
					return dir
				}
			}
		}
	}
	return ""
}

func cgroupPids(dir string) (pids []int) {
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		for _, word := range strings.Fields(string(data)) {
			if n, err := strconv.Atoi(word); err == nil && n > 0 {
				pids = append(pids, n)
			}
		}
		return nil
	})
	return pids
}

// namespacePids returns the processes in init's pid namespace if that is the
// container's own, and the descendants of all those.
func namespacePids(init int, own bool) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", init))
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	children := map[int][]int{}
	roots := []int{init}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if own && pid != init {
			if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err == nil && ns == namespace {
				roots = append(roots, pid)
			}
		}
		if s, err := ReadStat(pid); err == nil {
			children[s.Ppid] = append(children[s.Ppid], pid)
		}
	}
	seen := map[int]bool{}
	var all []int
	for len(roots) > 0 {
		pid := roots[0]
		roots = roots[1:]
		if seen[pid] {
			continue
		}
		seen[pid] = true
		all = append(all, pid)
		roots = append(roots, children[pid]...)
	}
	return all, nil
}

// Stat is a part of /proc/pid/stat (proc_pid_stat(5)). Times are in clock ticks.
type Stat struct {
	Pid, Ppid      int
	State          byte
	Session        int
	Tty            int
	Comm           string
	User, System   uint64 // processor time used
	Priority, Nice int
	Threads        int
	Start          uint64 // after boot
	Virtual        uint64 // bytes
	Resident       int64  // pages
	Pgrp           int
	Foreground     int // process group of the terminal
}

// ReadStat reads /proc/pid/stat.
func ReadStat(pid int) (s Stat, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, err
	}
	// The name may contain anything; fields are counted behind it.
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || end < open {
		return s, fmt.Errorf("read /proc/%d/stat: no name", pid)
	}
	s.Pid, s.Comm = pid, string(data[open+1:end])
	f := strings.Fields(string(data[end+1:]))
	if len(f) < 22 {
		return s, fmt.Errorf("read /proc/%d/stat: %d fields", pid, len(f))
	}
	number := func(i int) int64 { n, _ := strconv.ParseInt(f[i], 10, 64); return n }
	s.State, s.Ppid, s.Pgrp, s.Session, s.Tty, s.Foreground = f[0][0], int(number(1)), int(number(2)), int(number(3)), int(number(4)), int(number(5))
	s.User, s.System, s.Priority, s.Nice = uint64(number(11)), uint64(number(12)), int(number(15)), int(number(16))
	s.Threads, s.Start, s.Virtual, s.Resident = int(number(17)), uint64(number(19)), uint64(number(20)), number(21)
	return s, nil
}
