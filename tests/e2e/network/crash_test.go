package network_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"skiff/tests/harness"
)

// programs are the network programs of a session's store.
func programs(s *harness.Session) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err == nil && strings.HasPrefix(string(data), "skiff:network\x00"+s.Store()) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func TestProgram_IsReplacedWhenKilled(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	port := freePort(t)
	server(s, img, "web", []string{"-p", fmt.Sprintf("%d:80", port)}, []string{"tcp:80"})
	server(s, img, "other", nil, []string{"tcp:80"})
	before := s.Inspect("web", "{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Ports}}")
	for range 2 {
		old := programs(s)
		if len(old) != 1 {
			t.Fatalf("network programs %v, want one", old)
		}
		if err := syscall.Kill(old[0], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		// Neighbours are the kernel's.
		s.Skiff("exec", "other", "/payload", "say", "tcp", strings.Fields(before)[0]+":80", "x").Exits(0)
		s.Eventually("the port is back", func() bool {
			answer, err := trySay("tcp", fmt.Sprintf("127.0.0.1:%d", port), "x")
			return err == nil && strings.HasSuffix(answer, "said x")
		})
		harness.Equal(t, "addresses and ports", s.Inspect("web", "{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Ports}}"), before)
		s.Eventually("names are answered", func() bool {
			return s.Skiff("exec", "other", "/payload", "lookup", "web").Code == 0
		})
		s.Skiff("run", "--rm", img, "say", "tcp", strings.Fields(before)[0]+":80", "x").Exits(0).PrintsMatch(`172\.17\.0\.4:.*`)
	}
	s.OK("rm", "-f", "web", "other")
	s.Eventually("no network program is left", func() bool { return len(programs(s)) == 0 })
}

func TestProgram_OneForManyStartsAtOnce(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	var lines []string
	for i := range 12 {
		lines = append(lines, fmt.Sprintf("skiff run -d --name c%d %s sleep 60 &", i, img))
	}
	s.Shell(strings.Join(lines, "\n") + "\nwait").Exits(0)
	seen := map[string]bool{}
	for i := range 12 {
		seen[s.Inspect(fmt.Sprintf("c%d", i), "{{.NetworkSettings.IPAddress}}")] = true
	}
	if len(seen) != 12 || seen[""] {
		t.Errorf("addresses %v, want twelve", seen)
	}
	if n := len(programs(s)); n != 1 {
		t.Errorf("%d network programs, want one", n)
	}
}
