package systemd_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	syntax "skiff/commands/systemd/unit"
	"skiff/tests/harness"
)

// unit is a service as far as it can be had without systemd: its commands, each in
// a process that thinks systemd has started it.
type unit struct {
	s    *harness.Session
	name string
	text string
	main *exec.Cmd
	next func() string
}

// unitOf is the unit that Quadlet makes of a file.
func unitOf(s *harness.Session, file string, next func() string) *unit {
	s.T.Helper()
	out := s.Skiff("quadlet", "print", "--dry-run", file).Exits(0).Out()
	out = strings.ReplaceAll(out, " --cgroups=split", "") // there is no delegated group here
	name, text, _ := strings.Cut(strings.TrimPrefix(out, "---"), "---\n")
	return &unit{s: s, name: name, text: text, next: next}
}

// lines are the commands of a key, word by word. What is specific to systemd in
// them is only what these tests use: %N, doubled signs, and a dash in front.
func (u *unit) lines(key string) (all [][]string) {
	u.s.T.Helper()
	for line := range strings.SplitSeq(u.text, "\n") {
		value, ok := strings.CutPrefix(line, key+"=")
		if !ok {
			continue
		}
		words, err := syntax.Split(strings.TrimPrefix(value, "-"))
		if err != nil {
			u.s.T.Fatal(err)
		}
		for i, w := range words {
			words[i] = strings.NewReplacer("%N", strings.TrimSuffix(u.name, ".service"), "$$", "$", "%%", "%").Replace(w)
		}
		all = append(all, words)
	}
	return all
}

func (u *unit) command(words []string) *exec.Cmd {
	script := "export PODMAN_SYSTEMD_UNIT=" + u.name + "; SYSTEMD_EXEC_PID=$$ exec \"$@\""
	return u.s.Command(context.Background(), append([]string{"sh", "-c", script, "sh"}, words...)...)
}

// start runs the unit's commands and waits until the main one says that it is
// ready.
func (u *unit) start() {
	u.s.T.Helper()
	for _, line := range u.lines("ExecStartPre") {
		if out, err := u.command(line).CombinedOutput(); err != nil {
			u.s.T.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	u.main = u.command(u.lines("ExecStart")[0])
	u.main.Stderr = os.Stderr
	if err := u.main.Start(); err != nil {
		u.s.T.Fatal(err)
	}
	for !strings.Contains(u.next(), "READY=1") {
	}
}

// ended waits for the main process, runs what comes after it, and returns the
// exit code.
func (u *unit) ended() int {
	u.s.T.Helper()
	_ = u.main.Wait() // the exit code tells
	for _, line := range u.lines("ExecStopPost") {
		_ = u.command(line).Run() // with a dash in front: it may fail
	}
	return u.main.ProcessState.ExitCode()
}

// stop is what systemd does: SIGTERM to the main process.
func (u *unit) stop() int {
	u.s.T.Helper()
	if err := u.main.Process.Signal(syscall.SIGTERM); err != nil {
		u.s.T.Fatal(err)
	}
	return u.ended()
}

func TestQuadlet_APodAndItsContainers(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	next := s.Notifications()
	s.WriteFile(".config/containers/systemd/app.pod", "[Pod]\nNetwork=none\nHostName=inside\nVolume=shared.volume:/shared\n")
	s.WriteFile(".config/containers/systemd/web.container", "[Container]\nImage="+img+"\nPod=app.pod\nStopSignal=KILL\nExec=sh -c 'hostname >/shared/name; exec sleep 1000'\n")
	s.WriteFile(".config/containers/systemd/shared.volume", "[Volume]\n")
	pod, web := unitOf(s, "app.pod", next), unitOf(s, "web.container", next)
	pod.start()
	web.start()
	s.Skiff("pod", "ps", "--format", "{{.Name}} {{.Status}}").Exits(0).Prints("systemd-app Running")
	s.Eventually("the container shares the pod's name", func() bool {
		return s.Skiff("exec", "systemd-web", "cat", "/shared/name").Out() == "inside"
	})
	harness.Equal(t, "the unit's name", s.Inspect("systemd-web", `{{index .Config.Labels "PODMAN_SYSTEMD_UNIT"}}`), "web.service")
	harness.Equal(t, "exit code of the container's service", web.stop(), 137)
	harness.Equal(t, "exit code of the pod's service", pod.stop(), 0)
	s.Skiff("pod", "ps", "-q").Exits(0).Prints("")
	s.OK("volume", "rm", "systemd-shared")
}

const manifest = `apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  restartPolicy: Never
  hostNetwork: true
  containers:
  - {name: one, image: IMAGE, command: [sh, -c, 'ONE']}
  - {name: two, image: IMAGE, command: [sh, -c, 'TWO']}
`

func TestQuadlet_AManifestIsPlayedAsAService(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	next := s.Notifications()
	write := func(name, one, two string) {
		s.WriteFile(".config/containers/systemd/"+name+".yaml", strings.NewReplacer("NAME", name, "IMAGE", img, "ONE", one, "TWO", two).Replace(manifest))
	}
	asked := `trap "exit 0" TERM; while :; do sleep 0.05; done`
	write("app", asked, asked)
	s.WriteFile(".config/containers/systemd/app.kube", "[Kube]\nYaml=app.yaml\nAutoUpdate=two/local\n")
	u := unitOf(s, "app.kube", next)
	u.start()
	s.Skiff("pod", "ps", "--format", "{{.Name}} {{.Status}}").Exits(0).Prints("app Running")
	harness.Equal(t, "annotation", s.Inspect("app-one", `{{index .HostConfig.Annotations "io.containers.autoupdate/two"}}`), "local")
	s.Skiff("auto-update", "--dry-run", "--format", "{{.ContainerName}} {{.Policy}} {{.Unit}} {{.Updated}}").Exits(0).Prints("app-two local app.service false")
	harness.Equal(t, "exit code after a stop", u.stop(), 0)
	s.Skiff("ps", "-aq").Exits(0).Prints("")

	// It ends with its containers.
	for name, want := range map[string]int{"none": 0, "any": 1, "all": 0} {
		write(name, "exit 3", "exit 0")
		s.WriteFile(".config/containers/systemd/"+name+".kube", "[Kube]\nYaml="+name+".yaml\nExitCodePropagation="+name+"\n")
		u := unitOf(s, name+".kube", next)
		u.start()
		harness.Equal(t, "exit code with "+name, u.ended(), want)
		s.Skiff("pod", "ps", "-q").Exits(0).Prints("")
	}
}

func TestKubePlay_WaitsOnlyForWhatItStarts(t *testing.T) {
	s := harness.New(t)
	s.WriteFile("x.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: a, image: no/such}]}\n")
	s.Skiff("kube", "play", "--wait", "--start=false", "x.yaml").Exits(1).Complains("conflicting options: --wait and --start=false")
	s.Skiff("kube", "play", "--wait", "--service-exit-code-propagation", "some", "x.yaml").Exits(1).Complains(`"some" is none of all, any and none`)
}

// What a unit adds to the start of a container is a word to systemd: at most 5 ms.
// What is counted is the time of processors, which others on the machine change
// least, and the best of many.
func TestUnit_StartsAsFastAsRun(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	next := s.Notifications()
	spent := func(unit bool) time.Duration {
		t.Helper()
		script := `X=$$ exec "$@"`
		if unit {
			script = `export PODMAN_SYSTEMD_UNIT=web.service; SYSTEMD_EXEC_PID=$$ exec "$@"`
		}
		cmd := s.Command(t.Context(), "sh", "-c", script, "sh", s.Binary(), "run", "--rm", "--replace", "--name", "web", "--network", "none", img, "true")
		if !unit {
			cmd.Env = append(cmd.Env, "NOTIFY_SOCKET=")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if unit {
			next()
		}
		return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	run, unit := time.Hour, time.Hour
	for range 12 {
		run, unit = min(run, spent(false)), min(unit, spent(true))
	}
	if unit > run+5*time.Millisecond {
		t.Errorf("a unit's start takes %v, run %v", unit, run)
	}
}
