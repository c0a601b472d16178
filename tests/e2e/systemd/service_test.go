package systemd_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// facts are what inspect says of a container, line by line, without what differs
// between any two: ids, times, and what a service is.
func facts(t *testing.T, s *harness.Session, name string) map[string]string {
	t.Helper()
	var list []map[string]any
	if err := json.Unmarshal([]byte(s.OK("inspect", name)), &list); err != nil {
		t.Fatal(err)
	}
	id := list[0]["Id"].(string)
	out := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				walk(path+"."+k, e)
			}
		default:
			out[path] = strings.NewReplacer(id, "ID", id[:12], "ID").Replace(fmt.Sprint(v))
		}
	}
	walk("", list[0])
	for path := range out {
		for _, other := range []string{
			".State", ".Created", ".NetworkSettings", ".GraphDriver", ".HostConfig.AutoRemove", ".Config.Attach", ".Config.Labels.PODMAN_SYSTEMD_UNIT",
			".RestartCount", ".HostConfig.RestartPolicy",
		} {
			if strings.HasPrefix(path, other) {
				delete(out, path)
			}
		}
	}
	return out
}

func TestService_ItsContainerIsTheSame(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	next := s.Notifications()
	s.OK("secret", "create", "token", s.WriteFile("token", "s3same"))
	s.OK("network", "create", "inner")
	s.Setenv("NOTIFY_SOCKET", "")
	s.OK("run", "-d", "--name", "web", "--network", "name=inner,alias=w", "-p", "127.0.0.1::80", "-e", `A=x $HOME %h "q" \`, "-e", "B=two\nlines", "-l", "a=b c",
		"-v", "data:/data:ro", "-v", s.Mkdir("with space")+":/s", "--tmpfs", "/run:size=1m", "--mount", "type=tmpfs,target=/t,tmpfs-size=1m",
		"--secret", "token", "--hostname", "h", "--user", "5:6", "--workdir", "/tmp", "--cap-drop", "ALL", "--cap-add", "CHOWN", "--read-only", "--init",
		"--security-opt", "no-new-privileges", "--ulimit", "nofile=100:200", "--dns", "1.1.1.1", "--add-host", "a:10.0.0.1", "--shm-size", "1m",
		"--stop-signal", "KILL", "--stop-timeout", "3", "--health-cmd", "true || false", "--health-interval", "1h", "--log-opt", "max-size=1m", "--umask", "0027",
		"--restart", "on-failure:3", "--annotation", "x=y", "--expose", "99", "--sysctl", "net.ipv4.ip_forward=0", "--entrypoint", "/bin/sh",
		img, "-c", `echo "$0 $A" %h; exec sleep 1000`, "zero")
	before := facts(t, s, "web")
	s.Skiff("service", "create", "--start=false", "web").Exits(0).Prints(filepath.Join(s.Home(), ".config/containers/systemd/web.container")).
		Complains("loginctl enable-linger")
	s.Skiff("service", "create", "--start=false", "web").Exits(1).Complains("web.container exists; use --replace to overwrite it")

	s.Setenv("NOTIFY_SOCKET", filepath.Join(s.Home(), "notify"))
	u := unitOf(s, "web.container", next)
	u.start()
	after := facts(t, s, "web")
	for path, was := range before {
		if after[path] != was {
			t.Errorf("%s was %q, is %q", path, was, after[path])
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			t.Errorf("%s is new: %q", path, after[path])
		}
	}
	s.Skiff("service", "create", "--replace", "web").Exits(1).Complains("container web is run by web.service already")
	harness.Equal(t, "exit code", u.stop(), 137)
	s.Skiff("inspect", "web").Exits(1)
	s.OK("network", "rm", "inner")
	s.OK("volume", "rm", "data")
	s.OK("secret", "rm", "token")
}

func TestService_SaysWhatItCannotKeep(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.Skiff("service", "create", "nosuch").Exits(1).Complains("No such container: nosuch")
	s.OK("create", "-it", "--name", "shell", "-v", "/kept", "--cidfile", "cid", img)
	s.Skiff("service", "create", "--start=false", "shell").Exits(0).
		Complains("WARNING: the anonymous volume at /kept goes on as the volume ").
		Complains("its standard input is at its end from the start").Complains("not in the file: the file cid")
	file := s.ReadFile(".config/containers/systemd/shell.container")
	if strings.Contains(file, "interactive") || !strings.Contains(file, "PodmanArgs=--tty\n") {
		t.Errorf("got %s", file)
	}
	// Without systemd nothing has happened to the container.
	s.Skiff("service", "create", "--replace", "shell").Exits(1).Complains("the file is written, but systemd does not read it")
	harness.Equal(t, "state", s.Inspect("shell", "{{.State.Status}}"), "created")
	s.OK("pod", "create", "--name", "p", "--network", "none")
	s.Skiff("service", "create", "p-infra").Exits(1).Complains("is what pod p is made of")
	s.OK("pod", "rm", "-f", "p")
	// What the service is to go on with is nobody's to prune any more.
	kept := s.Inspect("shell", "{{(index .Mounts 0).Name}}")
	s.OK("rm", "-v", "shell")
	s.OK("volume", "prune", "-f")
	harness.Equal(t, "the volume that was anonymous", s.OK("volume", "ls", "-q"), kept)
	s.OK("volume", "rm", kept)
	s.OK("run", "-d", "--rm", "--name", "short", "-v", "/kept", "--network", "none", img, "sleep", "1000")
	kept = s.Inspect("short", "{{(index .Mounts 0).Name}}")
	s.OK("service", "create", "--start=false", "short")
	s.OK("rm", "-f", "short")
	harness.Equal(t, "the volume of a container that is removed", s.OK("volume", "ls", "-q"), kept)
	s.OK("volume", "rm", kept)
}

func TestGenerateSystemd(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	id := s.OK("create", "--name", "web", "--network", "none", "--stop-timeout", "3", "--restart", "on-failure:2", "-e", "A=$B", img, "sleep", "1000")
	s.Skiff("generate", "systemd", "nosuch").Exits(1).Complains(`no container or pod with name or ID "nosuch" found`)
	s.Skiff("generate", "systemd", "--restart-policy", "never", "web").Exits(1).Complains("never is not a valid restart policy")
	s.Skiff("generate", "systemd", "--env", "A", "web").Exits(125).Complains("must be formatted as key=value")
	s.Skiff("generate", "systemd", "--container-prefix", "../x", "web").Exits(125).Complains("no unit's name has that in it")
	r := s.Skiff("generate", "systemd", "web").Exits(0).Complains("has the restart policy on-failure")
	for _, want := range []string{"# container-" + id + ".service\n", " start --attach " + id + "\n", "\nTimeoutStopSec=63\n", "\nRestart=on-failure\n", "\nWantedBy=default.target\n"} {
		r.Says(want)
	}
	r = s.Skiff("generate", "systemd", "--new", "-n", "--no-header", "--time", "7", "--restart-policy", "always", "--restart-sec", "5", "--start-timeout", "9",
		"--container-prefix", "c", "--separator", "_", "--after", "a.service", "--wants", "b.service", "--requires", "c.service", "-e", "X=a %", "web").Exits(0)
	for _, want := range []string{
		"# c_web.service\n\n[Unit]\n", "\nAfter=a.service\n", "\nWants=b.service\n", "\nRequires=c.service\n", "\nStartLimitBurst=2\n", "\nEnvironment=\"X=a %%\"\n",
		"\nRestart=always\n", "\nRestartSec=5\n", "\nTimeoutStartSec=9\n", "\nTimeoutStopSec=67\n", " run --name=web --replace --rm --cgroups=split --env=A=$$B ", " stop -t 7 web\n",
	} {
		r.Says(want)
	}
	s.Skiff("generate", "systemd", "--files", "--name", "web").Exits(0).Prints(filepath.Join(s.Home(), "container-web.service"))
	if text := s.ReadFile("container-web.service"); !strings.Contains(text, " start --attach web\n") {
		t.Errorf("got %s", text)
	}
	s.OK("pod", "create", "--name", "p", "--network", "none", "--share", "ipc,uts")
	s.OK("create", "--name", "in", "--pod", "p", img, "sleep", "1000")
	r = s.Skiff("generate", "systemd", "--new", "--name", "p").Exits(0)
	for _, want := range []string{
		"# pod-p.service\n", "\nWants=container-in.service\nBefore=container-in.service\n", " pod create --name=p --replace --share=ipc,uts --hostname=p --network=none\n",
		"\n\n# container-in.service\n", "\nBindsTo=pod-p.service\nAfter=pod-p.service\n", " --pod=p ",
	} {
		r.Says(want)
	}
	var units map[string]string
	if err := json.Unmarshal([]byte(s.OK("generate", "systemd", "--format", "json", "--name", "p")), &units); err != nil || len(units) != 2 || units["pod-p"] == "" {
		t.Errorf("%v, %v", units, err)
	}
	s.Skiff("generate", "systemd", "p-infra").Exits(1).Complains("is what pod p is made of")
	s.OK("rm", "web", "in")
	s.OK("pod", "rm", "p")
}
