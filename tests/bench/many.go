package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	manyContainers = 1000 // that exist
	manyRunning    = 200  // at one moment
	manyRounds     = 25
)

// measureMany looks how our own commands are among many containers, in turns
// with a store that has none, and starts many at once that stay.
func measureMany(p *place, all []*contestant, r *report) {
	at := slices.IndexFunc(all, func(c *contestant) bool { return c.name == "skiff" })
	if at < 0 || all[at].missing != "" {
		return
	}
	if err := p.amongMany(r); err != nil {
		r.note("among many containers: %v", err)
	}
	if err := p.runMany(r); err != nil {
		r.note("many running containers: %v", err)
	}
}

// inStore is a command of ours in a store of its own.
func (p *place) inStore(name string, args ...string) *exec.Cmd {
	cmd := p.command(append([]string{p.binary}, args...)...)
	cmd.Env = append(cmd.Env, "XDG_DATA_HOME="+filepath.Join(p.dir, "home", name))
	return cmd
}

func (p *place) amongMany(r *report) error {
	stores := []string{"none", "many"}
	for _, store := range stores {
		if _, err := p.plain.time(p.inStore(store, "import", filepath.Join(p.dir, "tree.tar"), "bench")); err != nil {
			return err
		}
	}
	for range manyContainers {
		if _, err := p.plain.time(p.inStore("many", "create", "--network", "none", "bench", "true")); err != nil {
			return err
		}
	}
	lines := []struct {
		name string
		args []string
	}{
		{"an empty command (`version`)", []string{"version"}},
		{"`ps -a`", []string{"ps", "-a"}},
		{"`run --rm --network none`", []string{"run", "--rm", "--network", "none", "bench", "true"}},
	}
	times := map[string][]time.Duration{}
	for n := range manyRounds + 2 { // the first two warm the caches
		for _, l := range lines {
			for _, store := range stores {
				took, err := p.plain.time(p.inStore(store, l.args...))
				if err != nil {
					return err
				}
				if n >= 2 {
					times[l.name+store] = append(times[l.name+store], took)
				}
			}
		}
	}
	of := func(line int, store string) float64 { return milliseconds(median(times[lines[line].name+store])) }
	fmt.Fprintf(&r.store, "\n| among N containers, in milliseconds | N = 0 | N = %d | | budget |\n|---|---:|---:|---|---|\n", manyContainers)
	over, slower := of(1, "many")-of(0, "many"), of(2, "many")/of(2, "none")
	verdicts := []string{"", bold(fmt.Sprintf("%.1f over an empty command", over), over > 25), bold(fmt.Sprintf("%.2f x that with none", slower), slower > 1.1)}
	for i, budget := range []string{"", "25 over an empty command", "1.1 x"} {
		fmt.Fprintf(&r.store, "| %s | %.1f | %.1f | %s | %s |\n", lines[i].name, of(i, "none"), of(i, "many"), verdicts[i], budget)
	}
	return nil
}

func bold(s string, is bool) string {
	if is {
		return "**" + s + "**"
	}
	return s
}

// runMany starts containers at once that stay, counts those that run, and
// removes them.
func (p *place) runMany(r *report) error {
	begin := time.Now()
	commands := make([]*exec.Cmd, manyRunning)
	failed := 0
	for i := range commands {
		commands[i] = p.inStore("none", "run", "-d", "--network", "none", "bench", "sleep", "100000")
		if err := p.plain.start(commands[i]); err != nil {
			return err
		}
	}
	for _, cmd := range commands {
		if cmd.Wait() != nil {
			failed++
		}
	}
	took := time.Since(begin)
	list := p.inStore("none", "ps", "-q")
	list.Stdout = nil
	out, err := list.Output()
	if err != nil {
		return err
	}
	ids := strings.Fields(string(out))
	listed, err := p.plain.time(p.inStore("none", "ps"))
	if err != nil {
		return err
	}
	if len(ids) > 0 {
		if _, err := p.plain.time(p.inStore("none", append([]string{"rm", "-f"}, ids...)...)); err != nil {
			return err
		}
	}
	fmt.Fprintf(&r.store, "\n%d containers that stay, started at once: %s, %.0f ms, %d failed; `ps` among them %.1f ms.\n",
		manyRunning, bold(fmt.Sprintf("%d run", len(ids)), len(ids) != manyRunning), milliseconds(took), failed, milliseconds(listed))
	return nil
}
