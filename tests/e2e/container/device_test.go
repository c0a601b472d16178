package container_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// hookScript is a hook as a vendor's: it finds the root in the bundle that the state
// names, and leaves a file there.
const hookScript = `#!/bin/sh
state=$(cat)
field() { printf %s "$state" | sed "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/"; }
root=$(sed 's/.*"root":{"path":"\([^"]*\)".*/\1/' "$(field bundle)/config.json")
echo "$1 $(field status)" >>"$LOG"
printf %s "$state" >"$LOG.state"
cp "$(field bundle)/config.json" "$LOG.config"
if [ "$1" = createContainer ]; then echo "$2" >"$root/hooked"; fi
if [ "$1" = fail ]; then echo "no driver found" >&2; exit 3; fi
`

// specDir is the user's own directory of specifications.
const specDir = ".config/cdi/"

// vendor writes a specification of vendor.com/class with the devices one and two.
func vendor(s *harness.Session, value string) {
	s.T.Helper()
	hook := s.WriteFile("hook", hookScript)
	s.Shell("chmod 755 " + hook + "; mkdir -p ~/" + specDir).Exits(0)
	log := filepath.Join(s.Home(), "log")
	s.WriteFile(specDir+"vendor.yaml", fmt.Sprintf(`cdiVersion: "0.7.0"
kind: vendor.com/class
devices:
- name: one
  containerEdits:
    env: [ONE=%[1]s]
    deviceNodes:
    - {path: /dev/vendor0, hostPath: /dev/null, permissions: rw}
- name: "two"
  containerEdits:
    env: [TWO=%[1]s]
containerEdits:
  env: [VENDOR=%[1]s]
  mounts:
  - {hostPath: %[2]s, containerPath: /usr/lib/vendor/lib.so, options: [ro, nosuid, nodev, bind]}
  hooks:
  - {hookName: createContainer, path: %[3]s, args: [hook, createContainer, %[1]s], env: [LOG=%[4]s]}
`, value, s.WriteFile("lib.so", "library\n"), hook, log))
}

func TestDevice_GivesWhatItsSpecificationSays(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	vendor(s, "v1")
	const show = `echo $VENDOR $ONE $TWO; cat /usr/lib/vendor/lib.so /hooked; echo lost >/dev/vendor0; test -c /dev/vendor0 && echo node; echo x >>/usr/lib/vendor/lib.so`
	for _, how := range [][]string{nil, {"--userns", "keep-id", "-u", "0"}, {"--read-only"}, {"-e", "VENDOR=mine", "-v", s.Home() + ":/usr/lib/vendor/lib.so"}} {
		args := append([]string{"run", "--rm", "--network", "none", "--device", "vendor.com/class=one"}, how...)
		s.Skiff(append(args, img, "sh", "-c", show)...).Exits(1).Prints("v1 v1\nlibrary\nv1\nnode").Complains("Read-only file system")
	}
	s.Skiff("run", "--rm", "--network", "none", "--device", "vendor.com/class=two", "--device", "vendor.com/class=one", "--device", "/dev/zero:/dev/vendor1",
		img, "sh", "-c", "echo $VENDOR $ONE $TWO; ls /dev | grep vendor").Exits(0).Prints("v1 v1 v1\nvendor0\nvendor1")
	s.Skiff("run", "--rm", "--network", "none", img, "sh", "-c", "echo $VENDOR; ls /hooked").Exits(1).Prints("")
	root := s.Shell("mkdir -p ~/root/bin && cp $(command -v busybox) ~/root/bin/ && ln -s busybox ~/root/bin/cat && echo ~/root").Exits(0).Out()
	s.Skiff("run", "--rm", "--network", "none", "--device", "vendor.com/class=one", "--rootfs", root, "/bin/cat", "/hooked").Exits(0).Prints("v1")
	harness.Equal(t, "what is left", s.OK("ps", "-aq"), "")
}

// The state and the bundle are those of the OCI runtime specification.
func TestDevice_HooksFindTheBundle(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	vendor(s, "v1")
	hook, log := filepath.Join(s.Home(), "hook"), filepath.Join(s.Home(), "log")
	var hooks []string
	for _, name := range []string{"prestart", "createRuntime", "createContainer", "poststart", "poststop"} {
		hooks = append(hooks, fmt.Sprintf(`{"hookName":%q,"path":%q,"args":["hook",%[1]q,"x"],"env":["LOG=%[3]s"],"timeout":60}`, name, hook, log))
	}
	s.WriteFile(specDir+"life.json", `{"cdiVersion":"0.6.0","kind":"life.com/x","devices":[{"name":"d","containerEdits":{"hooks":[`+strings.Join(hooks, ",")+`]}}]}`)
	s.OK("secret", "create", "token", s.WriteFile("token", "s3cret"))
	id := s.OK("create", "--name", "it", "--network", "none", "-e", "A=1", "--secret", "token,type=env", "--device", "life.com/x=d", img, "echo", "ran")
	s.Skiff("start", "-a", "it").Exits(0).Prints("ran")
	s.OK("wait", "it")
	harness.Equal(t, "the hooks", s.ReadFile("log"), "prestart creating\ncreateRuntime creating\ncreateContainer creating\npoststart running\npoststop stopped\n")
	dir := filepath.Join(s.Store(), "containers", id)
	var state struct{ OciVersion, ID, Bundle string }
	var config struct {
		OciVersion string
		Root       struct{ Path string }
		Process    struct{ Args, Env []string }
		Hooks      map[string][]struct{ Path string }
	}
	for name, into := range map[string]any{"log.state": &state, "log.config": &config} {
		if err := json.Unmarshal([]byte(s.ReadFile(name)), into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	harness.Equal(t, "the state", fmt.Sprint(state.OciVersion != "", state.ID, state.Bundle), fmt.Sprint(true, id, filepath.Join(dir, "bundle")))
	harness.Equal(t, "the process", strings.Join(config.Process.Args, " "), "echo ran")
	env := strings.Join(config.Process.Env, " ")
	if !strings.Contains(env, "A=1") || strings.Contains(env, "s3cret") || !filepath.IsAbs(config.Root.Path) || len(config.Hooks["poststop"]) != 1 {
		t.Errorf("the configuration: %+v", config)
	}
	s.OK("rm", "it")
	if harness.Exists(dir) {
		t.Errorf("%s is left", dir)
	}
	// What the monitor starts again has its hooks, too.
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	s.OK("run", "-d", "--name", "again", "--network", "none", "--restart", "on-failure:1", "--device", "life.com/x=d", img, "false")
	s.Eventually("it is given up", func() bool {
		return s.Inspect("again", "{{.State.Status}} {{.RestartCount}}") == "exited 1"
	})
	once := "prestart creating\ncreateRuntime creating\ncreateContainer creating\npoststart running\npoststop stopped\n"
	harness.Equal(t, "the hooks of both times", s.ReadFile("log"), once+once)
}

func TestDevice_FollowsItsSpecification(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	vendor(s, "v1")
	id := s.OK("create", "--name", "it", "--network", "none", "--device", "vendor.com/class=one", img, "sh", "-c", "echo $VENDOR; cat /hooked; rm /hooked")
	harness.Equal(t, "what inspect says", s.Inspect("it", "{{json .HostConfig.DeviceRequests}} {{json .HostConfig.Devices}}"),
		`[{"Driver":"cdi","Count":0,"DeviceIDs":["vendor.com/class=one"],"Capabilities":null,"Options":null}] []`)
	s.Skiff("start", "-a", "it").Exits(0).Prints("v1\nv1")
	vendor(s, "v2")
	s.Skiff("start", "-a", "it").Exits(0).Prints("v2\nv2")
	bundle := filepath.Join(s.Store(), "containers", id, "bundle")
	if !harness.Exists(filepath.Join(bundle, "config.json")) {
		t.Errorf("%s is not there", bundle)
	}

	spec := filepath.Join(s.Home(), specDir, "vendor.yaml")
	if err := os.Remove(spec); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.Skiff("start", "it").Exits(1).Complains("CDI device injection failed: unresolvable CDI devices vendor.com/class=one")
	}
	s.Skiff("restart", "it").Complains("unresolvable CDI devices vendor.com/class=one")
	harness.Equal(t, "how it ended", s.Inspect("it", "{{.State.Status}} {{.State.ExitCode}}"), "exited 0")
	s.WriteFile(specDir+"other.json", `{"cdiVersion":"0.6.0","kind":"vendor.com/class","devices":[{"name":"one","containerEdits":{"env":["VENDOR=plain"]}}]}`)
	s.Skiff("start", "-a", "it").Exits(1).Prints("plain") // no hook left the file
	if harness.Exists(bundle) {
		t.Errorf("%s is left", bundle)
	}
	s.Skiff("container", "clone", "it", "copy").Exits(0)
	s.Skiff("start", "-a", "copy").Exits(1).Prints("plain")
}

func TestDevice_RefusesWhatItCannotGive(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	vendor(s, "v1")
	hook := filepath.Join(s.Home(), "hook")
	device := func(name, edits string) string { return fmt.Sprintf(`{"name":%q,"containerEdits":{%s}}`, name, edits) }
	s.WriteFile(specDir+"bad.json", `{"cdiVersion":"1.1.0","kind":"bad.com/x","devices":[`+strings.Join([]string{
		device("rdt", `"intelRdt":{"closID":"x"}`),
		device("net", `"netDevices":[{"hostInterfaceName":"eth7","name":"eth0"}]`),
		device("node", `"deviceNodes":[{"path":"/dev/nosuch"}]`),
		device("mount", `"mounts":[{"hostPath":"/nosuch/lib","containerPath":"/x","options":["bind"]}]`),
		device("option", `"mounts":[{"hostPath":"/","containerPath":"/x","options":["bind","idmap"]}]`),
		device("hook", fmt.Sprintf(`"hooks":[{"hookName":"createContainer","path":%q,"args":["hook","fail"],"env":["LOG=%s/log"]}]`, hook, s.Home())),
		device("before", fmt.Sprintf(`"hooks":[{"hookName":"createRuntime","path":%q,"args":["hook","fail"],"env":["LOG=%s/log"]}]`, hook, s.Home())),
		device("owner", `"deviceNodes":[{"path":"/dev/x","hostPath":"/dev/null","uid":7}]`),
	}, ",")+`]}`)
	for name, says := range map[string]string{
		"bad.com/x=gone":   "CDI device injection failed: unresolvable CDI devices bad.com/x=gone\n",
		"other.com/x=d":    "CDI device injection failed: unresolvable CDI devices other.com/x=d\n",
		"bad.com/x=rdt":    "CDI device injection failed: intelRdt of bad.com/x=rdt (",
		"bad.com/x=net":    "CDI device injection failed: netDevices of bad.com/x=net (",
		"bad.com/x=node":   `failed to stat CDI host device "/dev/nosuch": no such file or directory`,
		"bad.com/x=mount":  "/nosuch/lib: no such file or directory",
		"bad.com/x=option": "idmapped mounts are not supported",
		"bad.com/x=hook":   "createContainer hook: " + hook + ": exit status 3: no driver found",
		"bad.com/x=before": "createRuntime hook: " + hook + ": exit status 3: no driver found",
		"bad.com/x=":       "bad.com/x= is not an absolute path",
	} {
		t.Run(name, func(t *testing.T) {
			r := s.In(t).Skiff("run", "--rm", "--network", "none", "--device", name, img, "true").Complains(says)
			if r.Code != 125 && r.Code != 127 { // what is not there when it is mounted is docker's 127
				t.Errorf("exit code %d", r.Code)
			}
		})
	}
	s.Skiff("create", "--device", "bad.com/x=gone", "--device", "vendor.com/class=one", "--device", "x.com/y=z", img).Exits(1).
		Complains("unresolvable CDI devices bad.com/x=gone, x.com/y=z\n")
	s.Skiff("run", "--rm", "--network", "none", "--device", "bad.com/x=owner", img, "true").Exits(0).
		Complains("WARNING: CDI device node /dev/x: its uid 7 has no effect.")
	// A broken file hides no other one, and is named where something is missing.
	s.WriteFile(specDir+"broken.yaml", "kind: [")
	s.Skiff("run", "--rm", "--network", "none", "--device", "vendor.com/class=two", img, "true").Exits(0).Silent()
	s.Skiff("run", "--device", "broken.com/x=d", img).Exits(125).Complains("hint: left out: " + filepath.Join(s.Home(), specDir, "broken.yaml") + ": ")
	s.Skiff("info").Exits(0).Says(" Discovered Devices:\n  cdi: bad.com/x=before\n").Says("  cdi: vendor.com/class=two\n").
		Says("/etc/cdi\n  /var/run/cdi\n  " + filepath.Join(s.Home(), ".config/cdi") + "\n").Complains("broken.yaml: ")
	s.Skiff("info", "-f", "{{json .CDISpecDirs}} {{(index .DiscoveredDevices 0).Source}}").Exits(0).
		Prints(`["/etc/cdi","/var/run/cdi","` + filepath.Join(s.Home(), ".config/cdi") + `"] cdi`)
	harness.Equal(t, "what is left", s.OK("ps", "-aq"), "")
}

func TestDevice_GPUs(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	run := func(gpus string) *harness.Result {
		t.Helper()
		return s.Skiff("run", "--rm", "--network", "none", "--gpus", gpus, img, "sh", "-c", "echo $GPU $G0 $G1 $ALL")
	}
	run("all").Exits(125).Complains(`could not select device driver "" with capabilities: [[gpu]]` + "\n")
	run("x").Exits(125).Complains(`invalid argument "x" for "--gpus" flag: invalid count (x): value must be either "all" or an integer: invalid syntax`)
	// Where docker's daemon.json says that they are.
	s.WriteFile("machine/nvidia.yaml", `cdiVersion: 0.5.0
kind: nvidia.com/gpu
containerEdits: {env: [GPU=void]}
devices:
- {name: "0", containerEdits: {env: [G0=0]}}
- {name: "1", containerEdits: {env: [G1=1]}}
- {name: all, containerEdits: {env: [ALL=all]}}
`)
	s.WriteFile(".config/docker/daemon.json", `{"cdi-spec-dirs":["`+filepath.Join(s.Home(), "machine")+`"]}`)
	for gpus, want := range map[string]string{
		"all": "void all", "1": "void 0", "2": "void 0 1", `"device=1,0"`: "void 0 1", "device=1": "void 1", "driver=nvidia,capabilities=compute": "void 0",
		"driver=cdi,device=nvidia.com/gpu=all": "void all",
	} {
		run(gpus).Exits(0).Prints(want)
	}
	run("3").Exits(125).Complains("3 of nvidia.com/gpu are wanted, and there are 2")
	run("device=7").Exits(125).Complains("unresolvable CDI devices nvidia.com/gpu=7\n")
	run("device=0,1").Exits(125).Complains("cannot set both Count and DeviceIDs on device request")
	run("driver=amd").Exits(125).Complains(`could not select device driver "amd" with capabilities: [[gpu]]` + "\n")
	run(`all,options=a=b`).Exits(0).Prints("void all").Complains("WARNING: --gpus: options are not supported")

	s.OK("create", "--name", "it", "--network", "none", "--gpus", `"capabilities=compute,utility","device=0,1"`, "--device", "nvidia.com/gpu=all", img, "sh", "-c", "echo $GPU $G0 $G1 $ALL")
	harness.Equal(t, "what inspect says", s.Inspect("it", "{{json .HostConfig.DeviceRequests}}"),
		`[{"Driver":"","Count":0,"DeviceIDs":["0","1"],"Capabilities":[["compute","utility","gpu"]],"Options":{}},`+
			`{"Driver":"cdi","Count":0,"DeviceIDs":["nvidia.com/gpu=all"],"Capabilities":null,"Options":null}]`)
	s.Skiff("start", "-a", "it").Exits(0).Prints("void 0 1 all")
	s.Skiff("generate", "systemd", "--new", "--name", "it").Exits(0).Says("--device=nvidia.com/gpu=all").Says("device=0,1").Says("capabilities=compute,utility")
	harness.Equal(t, "without devices", s.Inspect(s.OK("create", img, "true"), "{{json .HostConfig.DeviceRequests}}"), "null")
}
