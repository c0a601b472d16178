package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// buildRounds is how often each build runs; an engine takes up to ten seconds.
const buildRounds = 3

const (
	buildSteps = 20
	buildFiles = 10_000
)

// measureBuilds races builds of many steps and of many files, from nothing and
// from the cache. The budgets are the goals in seconds as factors of what the
// peers took when they were set: 1.5 of 9.3, 0.03 of 0.083, 2 of 7.2, 0.15 of 4.8.
//
// Before each turn the disk gets what the one before has written: who syncs what it
// has made, as we do, would else wait for the others' files too.
func measureBuilds(p *place, all []*contestant, r *report) {
	steps, files := filepath.Join(p.dir, "build-steps"), filepath.Join(p.dir, "build-files")
	if err := makeContexts(steps, files); err != nil {
		r.note("builds: %v", err)
		return
	}
	for _, c := range all {
		if c.lines["network"] == nil {
			continue // no engine
		}
		for what, dir := range map[string]string{"steps": steps, "files": files} {
			c.lines[what+" cached"] = []string{"build", "-q", "--network", "none", "-t", "bench-" + what, dir}
			c.lines[what] = []string{"build", "-q", "--no-cache", "--network", "none", "-t", "bench-" + what, dir}
		}
	}
	r.row(fmt.Sprintf("build of %d `RUN echo`, no cache", buildSteps), raceAfter(syscall.Sync, all, "steps", buildRounds, r), "podman", 0.16)
	r.row("the same, all cached", raceAfter(syscall.Sync, all, "steps cached", buildRounds, r), "docker", 0.36)
	r.row(fmt.Sprintf("build with a COPY of %d files, no cache", buildFiles), raceAfter(syscall.Sync, all, "files", buildRounds, r), "podman", 0.28)
	r.row("the same, all cached", raceAfter(syscall.Sync, all, "files cached", buildRounds, r), "docker", 0.03)
}

func makeContexts(steps, files string) error {
	var text strings.Builder
	text.WriteString("FROM bench\n")
	for n := range buildSteps {
		fmt.Fprintf(&text, "RUN echo step %d\n", n)
	}
	for dir, dockerfile := range map[string]string{steps: text.String(), files: "FROM bench\nCOPY f /f\n"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
			return err
		}
	}
	for n := range buildFiles {
		dir := filepath.Join(files, "f", fmt.Sprint(n%100))
		if n < 100 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(n)), fmt.Appendf(nil, "file %d\n", n), 0o644); err != nil {
			return err
		}
	}
	return nil
}
