package runtime_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// changed lets a test change the configuration of the bundle.
func changed(s *harness.Session, change func(spec map[string]any)) {
	s.T.Helper()
	var spec map[string]any
	if err := json.Unmarshal([]byte(s.ReadFile("bundle/config.json")), &spec); err != nil {
		s.T.Fatal(err)
	}
	change(spec)
	data, err := json.Marshal(spec)
	if err != nil {
		s.T.Fatal(err)
	}
	s.WriteFile("bundle/config.json", string(data))
}

// asRoot runs `skiff runtime` as root with a state root of the test's own.
func asRoot(s *harness.Session, args ...string) (said string, err error) {
	s.T.Helper()
	state := filepath.Join(s.Dir, "state")
	cmd := exec.Command(s.Binary(), append([]string{"runtime", "--root", state}, args...)...)
	cmd.Env = []string{"HOME=" + filepath.Join(s.Dir, "root"), "PATH=" + os.Getenv("PATH")}
	// A file, because the container's process keeps it open.
	out, err := os.CreateTemp(s.Dir, "said")
	if err != nil {
		s.T.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	data, _ := os.ReadFile(out.Name())
	return string(data), err
}

// limit finds the file in the container's control group that a hierarchy keeps a
// limit in, for the process pid.
func limit(t *testing.T, pid, controller, one, two string) string {
	t.Helper()
	groups, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(groups)) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), ":")
		names, path, _ := strings.Cut(line, ":")
		if names == controller {
			return filepath.Join("/sys/fs/cgroup", controller, path, one)
		}
		if names == "" && harness.Exists("/sys/fs/cgroup/cgroup.controllers") {
			return filepath.Join("/sys/fs/cgroup", path, two)
		}
	}
	t.Fatalf("no control group of %s:\n%s", controller, groups)
	return ""
}

// mayLimit skips the test where root may not use a controller: in a container, for
// one, or where it is not there.
func mayLimit(t *testing.T, controller string) {
	t.Helper()
	const mountPoint = "/sys/fs/cgroup"
	probe := filepath.Join(mountPoint, controller, fmt.Sprintf("skiff-probe-%d", os.Getpid()))
	var err error
	if harness.Exists(mountPoint + "/cgroup.subtree_control") {
		if err = os.WriteFile(mountPoint+"/cgroup.subtree_control", []byte("+"+controller), 0o600); err == nil {
			probe = filepath.Join(mountPoint, filepath.Base(probe))
		}
	}
	if err == nil {
		err = os.Mkdir(probe, 0o755)
	}
	if err != nil {
		t.Skipf("no control group of %s to be had: %v", controller, err)
	}
	if err := os.Remove(probe); err != nil {
		t.Error(err)
	}
}

func TestRuntime_LimitsAsRoot(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.New(t)
	for _, controller := range []string{"pids", "memory", "cpuset"} {
		mayLimit(t, controller)
	}
	dir := bundle(s, "sleep", "1000")
	name := fmt.Sprintf("/skiff-test-%d", os.Getpid())
	changed(s, func(spec map[string]any) {
		linux := spec["linux"].(map[string]any)
		linux["cgroupsPath"] = name
		linux["resources"] = map[string]any{"pids": map[string]any{"limit": 77}, "memory": map[string]any{"limit": 64 << 20}}
	})
	if said, err := asRoot(s, "create", "-b", dir, "limited"); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	var state struct{ Pid int }
	said, err := asRoot(s, "state", "limited")
	if err == nil {
		err = json.Unmarshal([]byte(said), &state)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	pid := fmt.Sprint(state.Pid)
	processes := limit(t, pid, "pids", "pids.max", "pids.max")
	for file, want := range map[string]string{
		processes: "77",
		limit(t, pid, "memory", "memory.limit_in_bytes", "memory.max"): "67108864",
	} {
		if got, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s: %q (%v), want %s", file, got, err, want)
		}
	}
	if !strings.Contains(processes, name) {
		t.Errorf("the control group is %s, not below %s", processes, name)
	}
	if said, err := asRoot(s, "start", "limited"); err != nil {
		t.Errorf("%v: %s", err, said)
	}
	// What is started in it later is in it, too.
	if said, err := asRoot(s, "exec", "limited", "/payload", "cat", "/proc/self/cgroup"); err != nil || !strings.Contains(said, "pids:/\n") && !strings.Contains(said, "0::/\n") && !strings.Contains(said, name) {
		t.Errorf("the groups of what exec started: %v\n%s", err, said)
	}
	if said, err := asRoot(s, "delete", "-f", "limited"); err != nil {
		t.Errorf("%v: %s", err, said)
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/*" + name); len(left) > 0 || harness.Exists("/sys/fs/cgroup"+name) {
		t.Errorf("left: %v", left)
	}

	// A limit that the kernel refuses is an error, and leaves no group.
	changed(s, func(spec map[string]any) {
		spec["linux"].(map[string]any)["resources"] = map[string]any{"cpu": map[string]any{"cpus": "999"}}
	})
	if said, err := asRoot(s, "create", "-b", dir, "refused"); err == nil || !strings.Contains(said, "cpuset.cpus") {
		t.Errorf("%v: %s", err, said)
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/*" + name); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// An ordinary user is told that limits are not applied.
func TestRuntime_LimitsAreWarnedOf(t *testing.T) {
	s := harness.New(t)
	dir := bundle(s, "args", "hello")
	changed(s, func(spec map[string]any) {
		spec["linux"].(map[string]any)["resources"] = map[string]any{"pids": map[string]any{"limit": 77}}
	})
	s.Skiff("runtime", "run", "-b", dir, "warned").Exits(0).Prints("hello").
		Complains("WARNING: resource limits are not applied: no cgroup is made")
}

// Neither proc nor any other mount is needed to start a container.
func TestRuntime_NoMounts(t *testing.T) {
	s := harness.New(t)
	dir := bundle(s, "args", "hello")
	changed(s, func(spec map[string]any) {
		spec["mounts"] = []any{}
		linux := spec["linux"].(map[string]any)
		delete(linux, "maskedPaths")
		delete(linux, "readonlyPaths")
	})
	s.Skiff("runtime", "run", "-b", dir, "bare").Exits(0).Prints("hello")
}

// Without any namespace a container is a chroot: nothing is mounted anywhere.
func TestRuntime_NoNamespaces(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.New(t)
	dir := bundle(s, "args", "hello")
	changed(s, func(spec map[string]any) {
		spec["linux"].(map[string]any)["namespaces"] = []any{}
	})
	if said, err := asRoot(s, "run", "-b", dir, "named"); err == nil || !strings.Contains(said, "a container without a UTS namespace of its own cannot have a hostname") {
		t.Errorf("%v: %s", err, said)
	}
	changed(s, func(spec map[string]any) { delete(spec, "hostname") })
	said, err := asRoot(s, "run", "-b", dir, "open")
	if err != nil || !strings.Contains(said, "hello") || !strings.Contains(said, "WARNING: without a mount namespace of its own a container has no mounts") {
		t.Errorf("%v: %s", err, said)
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("mounted on the host (%v):\n%s", err, mounts)
	}
}
