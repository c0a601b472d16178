package container_test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestLogs_FollowAcrossRotations(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	// Pauses, because who reads more slowly than three files are written loses
	// lines, as with docker; and a first line, which tells that it is read.
	s.OK("run", "-d", "--name", "it", "--log-opt", "max-size=64k", "--log-opt", "max-file=3", img, "sh", "-c",
		"echo ready; while [ ! -e /go ]; do sleep 0.05; done; i=0; "+
			"while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); [ $((i % 500)) != 0 ] || sleep 0.02; done")
	got := s.Shell("skiff logs -f it | { read -r first && skiff exec it touch /go && cat; }").Exits(0).Stdout
	n := 0
	for line := range strings.Lines(got) {
		if want := fmt.Sprintf("line %d\n", n); line != want {
			t.Fatalf("got %q, want %q", line, want)
		}
		n++
	}
	if n != 30000 {
		t.Errorf("got %d lines", n)
	}
	files, err := filepath.Glob(filepath.Join(s.Store(), "containers", "*", "log*"))
	if err != nil || len(files) != 3 {
		t.Errorf("files: got %v, %v", files, err)
	}
}

func TestLogs_KeepAFloodInASmallMonitor(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "it", "--log-opt", "max-size=-1", img, "sh", "-c",
		"while [ ! -e /go ]; do sleep 0.05; done; dd if=/dev/zero bs=64k count=1600 2>/dev/null; cat /go >/dev/null; sleep 1000")
	monitor := statusField(t, s.Inspect("it", "{{.State.Pid}}"), "PPid")
	s.OK("exec", "it", "touch", "/go")
	s.Eventually("all is there, and nothing else", func() bool {
		return s.Shell("skiff logs it | tr -d x | wc -c").Out() == "104857600"
	})
	peak, err := strconv.Atoi(strings.TrimSuffix(statusField(t, monitor, "VmHWM"), " kB"))
	if err != nil || peak > 10<<10 {
		t.Errorf("the monitor had %d kB, %v", peak, err)
	}
}

func TestLogs_DriversThatAreNotThere(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.Skiff("run", "--rm", "--log-driver", "nosuch", img, "true").Exits(125).Complains(`error looking up logging plugin nosuch: plugin "nosuch" not found`)
	s.Skiff("run", "--rm", "--log-driver", "syslog", img, "true").Exits(125).Complains(`log driver "syslog" is not supported`)
	if !harness.Exists("/run/systemd/journal/socket") {
		s.Skiff("run", "--rm", "--log-driver", "journald", img, "true").Exits(125).
			Complains("failed to initialize logging driver: journald is not enabled on this host")
	}
	s.OK("run", "--name", "none", "--log-driver", "none", img, "echo", "x")
	s.Skiff("logs", "none").Exits(1).Complains("configured logging driver does not support reading")
}
