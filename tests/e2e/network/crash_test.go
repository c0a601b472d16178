package network_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

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
		s.Skiff("run", "--rm", img, "say", "tcp", strings.Fields(before)[0]+":80", "x").Exits(0).PrintsMatch(`172\.\d+\.0\.4:.*`)
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

// Connections between containers are the kernel's: those of three networks go on
// when the program is killed, and it comes back without anybody's command.
func TestProgram_ConnectionsOutliveIt(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	networks := []string{"one", "two", "three"}
	for _, n := range networks {
		s.OK("network", "create", n)
		s.OK("run", "-d", "--name", "echo-"+n, "--network", n, img, "echo", ":80")
		s.Eventually("the echo serves", func() bool { return s.OK("logs", "echo-"+n) == "serving" })
		s.OK("run", "-d", "--name", "talk-"+n, "--network", n, img, "talk", "echo-"+n+":80")
	}
	words := func(n string) int { return strings.Count(s.Skiff("logs", "talk-"+n).Stdout, "\n") }
	goOn := func() {
		t.Helper()
		for _, n := range networks {
			before := words(n)
			s.Eventually(n+" talks on", func() bool { return words(n) > before+2 })
		}
	}
	goOn()
	for range 3 {
		old := programs(s)
		if len(old) != 1 {
			t.Fatalf("network programs %v, want one", old)
		}
		if err := syscall.Kill(old[0], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		goOn()
		s.Eventually("the program is back", func() bool {
			now := programs(s)
			return len(now) == 1 && now[0] != old[0]
		})
		goOn()
		for _, n := range networks {
			// A neighbour that comes now is heard, and hears.
			s.Eventually("names are answered", func() bool {
				return s.Skiff("exec", "echo-"+n, "/payload", "lookup", "talk-"+n).Code == 0
			})
		}
		s.Skiff("run", "--rm", "--network", "two", img, "say", "tcp", "echo-two:80", "x").Exits(0).Prints("x")
	}
	for _, n := range networks {
		harness.Equal(t, "the talker's state", s.Inspect("talk-"+n, "{{.State.Running}} {{.RestartCount}}"), "true 0")
		s.OK("rm", "-f", "echo-"+n, "talk-"+n)
	}
}

// What a network costs while nothing happens: one program for all, of little
// memory, none for a container nor for a port.
func TestProgram_CostsLittle(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	s.OK("network", "create", "lan")
	var ports []string
	for range 10 {
		ports = append(ports, "-p", fmt.Sprintf("%d:80", freePort(t)))
	}
	server(s, img, "web", append([]string{"--network", "lan"}, ports...), []string{"tcp:80"})
	for i := range 4 {
		s.OK("run", "-d", "--name", fmt.Sprintf("c%d", i), "--network", "lan", img, "sleep", "1000")
	}
	for range 2 {
		say(t, "tcp", "127.0.0.1:"+strings.TrimSuffix(ports[1], ":80"), "x")
	}
	s.Skiff("exec", "web", "/payload", "lookups", "100", "c3").Exits(0)
	own := programs(s)
	if len(own) != 1 {
		t.Fatalf("network programs %v, want one", own)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", own[0]))
	if err != nil {
		t.Fatal(err)
	}
	kB := -1
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kB, _ = strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	if kB < 0 || kB > 12<<10 {
		t.Errorf("the network program has %d kB of its own, want 12 MB at most", kB)
	}
	if children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", own[0], own[0])); err == nil && len(children) > 0 {
		t.Errorf("the network program has children: %s", children)
	}
	// The time is the benchmark's to judge, and only bounded here.
	took, err := time.ParseDuration(s.OK("exec", "c0", "/payload", "lookups", "200", "web"))
	if err != nil || took > 100*time.Millisecond {
		t.Errorf("a lookup takes %v, %v", took, err)
	}
	s.OK("rm", "-f", "web", "c0", "c1", "c2", "c3")
	s.Eventually("no network program is left", func() bool { return len(programs(s)) == 0 })
}
