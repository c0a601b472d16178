package runtime_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// bundle makes an OCI bundle whose process is the payload with args, from the
// specification that `skiff runtime spec` writes.
func bundle(s *harness.Session, args ...string) string {
	s.T.Helper()
	dir := s.Mkdir("bundle")
	root := s.Mkdir("bundle/rootfs")
	s.Do(nil, "cp", harness.Payload(s.T), filepath.Join(root, "payload")).Succeeds()
	if !harness.Exists(filepath.Join(dir, "config.json")) {
		s.Shell("cd " + dir + " && skiff runtime spec").Succeeds()
	}
	var spec map[string]any
	if err := json.Unmarshal([]byte(s.ReadFile("bundle/config.json")), &spec); err != nil {
		s.T.Fatal(err)
	}
	process := spec["process"].(map[string]any)
	process["args"] = append([]string{"/payload"}, args...)
	process["terminal"] = false
	data, err := json.Marshal(spec)
	if err != nil {
		s.T.Fatal(err)
	}
	s.WriteFile("bundle/config.json", string(data))
	return dir
}

func TestRuntime_RunsABundle(t *testing.T) {
	s := harness.New(t)
	dir := bundle(s, "args", "hello")
	s.Skiff("runtime", "run", "-b", dir, "one").Exits(0).Prints("hello")
	bundle(s, "exit", "9")
	s.Skiff("runtime", "run", "--bundle", dir, "two").Exits(9)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

func TestRuntime_GoesThroughTheLifecycle(t *testing.T) {
	s := harness.New(t)
	dir := bundle(s, "sleep", "1000")
	pidFile := filepath.Join(s.Home(), "pid")
	state := func() (status string, pid float64) {
		var document map[string]any
		if err := json.Unmarshal([]byte(s.OK("runtime", "state", "it")), &document); err != nil {
			t.Fatal(err)
		}
		harness.Equal(t, "the bundle", document["bundle"], any(dir))
		harness.Equal(t, "the id", document["id"], any("it"))
		pid, _ = document["pid"].(float64)
		return document["status"].(string), pid
	}
	s.Shell("skiff runtime create --pid-file " + pidFile + " -b " + dir + " it >/dev/null 2>&1 </dev/null").Exits(0)
	status, pid := state()
	harness.Equal(t, "the status", status, "created")
	harness.Equal(t, "the pid file", s.ReadFile("pid"), jsonNumber(pid))
	s.Skiff("runtime", "create", "-b", dir, "it").Exits(1) // the id is taken
	s.Skiff("runtime", "start", "it").Exits(0)
	status, _ = state()
	harness.Equal(t, "the status", status, "running")
	s.Skiff("runtime", "exec", "it", "/payload", "args", "within").Exits(0).Prints("within")
	s.Skiff("runtime", "list").Exits(0).Says("running")
	s.Skiff("runtime", "delete", "it").Exits(1) // it runs
	s.Skiff("runtime", "kill", "it", "KILL").Exits(0)
	s.Eventually("it is stopped", func() bool { status, _ := state(); return status == "stopped" })
	s.Skiff("runtime", "delete", "it").Exits(0)
	s.Skiff("runtime", "state", "it").Exits(1)
	s.Skiff("runtime", "kill", "it").Exits(1)
}

func TestRuntime_NamesWhatIsWrongWithABundle(t *testing.T) {
	s := harness.New(t)
	s.Skiff("runtime", "run", "-b", s.Home(), "it").Exits(1).Complains("config.json")
	dir := bundle(s)
	s.WriteFile("bundle/config.json", "{")
	s.Skiff("runtime", "run", "-b", dir, "it").Exits(1).Complains("config.json")
	s.WriteFile("bundle/config.json", `{"ociVersion":"1.0.2","root":{"path":"nosuch"},"process":{"cwd":"/","args":["x"]}}`)
	s.Skiff("runtime", "run", "-b", dir, "it").Exits(1)
}

func jsonNumber(n float64) string {
	data, _ := json.Marshal(n)
	return string(data)
}

func TestRuntime_MapsTheUserAsTheBundleSays(t *testing.T) {
	s := harness.New(t)
	s.Mkdir("bundle")
	s.Shell("cd bundle && skiff runtime spec --rootless").Succeeds()
	dir := bundle(s, "cat", "/proc/self/uid_map")
	s.Skiff("runtime", "run", "-b", dir, "it").Exits(0).Says("0          0          1")
	bundle(s, "sleep", "1000")
	s.Shell("skiff runtime run -d -b " + dir + " it >/dev/null 2>&1 </dev/null").Exits(0)
	s.Skiff("runtime", "exec", "it", "/payload", "args", "within").Exits(0).Prints("within")
	s.Skiff("runtime", "delete", "--force", "it").Exits(0)
	s.Skiff("runtime", "delete", "--force", "it").Exits(0)
}

func TestRuntime_TellsAtCreateThatTheProgramIsMissing(t *testing.T) {
	s := harness.New(t)
	dir := bundle(s)
	s.WriteFile("bundle/config.json", strings.ReplaceAll(s.ReadFile("bundle/config.json"), "/payload", "/nosuch"))
	log := filepath.Join(s.Home(), "log")
	s.Skiff("runtime", "--log", log, "--log-format", "json", "create", "-b", dir, "it").Exits(1).Complains("/nosuch")
	var line struct{ Level, Msg string }
	if err := json.Unmarshal([]byte(s.ReadFile("log")), &line); err != nil {
		t.Fatal(err)
	}
	harness.Equal(t, "the level", line.Level, "error")
	s.Skiff("runtime", "state", "it").Exits(1).Complains("does not exist")
}

// Each hook writes its name and the status that it was told; those of the
// container's namespace see the same files, because they come before the pivot.
func TestRuntime_RunsHooksInOrder(t *testing.T) {
	s := harness.New(t)
	dir := bundle(s, "args", "program")
	script, order := filepath.Join(s.Home(), "hook"), filepath.Join(s.Home(), "order")
	s.WriteFile("hook", "#!/bin/sh\nsed \"s/.*\\\"status\\\":\\\"\\([a-z]*\\)\\\".*/$1 \\1/\" >>"+order+"\necho >>"+order+"\n")
	s.Shell("chmod 755 hook").Succeeds()
	var spec map[string]any
	if err := json.Unmarshal([]byte(s.ReadFile("bundle/config.json")), &spec); err != nil {
		t.Fatal(err)
	}
	hooks := map[string]any{}
	for _, name := range []string{"createRuntime", "createContainer", "poststart", "poststop"} {
		hooks[name] = []any{map[string]any{
			"path": script, "args": []string{"hook", name}, "env": []string{"PATH=/usr/bin:/bin"},
		}}
	}
	spec["hooks"] = hooks
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	s.WriteFile("bundle/config.json", string(data))
	s.Skiff("runtime", "run", "-b", dir, "it").Exits(0).Prints("program")
	got := strings.Join(strings.Fields(s.ReadFile("order")), " ")
	harness.Equal(t, "the order", got,
		"createRuntime creating createContainer creating poststart running poststop stopped")
}

func TestRuntime_PassesDescriptorsOn(t *testing.T) {
	s := harness.New(t)
	dir := bundle(s, "cat", "/proc/self/fd/3")
	s.WriteFile("given", "through descriptor 3")
	s.Shell("skiff runtime run --preserve-fds 1 -b " + dir + " it 3<given").Exits(0).Says("through descriptor 3")
}
