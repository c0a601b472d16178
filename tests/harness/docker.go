package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// NewDocker starts a docker engine of its own for as long as the test lasts and
// returns what runs docker's client on it: the client's standard output without
// the last newline. The test must have asked for Root, docker and dockerd; it
// is skipped where the engine does not start.
func NewDocker(t *testing.T) func(t *testing.T, args ...string) string {
	t.Helper()
	host, _ := DockerEngine(t)
	return func(t *testing.T, args ...string) string {
		t.Helper()
		client := exec.Command("docker", args...)
		client.Env = append(os.Environ(), "DOCKER_HOST="+host)
		out, err := client.CombinedOutput()
		if err != nil {
			t.Fatalf("docker %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
}

// DockerEngine starts a docker engine of its own for as long as the test lasts
// and returns its address, for DOCKER_HOST, and its directory: the data root is
// data/ in it. What is said of NewDocker holds.
func DockerEngine(t *testing.T) (host, dir string) {
	t.Helper()
	// A path of its own, short enough for a socket's (unix(7)).
	dir, err := os.MkdirTemp("/tmp", "skiff-dk-")
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	host = "unix://" + dir + "/d.sock"
	// What the engine mounts goes with its namespace.
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "dockerd", "-H", host,
		"--data-root", dir+"/data", "--exec-root", dir+"/exec", "-p", dir+"/pid",
		"--iptables=false", "--ip-masq=false", "--ip6tables=false", "--bridge=none")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	own.add(cmd.Process.Pid)
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(comesWithin):
			_ = cmd.Process.Kill()
			<-ended
		}
		own.remove(cmd.Process.Pid)
		if err := removeTree(dir); err != nil {
			t.Log(err)
		}
	})
	if !within(comesWithin, func() bool {
		client := exec.Command("docker", "version")
		client.Env = append(os.Environ(), "DOCKER_HOST="+host)
		return client.Run() == nil
	}) {
		said, _ := os.ReadFile(log.Name())
		t.Skipf("needs a docker engine; this one does not start: %.2000s", said)
	}
	return host, dir
}
