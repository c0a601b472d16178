package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"skiff/tests/registry"
)

const (
	// pullBytes is the size of what is pulled, unpacked, and largestFile of one
	// file in it.
	pullBytes   = 200 << 20
	largestFile = 8 << 20
	pullRounds  = 5
	// manyLayers is how many layers the same contents have the second time.
	manyLayers = 8
)

// pulled is what one pull costs.
type pulled struct {
	wall, cpu time.Duration // cpu is user and system time, of children too
	resident  int64         // kB, the most at any time of any process
}

// measurePulls lets skiff and its peers fetch the same image from a registry in
// this process, as one layer and as several, beside a pipe that only unpacks.
func measurePulls(p *place, all []*contestant, r *report) {
	server, stop := registry.Start()
	defer stop()
	layers, err := pullLayers()
	if err != nil {
		r.note("pull: %v", err)
		return
	}
	r.pulls.WriteString("| pull, 200 MB from a local registry | wall, ms | of the pipe | CPU, ms | of the pipe | peak memory, MB |\n|---|---:|---:|---:|---:|---:|\n")
	_, one := server.Add("one", "1", bytes.Join(layers, nil))
	for i := range layers[:len(layers)-1] {
		layers[i] = append(layers[i], make([]byte, 1024)...) // each is an archive of its own
	}
	_, several := server.Add("several", "1", layers...)
	for _, image := range []struct {
		name, title string
		blobs       []string
	}{{"one", "one layer", one[1:]}, {"several", fmt.Sprintf("%d layers", manyLayers), several[1:]}} {
		racePulls(p, all, server.Address, image.name, image.title, image.blobs, r)
	}
}

func racePulls(p *place, all []*contestant, address, name, title string, blobs []string, r *report) {
	times := map[string][]pulled{}
	ref := address + "/ok/" + name + ":1"
	var script strings.Builder
	script.WriteString("set -e; mkdir -p pipe; ")
	for _, b := range blobs {
		fmt.Fprintf(&script, "curl -sf http://%s/v2/ok/%s/blobs/%s | gzip -dc | tar -x -C pipe; ", address, name, b)
	}
	for range pullRounds {
		for _, who := range all {
			var cmd, undo *exec.Cmd
			switch {
			case who.missing != "":
				continue
			case who.name == "process": // the floor
				cmd, undo = p.command("/bin/sh", "-c", script.String()), p.command("rm", "-rf", "pipe")
			case who.name == "podman":
				cmd, undo = who.line("pull", "-q", "--tls-verify=false", ref), who.line("rmi", "-f", ref)
			case who.lines["images"] != nil:
				cmd, undo = who.line("pull", "-q", ref), who.line("rmi", "-f", ref)
			default:
				continue
			}
			unix.Sync()
			peak := watchMemory(p.uid)
			wall, err := who.starter.time(cmd)
			one := pulled{wall: wall, resident: peak()}
			if err != nil {
				r.note("%s, pull: %v", who.name, err)
				continue
			}
			one.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			times[who.name] = append(times[who.name], one)
			if _, err := who.starter.time(undo); err != nil {
				r.note("%s, pull: %v", who.name, err)
			}
		}
	}
	for _, who := range all {
		of := times[who.name]
		if len(of) == 0 {
			continue
		}
		r.pull(who.name, title, medianOf(of), medianOf(times["process"]))
	}
}

// watchMemory looks at the user's processes that begin from now on, and says in
// the end how much memory the largest had, in kB. What wait4(2) says is of no use:
// it counts ours, which the children start from.
func watchMemory(uid int) (stop func() int64) {
	before := map[string]bool{}
	list := func() []string {
		all, _ := filepath.Glob("/proc/[0-9]*/status")
		return all
	}
	for _, path := range list() {
		before[path] = true
	}
	done, most := make(chan struct{}), make(chan int64)
	go func() {
		var peak int64
		for {
			for _, path := range list() {
				data, err := os.ReadFile(path)
				if err != nil || before[path] || !strings.Contains(string(data), fmt.Sprintf("\nUid:\t%d\t", uid)) {
					continue
				}
				_, rest, _ := strings.Cut(string(data), "\nVmHWM:")
				fields := strings.Fields(rest)
				if len(fields) == 0 {
					continue
				}
				if kb, err := strconv.ParseInt(fields[0], 10, 64); err == nil && !strings.HasPrefix(string(data), "Name:\tbench") {
					peak = max(peak, kb)
				}
			}
			select {
			case <-done:
				most <- peak
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() int64 { close(done); return <-most }
}

// medianOf takes the median of each figure, and the largest memory.
func medianOf(of []pulled) (m pulled) {
	var wall, cpu []time.Duration
	for _, one := range of {
		wall, cpu = append(wall, one.wall), append(cpu, one.cpu)
		m.resident = max(m.resident, one.resident)
	}
	m.wall, m.cpu = median(wall), median(cpu)
	return m
}

// pull adds a row about pulls. docker's work is done by its engine, whose CPU time
// and memory are not seen here.
func (r *report) pull(who, title string, m, floor pulled) {
	name := who
	if who == "process" {
		name = "curl, gzip -dc, tar -x"
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d.Microseconds())/1000) }
	of := func(a, b time.Duration) string {
		if b == 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f x", float64(a)/float64(b))
	}
	cpu, cpuOf, memory := ms(m.cpu), of(m.cpu, floor.cpu), fmt.Sprintf("%.0f", float64(m.resident)/1024)
	if who == "docker" {
		cpu, cpuOf, memory = "-", "-", "-"
	}
	fmt.Fprintf(&r.pulls, "| %s, %s | %s | %s | %s | %s | %s |\n", title, name, ms(m.wall), of(m.wall, floor.wall), cpu, cpuOf, memory)
}

// pullLayers makes archives of files of this machine, programs and text, without
// the blocks that end an archive except for the last.
func pullLayers() ([][]byte, error) {
	layers := make([][]byte, manyLayers)
	var total int64
	buffers := make([]bytes.Buffer, manyLayers)
	writers := make([]*tar.Writer, manyLayers)
	for i := range writers {
		writers[i] = tar.NewWriter(&buffers[i])
	}
	full := fmt.Errorf("enough")
	for _, root := range []string{"/usr/lib/x86_64-linux-gnu", "/usr/bin", "/usr/share", "/usr/lib", "/usr/local"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			info, err := d.Info()
			if err != nil || info.Size() > largestFile {
				return nil
			}
			if total+info.Size() > pullBytes {
				return full
			}
			data, err := os.ReadFile(path)
			if err != nil || int64(len(data)) != info.Size() {
				return nil
			}
			w := writers[total*manyLayers/pullBytes]
			total += info.Size()
			if err := w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(path, "/"), Mode: 0o644, Size: info.Size(), ModTime: info.ModTime().Truncate(time.Second)}); err != nil {
				return err
			}
			_, err = w.Write(data)
			return err
		})
		if err != nil && err != full {
			return nil, err
		}
	}
	for i, w := range writers {
		if i == manyLayers-1 {
			if err := w.Close(); err != nil {
				return nil, err
			}
		} else if err := w.Flush(); err != nil {
			return nil, err
		}
		layers[i] = buffers[i].Bytes()
	}
	return layers, nil
}
