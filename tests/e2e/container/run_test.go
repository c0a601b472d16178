package container_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestRun_PrintsWhatTheProcessPrints(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	r := s.Skiff("run", "--rm", "--network", "none", img, "sh", "-c", "echo out; echo err >&2; exit 7").Exits(7)
	harness.Equal(t, "standard output", r.Stdout, "out\n")
	harness.Equal(t, "standard error", r.Stderr, "err\n")
}

func TestRun_Hello(t *testing.T) {
	s := harness.New(t)
	r := s.Skiff("run", "--rm", "skiff/hello").Succeeds()
	for _, word := range []string{"uid", "namespace", "apabilit", "eccomp", "root"} {
		r.Says(word)
	}
}

func TestRun_PassesOnFlags(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.Setenv("FROM_CALLER", "yes")
	s.WriteFile("list.env", "# comment\nQUOTED=\"kept\"\nFROM_CALLER\nEMPTY=\n")
	tests := []struct {
		name string
		args string // without run --rm --network none
		want string
	}{
		{"sets variables", "-e A=1,2 -e B=x IMG sh -c 'echo $A $B'", "1,2 x"},
		{"copies a variable from the caller", "-e FROM_CALLER -e NOT_SET IMG sh -c 'echo $FROM_CALLER ${NOT_SET-unset}'", "yes unset"},
		{"reads variables from a file, verbatim", "--env-file list.env IMG sh -c 'echo $QUOTED $FROM_CALLER ${EMPTY-unset}.'", `"kept" yes .`},
		{"gives HOME and HOSTNAME", "--hostname box IMG sh -c 'echo $HOME $HOSTNAME'", "/root box"},
		{"has no TERM without a terminal", "IMG sh -c 'echo ${TERM-unset}'", "unset"},
		{"starts in a directory, which it makes", "-w /made/up IMG pwd", "/made/up"},
		{"takes a user by number", "-u 1234:5678 IMG sh -c 'id -u; id -g'", "1234\n5678"},
		{"takes a user by name, with the groups of /etc/group", "-u ana IMG id -G", "1000 29"},
		{"replaces the entrypoint and drops the command", "--entrypoint /bin/echo IMG a b", "a b"},
		{"sets the host name", "--hostname box IMG hostname", "box"},
		{"writes the host name into /etc/hostname", "--hostname box IMG cat /etc/hostname", "box"},
		{"refuses to write to a read-only root", "--read-only IMG sh -c 'touch /x 2>/dev/null || echo no'", "no"},
		{"mounts a tmpfs", "--tmpfs /t:size=1m,mode=700 IMG sh -c 'stat -f -c %T /t; stat -c %a /t'", "tmpfs\n700"},
		{"sizes /dev/shm", "--shm-size 2m IMG sh -c 'df -k /dev/shm | tail -1 | awk \"{print \\$2}\"'", "2048"},
		{"gives 64 MB of /dev/shm by default", "IMG sh -c 'df -k /dev/shm | tail -1 | awk \"{print \\$2}\"'", "65536"},
		{"limits what --ulimit says", "--ulimit nofile=77:88 IMG sh -c 'ulimit -Sn; ulimit -Hn'", "77\n88"},
		{"has pid 1 for the process", "IMG sh -c 'echo $$'", "1"},
		{"has an init with --init", "--init IMG sh -c 'test $$ != 1 && echo other'", "other"},
		{"is root with the caller's id outside", "IMG sh -c 'id -u; awk \"NR==1{print \\$2}\" /proc/self/uid_map'", "0\nUID"},
		{"runs as the caller with keep-id", "--userns keep-id IMG id -u", "UID"},
		{"sees only itself", "IMG sh -c 'echo /proc/[0-9]*'", "/proc/1"},
		{"stops at the image when it reads flags", "IMG echo --rm -e x", "--rm -e x"},
		{"takes -- before the image", "-- IMG echo x", "x"},
		{"takes --flag=value", "--workdir=/tmp --env=X=1 IMG sh -c 'pwd; echo $X'", "/tmp\n1"},
		{"has no network with none", "IMG sh -c 'ls /sys/class/net'", "lo"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := s.In(t)
			uid := itoa(s.UID())
			line := strings.ReplaceAll(test.args, "IMG", img)
			want := strings.ReplaceAll(test.want, "UID", uid)
			s.Shell("skiff run --rm --network none " + line).Exits(0).Prints(want)
		})
	}
}

func TestRun_HasTheUsersNetworkWithHost(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	want := s.Shell("readlink /proc/self/ns/net").Succeeds().Out()
	s.Skiff("run", "--rm", "--network", "host", img, "readlink", "/proc/self/ns/net").Exits(0).Prints(want)
}

func TestRun_WorksOnTheDefaultNetwork(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.Skiff("run", "--rm", img, "echo", "hi").Exits(0).Prints("hi")
}

func TestRun_PassesOnStandardInput(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	text := strings.Repeat("a line of text\n", 20_000)
	r := s.SkiffInput(strings.NewReader(text), "run", "--rm", "-i", "--network", "none", img, "cat").Exits(0)
	if r.Stdout != text {
		t.Errorf("cat returned %d bytes, want the %d that it got", len(r.Stdout), len(text))
	}
	s.SkiffInput(strings.NewReader(text), "run", "--rm", "--network", "none", img, "cat").Exits(0).Prints("")
}

func TestRun_AttachesOnlyWhatIsAsked(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	r := s.Skiff("run", "--rm", "-a", "stderr", "--network", "none", img, "sh", "-c", "echo out; echo err >&2").Exits(0)
	harness.Equal(t, "standard error", r.Stderr, "err\n")
	if strings.Contains(r.Stdout, "out") {
		t.Errorf("standard output = %q, though only stderr is attached", r.Stdout)
	}
}

func TestRun_Detached(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	cid := filepath.Join(s.Home(), "cid")
	id := s.Skiff("run", "-d", "--name", "web", "--label", "tier=front", "--label", "bare",
		"--cidfile", cid, "--network", "none", img, "sleep", "1000").
		Succeeds().PrintsMatch("[0-9a-f]{64}").Out()
	harness.Equal(t, "the cid file", s.ReadFile("cid"), id)
	harness.Equal(t, "the state", s.Inspect("web", "{{.State.Status}} {{.State.Running}}"), "running true")
	harness.Equal(t, "the name", s.Inspect(id[:12], "{{.Name}}"), "/web")
	harness.Equal(t, "the labels", s.Inspect("web", `{{index .Config.Labels "tier"}}.{{index .Config.Labels "bare"}}`), "front.")
	s.Skiff("run", "-d", "--cidfile", cid, "--network", "none", img, "true").
		Exits(125).Complains("container ID file found, make sure the other container isn't running or delete " + cid)
	s.OK("rm", "-f", "web")
}

func TestRun_FailsAsDockerDoes(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	taken := s.OK("create", "--name", "taken", img)
	s.WriteFile("file", "")
	s.Mkdir("dir")
	home := s.Home()
	tests := []struct {
		name  string
		args  string
		code  int
		error string
	}{
		{"a command that is not there", "IMG nosuch", 127, `exec: "nosuch": executable file not found in $PATH`},
		{"a path that is not there", "IMG /no/such", 127, `no such file or directory`},
		{"a file that is not executable", "IMG /etc/passwd", 126, "permission denied"},
		{"a directory as command", "IMG /etc", 126, "/etc"},
		{"an unknown flag", "--nosuch IMG true", 125, "unknown flag: --nosuch"},
		{"a flag without its value", "--name", 125, "flag needs an argument: --name"},
		{"no image", "", 1, " requires at least 1 argument"},
		{"a bad image name", "UPPER true", 125, "invalid reference format"},
		{"a name that is taken", "--name taken IMG true", 125, `Conflict. The container name "/taken" is already in use by container "` + taken + `". You have to remove (or rename) that container to be able to reuse that name.`},
		{"a bad name", "--name a/b IMG true", 125, "Invalid container name (a/b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
		{"an image that is absent and may not be pulled", "--pull never nosuch true", 125, "No such image: nosuch:latest"},
		{"an unreachable registry", "127.0.0.1:1/x true", 125, "Unable to find image '127.0.0.1:1/x:latest' locally"},
		{"a bind source that is not there", "--mount type=bind,src=/no/such,dst=/x IMG true", 125, "bind source path does not exist: /no/such"},
		{"a mount of no known type", "--mount type=nosuch,dst=/x IMG true", 125, "nosuch"},
		{"a mount without a destination", "--mount type=tmpfs IMG true", 125, "target"},
		{"a directory onto a file", "-v " + home + "/dir:/etc/passwd IMG true", 125, "Are you trying to mount a directory onto a file (or vice-versa)?"},
		{"a volume that is no absolute path", "-v rel/ative:/x IMG true", 125, "includes invalid characters for a local volume name"},
		{"a destination that is not absolute", "-v " + home + "/dir:rel IMG true", 125, "rel"},
		{"an unknown user", "-u nosuch IMG true", 125, "unable to find user nosuch: no matching entries in passwd file"},
		{"an unknown capability", "--cap-add NOSUCH IMG true", 125, "NOSUCH"},
		{"detached and attached", "-d -a stdout IMG true", 1, "conflicting options: cannot specify both --attach and --detach"},
		{"--rm with a restart policy", "--rm --restart always IMG true", 125, "conflicting options: cannot specify both --restart and --rm"},
		{"a bad platform", "--platform linux/nosuch IMG true", 125, ""},
		{"an environment file that is not there", "--env-file nosuch IMG true", 125, "nosuch"},
		{"a bad memory size", "--shm-size many IMG true", 125, "many"},
		{"a bad ulimit", "--ulimit nosuch=1 IMG true", 125, "nosuch"},
		{"a bad stop signal", "--stop-signal NOSUCH IMG true", 125, "NOSUCH"},
		{"a terminal where there is none", "-it IMG true", 1, "TTY"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := s.In(t)
			line := strings.ReplaceAll(test.args, "IMG", "--network none "+img)
			s.Shell("skiff run " + line).Exits(test.code).Complains(test.error)
		})
	}
	// A container that could not be set up is not there; one whose command was
	// missing stays as docker leaves it: created, to be looked at.
	for _, id := range strings.Fields(s.OK("ps", "-aq", "--no-trunc")) {
		if id != taken && s.Inspect(id, "{{.State.Status}}") != "created" {
			t.Errorf("%.12s is left as %s", id, s.Inspect(id, "{{.State.Status}} {{.State.Error}}"))
		}
	}
}

func TestRun_RemovesTheCidfileWhenCreateFails(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("create", "--name", "taken", img)
	cid := filepath.Join(s.Home(), "cid")
	s.Skiff("run", "--name", "taken", "--cidfile", cid, img, "true").Exits(125)
	if _, err := os.Stat(cid); err == nil {
		t.Error("the cid file is still there")
	}
}

func TestRun_PullsWhatIsMissing(t *testing.T) {
	s := harness.New(t)
	registry := harness.NewRegistry(t)
	ref := registry.Push(t, harness.BusyboxImage(t), "tools/busybox:1")
	r := s.Skiff("run", "--rm", "--network", "none", ref, "echo", "hi").Exits(0)
	harness.Equal(t, "standard output", r.Stdout, "hi\n")
	r.Complains("Unable to find image '" + ref + "' locally")
	r.Complains("Status: Downloaded newer image for " + ref)
	s.Skiff("run", "--rm", "--pull", "never", "--network", "none", ref, "true").Exits(0).Silent()
	s.Skiff("run", "--rm", "--pull", "always", "--network", "none", ref, "true").Exits(0).Complains("Status: Image is up to date for " + ref)
	r = s.Skiff("run", "--rm", "--pull", "always", "-q", "--network", "none", ref, "echo", "hi").Exits(0)
	harness.Equal(t, "standard output", r.Stdout, "hi\n")
}

func TestRun_ReportsASignalAsTheShellDoes(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.Skiff("run", "--rm", "--init", "--network", "none", img, "sh", "-c", "kill -9 $$").Exits(137)
	s.Skiff("run", "--rm", "--init", "--network", "none", img, "sh", "-c", "kill -TERM $$").Exits(143)
}

func TestRun_AHundredAtOnce(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	const line = `i=0; while [ $i -lt 100 ]; do
		(skiff run --rm --network none %s echo ok || echo failed: $?) & i=$((i+1)); done; wait`
	r := s.Shell(strings.ReplaceAll(line, "%s", img)).Exits(0)
	if got := strings.Count(r.Stdout, "ok\n"); got != 100 {
		t.Errorf("%d of 100 succeeded; %s%s", got, strings.ReplaceAll(r.Stdout, "ok\n", ""), r.Stderr)
	}
	s.Skiff("ps", "-aq").Exits(0).Prints("")
}
