package hostile_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"skiff/tests/harness"
)

// rounds is how often a race is tried: SKIFF_ROUNDS, else few.
func rounds(few int) int {
	if n, err := strconv.Atoi(os.Getenv("SKIFF_ROUNDS")); err == nil {
		return n
	}
	return few
}

// swapper starts a container that exchanges, for ever, a directory of the volume
// "shared" with a link to the canary.
func swapper(s *harness.Session, canary string) {
	s.T.Helper()
	img := s.LoadPayload()
	busybox := s.LoadBusybox()
	s.OK("volume", "create", "shared")
	s.OK("run", "--rm", "--network", "none", "-v", "shared:/v", busybox, "sh", "-c", "mkdir -p /v/a/sub && ln -s "+canary+" /v/b")
	s.OK("run", "-d", "--name", "swapper", "--network", "none", "-v", "shared:/v", img, "swap", "/v/a", "/v/b")
	s.Eventually("it has swapped 2,000 times", func() bool { return s.Skiff("logs", "swapper").Out() == "2000 swaps" })
	s.T.Cleanup(func() { s.Skiff("volume", "rm", "-f", "shared") })
}

func TestA05_MountPointsThatAreSwapped(t *testing.T) {
	s := harness.New(t)
	c := canary(s)
	swapper(s, c)
	mounted := s.Mkdir("mounted")
	for range rounds(15) {
		// Refused or mounted within the container: both are fine, and only that.
		s.Skiff("run", "--rm", "--network", "none", "-v", "shared:/v", "-v", mounted+":/v/a/sub/new", "busybox", "true")
		s.Skiff("run", "--rm", "--network", "none", "-v", "shared:/v", "-v", mounted+":/v/a/sub", "-w", "/v/a/wd", "busybox", "sh", "-c", "touch /v/a/sub/x")
	}
	s.OK("rm", "-f", "swapper")
}

func TestA38_CopiesWhilePathsAreSwapped(t *testing.T) {
	s := harness.New(t)
	c := canary(s)
	swapper(s, c)
	file := s.WriteFile("file", "from outside\n")
	s.Mkdir("got")
	for range rounds(15) {
		s.Skiff("cp", file, "swapper:/v/a/victim")
		s.Skiff("cp", file, "swapper:/v/a/sub/")
		if r := s.Skiff("cp", "swapper:/v/a/secret", "-"); strings.Contains(r.Stdout, "mine") {
			t.Fatal("a copy read the host's file")
		}
	}
	s.OK("rm", "-f", "swapper")
}

func TestA37_AVolumeIsFilledWhilePathsAreSwapped(t *testing.T) {
	s := harness.New(t)
	c := canary(s)
	// The image's directory for the volume is a link out: nothing of the host's
	// gets into the volume, nothing of the image's to the host.
	img := s.Load(with(t, harness.Layer{harness.Symlink("data", c)}, map[string]any{"Volumes": map[string]any{"/data": map[string]any{}}}))
	for range rounds(3) {
		r := run(s, "-v", "filled:/data", img, "ls", "/data")
		if strings.Contains(r.Stdout, "secret") {
			t.Errorf("the volume holds the host's files: %q", r.Stdout)
		}
		s.Skiff("volume", "rm", "-f", "filled")
	}
}

func TestA37_ArchivesOfAVolumeWhilePathsAreSwapped(t *testing.T) {
	s := harness.New(t)
	c := canary(s)
	swapper(s, c)
	s.WriteFile("in/a/victim", "from the archive\n")
	s.WriteFile("in/a/sub/victim", "from the archive\n")
	s.Shell("tar c -f in.tar -C in a").Exits(0)
	in, out := 0, 0
	for range rounds(15) {
		// What the archive says of a is refused or written within the volume.
		if s.Shell("skiff volume import shared in.tar").Code == 0 {
			in++
		}
		r := s.Skiff("volume", "export", "shared")
		if strings.Contains(r.Stdout, "mine") {
			t.Fatal("the archive holds the host's file")
		}
		if r.Code == 0 {
			out++
		}
	}
	t.Logf("%d imports and %d exports were not refused", in, out)
	s.OK("rm", "-f", "swapper")
}

func TestKill9_AnywhereLeavesNothingBroken(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	for n := range rounds(8) {
		name := "k" + strconv.Itoa(n)
		switch n % 3 {
		case 0: // the front, at any moment of its start
			s.Shell("timeout -s KILL 0.0" + strconv.Itoa(10+rand.IntN(80)) + " skiff run -d --network none --name " + name + " " + img + " sleep 1000")
		case 1: // the monitor
			s.OK("run", "-d", "--network", "none", "--name", name, img, "sleep", "1000")
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			killPid(t, parentOf(t, s.Inspect(name, "{{.State.Pid}}")))
			s.Eventually("the end is seen", func() bool { return s.Inspect(name, "{{.State.Status}} {{.State.ExitCode}}") == "exited 137" })
		case 2: // the container's first process
			s.OK("run", "-d", "--network", "none", "--name", name, img, "sleep", "1000")
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			killPid(t, s.Inspect(name, "{{.State.Pid}}"))
			s.Eventually("the end is seen", func() bool { return s.Inspect(name, "{{.State.Status}} {{.State.ExitCode}}") == "exited 137" })
		}
		s.OK("ps", "-a")
		if s.Skiff("inspect", name).Code == 0 {
			if n%3 != 0 {
				s.OK("start", name)
			}
			s.OK("rm", "-f", name)
		}
		s.OK("run", "--rm", "--network", "none", "--name", name, img, "true")
	}
}

func parentOf(t *testing.T, pid string) string {
	t.Helper()
	data, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "PPid:"); ok {
			return strings.TrimSpace(v)
		}
	}
	t.Fatal("no parent")
	return ""
}

func killPid(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil || n < 2 {
		t.Fatalf("pid %q", pid)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func TestA13_TheGroupsOfTheMachineAreNotWritable(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	run(s, img, "sh", "-c", "mkdir /sys/fs/cgroup/x 2>/dev/null && echo made; grep -E ' - cgroup2? ' /proc/self/mountinfo | grep -v ' ro,'").
		Prints("")
}

func TestA14_ControlSocketsAreTheUsersAlone(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "it", "--network", "none", img, "sleep", "1000")
	sockets, err := filepath.Glob(filepath.Join(s.Store(), "containers", "*", "control.sock"))
	if err != nil || len(sockets) != 1 {
		t.Fatalf("got %v, %v", sockets, err)
	}
	for path, want := range map[string]os.FileMode{sockets[0]: 0o600, s.Store(): 0o700} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&^want != 0 && path == s.Store() {
			t.Errorf("%s: mode %v", path, info.Mode())
		}
	}
	run(s, img, "sh", "-c", "grep -c '@' /proc/net/unix").Prints("0")
	data, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "@skiff") {
		t.Error("an abstract socket has no owner")
	}
}

func TestA15_OthersDoNotReachTheStore(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "--name", "it", "--network", "none", img, "true")
	info, err := os.Stat(s.Store())
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the store: %v, %v", info.Mode(), err)
	}
}

func TestA17_LabelsOfImagesAreNotAnnotations(t *testing.T) {
	s := harness.New(t)
	img := s.Load(with(t, nil, map[string]any{"Labels": map[string]any{
		"run.oci.handler": "krun", "io.podman.annotations.privileged": "TRUE", "org.skiff.x": "y",
	}}))
	s.OK("run", "--name", "it", "--network", "none", img, "true")
	if got := s.Inspect("it", "{{json .HostConfig}}"); strings.Contains(got, "krun") || strings.Contains(got, `"Privileged":true`) {
		t.Errorf("got %s", got)
	}
}

func TestA18_WhatEntersAHostileContainerShowsNothing(t *testing.T) {
	s := harness.New(t)
	img := s.Load(with(t, nil, map[string]any{"Env": []string{"PATH=/bin", "LD_PRELOAD=/bin/evil.so"}}))
	s.Setenv("HOSTS_SECRET", "s3cret")
	s.OK("run", "-d", "--name", "it", "--network", "none", img, "sh", "-c",
		"while :; do for p in /proc/[0-9]*; do readlink $p/exe; cat $p/environ; ls $p/fd; done; done 2>/dev/null | grep -a -E 's3cret|skiff|stage-' >/found")
	for range rounds(20) {
		s.Skiff("exec", "it", "true").Exits(0)
	}
	s.Skiff("exec", "it", "cat", "/found").Exits(0).Prints("")
}

func TestA19_SharedMemoryIsBounded(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	run(s, img, "sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=100 2>/dev/null; stat -c %s /dev/shm/x").Prints("67108864")
}

func TestA33_LogsCannotBeForged(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "--name", "it", "--network", "none", img, "sh", "-c",
		"head -c 1000000 /dev/urandom | tee /bytes; printf '\\r2020-01-01T00:00:00Z forged\\0\\033[2J'")
	s.OK("cp", "it:/bytes", "bytes")
	want := s.ReadFile("bytes") + "\r2020-01-01T00:00:00Z forged\x00\x1b[2J"
	if got := s.Skiff("logs", "it").Exits(0).Stdout; got != want {
		t.Errorf("%d bytes were written, %d other ones read", len(want), len(got))
	}
}
