package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	unitRounds   = 30
	quadletFiles = 100
)

// measureUnits looks what pods and systemd cost over `run`: a manifest with three
// containers beside one container, the generator, and a unit's main process.
func measureUnits(p *place, all []*contestant, r *report) {
	at := slices.IndexFunc(all, func(c *contestant) bool { return c.name == "skiff" })
	if at < 0 || all[at].missing != "" {
		return
	}
	r.store.WriteString("\n| pods and units, in milliseconds | | beside | | budget |\n|---|---:|---:|---|---|\n")
	for _, part := range []struct {
		what    string
		measure func(*report) error
	}{{"kube play", p.playThree}, {"generator", p.generate}, {"a unit", p.asUnit}} {
		if err := part.measure(r); err != nil {
			r.note("%s: %v", part.what, err)
		}
	}
}

// turns runs commands in turns, each with what undoes it and is not counted, and
// returns their medians.
func (p *place) turns(commands, undo [][]string, env ...string) ([]time.Duration, error) {
	times := make([][]time.Duration, len(commands))
	for n := range unitRounds + 2 { // the first two warm the caches
		for i, args := range commands {
			cmd := p.inStore("units", args...)
			if i == 0 {
				cmd.Env = append(cmd.Env, env...)
			}
			took, err := p.plain.time(cmd)
			if err != nil {
				return nil, err
			}
			if n >= 2 {
				times[i] = append(times[i], took)
			}
			if undo[i] != nil {
				if _, err := p.plain.time(p.inStore("units", undo[i]...)); err != nil {
					return nil, err
				}
			}
		}
	}
	medians := make([]time.Duration, len(times))
	for i, of := range times {
		medians[i] = median(of)
	}
	return medians, nil
}

func (p *place) playThree(r *report) error {
	if err := p.importUnits(); err != nil {
		return err
	}
	manifest := filepath.Join(p.dir, "home", "three.yaml")
	text := "apiVersion: v1\nkind: Pod\nmetadata: {name: three}\nspec:\n  restartPolicy: Never\n  terminationGracePeriodSeconds: 0\n  containers:\n"
	for _, name := range []string{"a", "b", "c"} {
		text += "  - {name: " + name + ", image: bench, imagePullPolicy: Never, command: [sleep, '1000']}\n"
	}
	if err := os.WriteFile(manifest, []byte(text), 0o644); err != nil {
		return err
	}
	took, err := p.turns(
		[][]string{{"kube", "play", "--network", "none", manifest}, {"run", "-d", "--name", "one", "--network", "none", "--pull", "never", "bench", "sleep", "1000"}},
		[][]string{{"kube", "down", manifest}, {"rm", "-f", "one"}})
	if err != nil {
		return err
	}
	ratio := float64(took[0]) / float64(took[1])
	fmt.Fprintf(&r.store, "| `kube play` of a pod with three containers, beside `run -d` of one | %.1f | %.1f | %s | 3.0 x |\n",
		milliseconds(took[0]), milliseconds(took[1]), bold(fmt.Sprintf("%.2f x", ratio), ratio > 3))
	return nil
}

func (p *place) importUnits() error {
	_, err := p.plain.time(p.inStore("units", "import", filepath.Join(p.dir, "tree.tar"), "bench"))
	return err
}

func (p *place) generate(r *report) error {
	dir := filepath.Join(p.dir, "home", "quadlet")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i := range quadletFiles {
		text := fmt.Sprintf("[Unit]\nDescription=Number %[1]d\nAfter=network-online.target\n[Container]\nImage=docker.io/library/nginx\nPublishPort=%[2]d:80\nVolume=data%[1]d:/data\nEnvironment=A=%[1]d\n[Service]\nRestart=on-failure\n[Install]\nWantedBy=default.target\n", i, 8000+i)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("c%d.container", i)), []byte(text), 0o644); err != nil {
			return err
		}
	}
	link := filepath.Join(p.dir, "home", "skiff-user-generator")
	if err := os.Symlink(p.binary, link); err != nil {
		return err
	}
	var times []time.Duration
	for n := range unitRounds + 2 {
		// systemd's directory is new, and in memory.
		out, err := os.MkdirTemp("/dev/shm", "bench.")
		if err != nil {
			return err
		}
		err = os.Chown(out, p.uid, p.gid)
		var took time.Duration
		if err == nil {
			cmd := p.command(link, out, out, out)
			cmd.Env = append(cmd.Env, "QUADLET_UNIT_DIRS="+dir)
			took, err = p.plain.time(cmd)
		}
		units, _ := filepath.Glob(filepath.Join(out, "*.service"))
		_ = os.RemoveAll(out)
		if err == nil && len(units) != quadletFiles {
			err = fmt.Errorf("%d units of %d files", len(units), quadletFiles)
		}
		if err != nil {
			return err
		}
		if n >= 2 {
			times = append(times, took)
		}
	}
	took := milliseconds(median(times))
	fmt.Fprintf(&r.store, "| the generator with %d Quadlet files | %.1f | - | %s | 20 |\n", quadletFiles, took, bold(fmt.Sprintf("%.1f", took), took > 20))
	return nil
}

// asUnit runs a container as the main process of a unit does that waits for
// READY=1; systemd's own part is not in it.
func (p *place) asUnit(r *report) error {
	if err := p.importUnits(); err != nil {
		return err
	}
	path := filepath.Join(p.dir, "run", "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer socket.Close()
	if err := os.Chmod(path, 0o777); err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 4096)
		for {
			if _, err := socket.Read(buf); err != nil {
				return
			}
		}
	}()
	run := strings.Fields("run --rm --name one --network none --pull never bench true")
	unit := strings.Fields("run --rm --replace --name one --sdnotify=conmon --network none --pull never bench true")
	took, err := p.turns([][]string{unit, run}, [][]string{nil, nil}, "NOTIFY_SOCKET="+path, "INVOCATION_ID=0123456789abcdef0123456789abcdef")
	if err != nil {
		return err
	}
	over := milliseconds(took[0]) - milliseconds(took[1])
	fmt.Fprintf(&r.store, "| a unit's main process (`--replace`, Type=notify), beside `run` | %.1f | %.1f | %s | 5 more |\n",
		milliseconds(took[0]), milliseconds(took[1]), bold(fmt.Sprintf("%+.1f", over), over > 5))
	return nil
}
