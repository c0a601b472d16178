package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	loggedBytes = 1 << 30
	logBudget   = 200 // MB/s
)

// measureLogs follows a container that writes as fast as it can into the
// smallest rotation, and counts what arrives.
func measureLogs(p *place, all []*contestant, r *report) {
	if !slices.ContainsFunc(all, func(c *contestant) bool { return c.name == "skiff" && c.missing == "" }) {
		return
	}
	if err := p.followFast(r); err != nil {
		r.note("logs -f: %v", err)
	}
}

func (p *place) followFast(r *report) error {
	const store = "logs"
	if _, err := p.plain.time(p.inStore(store, "import", p.dir+"/tree.tar", "bench")); err != nil {
		return err
	}
	script := fmt.Sprintf("busybox printf .; until [ -e /go ]; do busybox sleep 0.05; done; busybox dd if=/dev/zero bs=64k count=%d 2>/dev/null", loggedBytes>>16)
	if _, err := p.plain.time(p.inStore(store, "run", "-d", "--name", "fast", "--network", "none",
		"--log-opt", "max-size=10m", "--log-opt", "max-file=3", "bench", "sh", "-c", script)); err != nil {
		return err
	}
	defer func() { _, _ = p.plain.time(p.inStore(store, "rm", "-f", "fast")) }()
	out, err := p.plain.output(p.inStore(store, "inspect", "--format", "{{.State.Pid}}", "fast"))
	if err != nil {
		return err
	}
	monitor, err := parent(strings.TrimSpace(string(out)))
	if err != nil {
		return err
	}

	follow := p.inStore(store, "logs", "-f", "fast")
	pipe, err := follow.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.plain.start(follow); err != nil {
		return err
	}
	// It follows when its first byte is here.
	if _, err := io.ReadFull(pipe, make([]byte, 1)); err != nil {
		return err
	}
	if _, err := p.plain.time(p.inStore(store, "exec", "fast", "busybox", "touch", "/go")); err != nil {
		return err
	}
	begin := time.Now()
	private := 0
	stop, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			private = max(private, memory(monitor)["Anonymous"])
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	n, err := io.Copy(io.Discard, pipe)
	took := time.Since(begin)
	close(stop)
	<-watched
	if err != nil {
		return err
	}
	if err := follow.Wait(); err != nil {
		return err
	}
	speed := float64(n) / 1e6 / took.Seconds()
	fmt.Fprintf(&r.store, "\n`logs -f` of a container that writes %d MB with 3 files of 10 MB: %s, %s, its monitor's own memory %s (budget %d MB/s, nothing lost, 10 MB).\n",
		loggedBytes/1_000_000, bold(fmt.Sprintf("%.0f MB/s", speed), speed < logBudget), bold(fmt.Sprintf("%d bytes lost", loggedBytes-n), n != loggedBytes),
		bold(fmt.Sprintf("%d kB", private), private > 10_000), logBudget)
	return nil
}

// parent is the pid of a process's parent (proc(5)).
func parent(pid string) (int, error) {
	data, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	return strconv.Atoi(fields[1])
}
