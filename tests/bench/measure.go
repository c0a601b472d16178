package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// turn runs what the contestant does under a name once.
func (c *contestant) turn(what string, n int) (time.Duration, error) {
	args := slices.Clone(c.lines[what])
	for i, a := range args {
		if a == "NAME" {
			args[i] = fmt.Sprintf("bench-%d-%d", os.Getpid(), n)
		}
	}
	return c.starter.time(c.line(args...))
}

// race lets all contestants do the same thing in turns and returns the medians
// of those that can.
func race(all []*contestant, what string, rounds int, r *report) map[string]time.Duration {
	return raceAfter(func() {}, all, what, rounds, r)
}

// raceAfter is race with something that is done, and not counted, before each
// turn.
func raceAfter(before func(), all []*contestant, what string, rounds int, r *report) map[string]time.Duration {
	times := map[string][]time.Duration{}
	for n := range rounds + 2 { // the first two warm the caches
		for _, c := range all {
			if c.missing != "" || c.lines[what] == nil || times[c.name] == nil && n > 2 {
				continue
			}
			before()
			took, err := c.turn(what, n)
			if err != nil {
				r.note("%s, %s: %v", c.name, what, err)
				delete(times, c.name)
				if n > 2 {
					continue
				}
			} else if n >= 2 {
				times[c.name] = append(times[c.name], took)
			}
		}
	}
	medians := map[string]time.Duration{}
	for name, of := range times {
		medians[name] = median(of)
	}
	return medians
}

func median(of []time.Duration) time.Duration {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	return of[len(of)/2]
}

// measureRuns races whole containers, then the same while another one runs,
// then exec.
func measureRuns(_ *place, all []*contestant, rounds int, r *report) {
	alone := race(all, "run", rounds, r)
	r.row("run --rm --network none IMAGE true", alone, "crun", 1.2)
	networked := race(all, "network", rounds, r)
	const itself = "itself with none"
	networked[itself] = alone["skiff"]
	r.row("run --rm IMAGE true, with the default network", networked, itself, 2)
	for _, c := range all {
		if c.missing == "" && c.lines["anchor"] != nil {
			if _, err := c.turn("anchor", 0); err != nil {
				r.note("%s: start a container: %v", c.name, err)
			}
		}
	}
	r.row("the same while another container runs", race(all, "run", rounds, r), "crun", 1.0)
	r.row("exec CONTAINER true", race(all, "exec", rounds, r), "crun", 1.2)
}

func measureQueries(_ *place, all []*contestant, rounds int, r *report) {
	for _, what := range []string{"ps", "images", "inspect", "version"} {
		r.row(what, race(all, what, rounds, r), "docker", 1.0)
	}
}

// crowd is how many containers are started at once, crowds how often.
const crowd, crowds = 100, 3

// measureCrowd starts a hundred containers at once, some times in turns. Who is
// slow does it once.
func measureCrowd(_ *place, all []*contestant, r *report) {
	times := map[string][]time.Duration{}
	for n := range crowds {
		for _, c := range all {
			if c.missing != "" || c.lines["anchor"] == nil || n > 0 && times[c.name][0] > 5*time.Second {
				continue
			}
			took, failed := c.crowd(n)
			times[c.name] = append(times[c.name], took)
			if failed > 0 {
				r.note("%s: %d of %d at once failed", c.name, failed, crowd)
			}
		}
	}
	medians := map[string]time.Duration{}
	for name, of := range times {
		medians[name] = median(of)
	}
	r.row("100 at once", medians, "crun", 2.0)
}

// crowd runs the contestant a hundred times at once.
func (c *contestant) crowd(n int) (took time.Duration, failed int) {
	commands := make([]*exec.Cmd, crowd)
	begin := time.Now()
	for i := range commands {
		args := slices.Clone(c.lines["run"])
		for j, a := range args {
			if a == "NAME" {
				args[j] = fmt.Sprintf("crowd-%d-%d-%d", os.Getpid(), n, i)
			}
		}
		commands[i] = c.line(args...)
		if c.starter.start(commands[i]) != nil {
			failed++
			commands[i] = nil
		}
	}
	watch := time.AfterFunc(patience, func() {
		for _, cmd := range commands {
			if cmd != nil {
				_ = cmd.Process.Kill()
			}
		}
	})
	defer watch.Stop()
	for _, cmd := range commands {
		if cmd != nil && cmd.Wait() != nil {
			failed++
		}
	}
	return time.Since(begin), failed
}

// measureMemory looks at the process that stays with an idle container.
func measureMemory(p *place, all []*contestant, r *report) {
	time.Sleep(time.Second)
	for _, c := range all {
		if c.missing != "" || c.monitor == "" {
			continue
		}
		pid := findProcess(p, c.monitor)
		if pid == 0 {
			r.note("%s: no process %s found", c.name, c.monitor)
			continue
		}
		m := memory(pid)
		r.memory(c.name+" ("+c.monitor+")", m["Rss"], m["Pss"], m["Anonymous"])
	}
	for _, c := range all {
		if c.missing == "" && c.lines["remove"] != nil {
			if _, err := c.turn("remove", 0); err != nil {
				r.note("%s: remove the container: %v", c.name, err)
			}
		}
	}
}

// findProcess finds the process of that name which works for this benchmark.
func findProcess(p *place, name string) int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		line, err := os.ReadFile(dir + "/cmdline")
		if err != nil || !strings.Contains(string(line), name) {
			continue
		}
		// Ours is the one that has the benchmark's directory in its command
		// line, or among its open files.
		ours := strings.Contains(string(line), p.dir)
		links, _ := filepath.Glob(dir + "/fd/*")
		for _, l := range links {
			if target, err := os.Readlink(l); err == nil && strings.HasPrefix(target, p.dir) {
				ours = true
			}
		}
		if ours {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			return pid
		}
	}
	return 0
}

// memory returns the sums of proc(5)'s smaps_rollup in kB.
func memory(pid int) map[string]int {
	sums := map[string]int{}
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 3 {
			sums[strings.TrimSuffix(fields[0], ":")], _ = strconv.Atoi(fields[1])
		}
	}
	return sums
}
