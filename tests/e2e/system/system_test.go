package system_test

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

func TestVersion_FeedsScripts(t *testing.T) {
	s := harness.New(t)
	s.Skiff("--version").Exits(0).PrintsMatch(`[A-Za-z]+ version [^ ]+, build [^ ]+.*`)
	s.Skiff("-v").Exits(0).PrintsMatch(`[A-Za-z]+ version [^ ]+, build [^ ]+.*`)
	r := s.Skiff("version").Exits(0)
	for _, word := range []string{"Client", "Server", "Version:", "API version:", "OS/Arch:"} {
		r.Says(word)
	}
	for _, template := range []string{"{{.Client.Version}}", "{{.Server.Version}}", "{{.Server.APIVersion}}", "{{.Server.Os}}", "{{.Client.Arch}}"} {
		s.Skiff("version", "-f", template).Exits(0).PrintsMatch(".+")
	}
}

func TestVersion_UnderTheNameDocker(t *testing.T) {
	s := harness.New(t)
	link := filepath.Join(s.Mkdir("bin"), "docker")
	if err := os.Symlink(s.Binary(), link); err != nil {
		t.Fatal(err)
	}
	s.Do(nil, link, "--version").Exits(0).PrintsMatch(`Docker version [0-9.]+, build .+`)
	s.Do(nil, link, "rm", "nothing").Exits(1).Complains("Error response from daemon: No such container: nothing\n")
}

func TestInfo_IsTheLivenessProbe(t *testing.T) {
	s := harness.New(t)
	s.Skiff("info").Exits(0)
	for template, want := range map[string]string{
		"{{.OSType}}": "linux", "{{.Driver}}": "overlay.*", "{{.Containers}} {{.ContainersRunning}} {{.Images}}": "0 0 0",
		"{{.NCPU}}": `[1-9]\d*`, "{{.MemTotal}}": `[1-9]\d+`, "{{.DockerRootDir}}": s.Store(),
		"{{.Swarm.LocalNodeState}}": "inactive", "{{.ServerVersion}}": ".+", "{{.CgroupVersion}}": "[12]",
	} {
		s.Skiff("info", "-f", template).Exits(0).PrintsMatch(want)
	}
	var document map[string]any
	if err := json.Unmarshal([]byte(s.OK("info", "-f", "{{json .}}")), &document); err != nil {
		t.Errorf("info -f '{{json .}}': %v", err)
	}
	s.Skiff("system", "info").Exits(0)
}

func TestCompletion_IsWhatIsCheckedIn(t *testing.T) {
	s := harness.New(t)
	for shell, file := range map[string]string{"bash": "skiff.bash", "zsh": "skiff.zsh", "fish": "skiff.fish"} {
		want, err := os.ReadFile(harness.Source("completions", file))
		if err != nil {
			t.Error(err)
			continue
		}
		if s.Skiff("completion", shell).Exits(0).Stdout != string(want) {
			t.Errorf("completions/%s is stale: make completions", file)
		}
		if _, err := exec.LookPath(shell); err == nil {
			if out, err := exec.Command(shell, "-n", harness.Source("completions", file)).CombinedOutput(); err != nil {
				t.Errorf("%s does not read it: %v\n%s", shell, err, out)
			}
		}
	}
	s.Skiff("completion", "nosuch").Exits(1)
}

func TestCommandLine_FailsAsDockerDoes(t *testing.T) {
	s := harness.New(t)
	tests := []struct {
		name  string
		args  []string
		code  int
		error string
	}{
		{"an unknown command", []string{"nosuch"}, 1, "unknown command: "},
		{"an unknown flag", []string{"ps", "--nosuch"}, 125, "unknown flag: --nosuch"},
		{"an unknown short flag", []string{"ps", "-Z"}, 125, "unknown shorthand flag: 'Z' in -Z"},
		{"an argument too many", []string{"ps", "x"}, 1, "accepts no arguments"},
		{"an argument too few", []string{"kill"}, 1, "requires at least 1 argument"},
		{"a bad boolean", []string{"ps", "--all=maybe"}, 125, "maybe"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s.In(t).Skiff(test.args...).Exits(test.code).Complains(test.error)
		})
	}
}

func TestHelp_IsThere(t *testing.T) {
	s := harness.New(t)
	for _, line := range []string{"--help", "run --help", "container --help", "container ls --help", "image inspect --help", "help"} {
		r := s.Skiff(strings.Fields(line)...).Exits(0)
		if !strings.Contains(r.Stdout, "Usage:") {
			t.Errorf("%s: no usage on standard output\n%s", line, r.Stdout)
		}
	}
	s.Skiff("rm", "help").Exits(1).Complains("No such container: help")
}

// Every name that docker has for the verbs of this slice.
func TestManagementForms_AreTheSame(t *testing.T) {
	s := harness.New(t)
	for _, line := range []string{
		"container run", "container create", "container start", "container stop", "container kill",
		"container restart", "container wait", "container rm", "container remove", "container ls", "container list",
		"container ps", "container logs", "container exec", "container attach", "container cp", "container inspect",
		"image pull", "image ls", "image list", "image rm", "image remove", "image tag", "image load", "image import",
		"image inspect", "system info",
	} {
		s.Skiff(append(strings.Fields(line), "--help")...).Exits(0).Says("Usage:")
	}
}

// Each shell that is installed is asked what it would offer.
func TestCompletion_Offers(t *testing.T) {
	for _, tc := range []struct{ shell, script string }{
		{"bash", `source %s; f=$(complete -p skiff | sed 's/.*-F \([^ ]*\).*/\1/')
			COMP_WORDS=(skiff imag) COMP_CWORD=1 COMP_LINE="skiff imag"; $f skiff imag skiff; echo "${COMPREPLY[@]}"
			COMP_WORDS=(skiff run --netw) COMP_CWORD=2 COMP_LINE="skiff run --netw"; $f skiff --netw run; echo "${COMPREPLY[@]}"`},
		{"fish", `source %s; complete -C "skiff imag"; complete -C "skiff run --netw"`},
	} {
		t.Run(tc.shell, func(t *testing.T) {
			harness.Requires(t, harness.CommandNamed(tc.shell))
			file := harness.Source("completions", "skiff."+tc.shell)
			out, err := exec.Command(tc.shell, "-c", fmt.Sprintf(tc.script, file)).CombinedOutput()
			for _, want := range []string{"image", "images", "--network", "--network-alias"} {
				if err != nil || !strings.Contains(string(out), want) || strings.Contains(string(out), "test:") {
					t.Fatalf("want %s in %q, %v", want, out, err)
				}
			}
		})
	}
}
