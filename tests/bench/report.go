package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The table in a report file stands between these two lines; what is above and
// below is written by hand and stays.
const (
	openMark  = "<!-- measured: written by make bench -->"
	closeMark = "<!-- end of measured -->"
)

// report collects what was measured as markdown.
type report struct {
	head, times, pulls, store, network, sizes, notes strings.Builder
}

// columns are the contestants, as contestants() lists them.
var columns = []string{"process", "crun", "crun, one id", "skiff", "podman", "docker"}

func (r *report) begin(p *place, rounds int) {
	var uts unix.Utsname
	_ = unix.Uname(&uts)
	fmt.Fprintf(&r.head, "%s, Linux %s, %s; medians of %d, in milliseconds, contestants in turns.\n",
		time.Now().UTC().Format("2006-01-02"), unix.ByteSliceToString(uts.Release[:]), processors(), rounds)
	for _, v := range [][]string{{"crun", "--version"}, {"podman", "--version"}, {"docker", "--version"}} {
		if out, err := exec.Command(v[0], v[1:]...).Output(); err == nil {
			fmt.Fprintf(&r.head, "%s. ", strings.SplitN(strings.TrimSpace(string(out)), "\n", 2)[0])
		}
	}
	r.head.WriteString("\n")
	if p.subuid == 0 {
		r.note("the user has no subordinate ids: all have one id only")
	}
	fmt.Fprintf(&r.times, "| command | %s | skiff is | budget |\n|---%s|---|---|\n",
		strings.Join(columns, " | "), strings.Repeat("|---:", len(columns)))
	r.sizes.WriteString("| an idle container's process, in kB | resident | PSS | private (anonymous) |\n|---|---:|---:|---:|\n")
}

// row adds one race; the budget is a factor of the peer's time.
func (r *report) row(what string, medians map[string]time.Duration, peer string, budget float64) {
	fmt.Fprintf(&r.times, "| %s |", what)
	for _, name := range columns {
		if t := medians[name]; t > 0 {
			fmt.Fprintf(&r.times, " %.1f |", float64(t.Microseconds())/1000)
		} else {
			r.times.WriteString(" - |")
		}
	}
	verdict := "-"
	if ours, theirs := medians["skiff"], medians[peer]; ours > 0 && theirs > 0 {
		ratio := float64(ours) / float64(theirs)
		verdict = fmt.Sprintf("%.2f x %s", ratio, peer)
		if ratio > budget {
			verdict = "**" + verdict + "**"
		}
	}
	fmt.Fprintf(&r.times, " %s | %.1f x |\n", verdict, budget)
}

func (r *report) memory(name string, resident, proportional, private int) {
	fmt.Fprintf(&r.sizes, "| %s | %d | %d | %d |\n", name, resident, proportional, private)
}

func (r *report) note(format string, args ...any) {
	fmt.Fprintf(&r.notes, "- %s\n", strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " / "))
}

func (r *report) end(p *place) {
	if info, err := os.Stat(p.binary); err == nil {
		fmt.Fprintf(&r.sizes, "\nbin/skiff: %.1f MiB (budget 45).\n", float64(info.Size())/(1<<20))
	}
}

// String is the whole measured part. Figures over budget are bold.
func (r *report) String() string {
	parts := []string{openMark, r.head.String(), r.times.String(), r.pulls.String(), r.store.String(), r.network.String(), r.sizes.String()}
	if r.notes.Len() > 0 {
		parts = append(parts, r.notes.String())
	}
	return strings.Join(append(parts, closeMark), "\n") + "\n"
}

// writeInto replaces the measured part of a file, or makes the file.
func (r *report) writeInto(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = []byte("# Benchmarks\n\n"+openMark+closeMark+"\n"), nil
	}
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(data), openMark)
	_, after, closed := strings.Cut(rest, closeMark)
	if !ok || !closed {
		return fmt.Errorf("%s has no lines %q and %q to write between", path, openMark, closeMark)
	}
	return os.WriteFile(path, []byte(before+strings.TrimSuffix(r.String(), "\n")+after), 0o644)
}

func processors() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	n := strings.Count(string(data), "processor\t")
	_, model, _ := strings.Cut(string(data), "model name\t: ")
	model, _, _ = strings.Cut(model, "\n")
	return fmt.Sprintf("%d x %s", n, model)
}
