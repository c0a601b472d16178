package container

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/storage/container"
)

// testEnv is a world without a user: fixed clock and variables, output kept.
func testEnv(t *testing.T) (e *env.Env, out, errOut *bytes.Buffer) {
	t.Helper()
	out, errOut = &bytes.Buffer{}, &bytes.Buffer{}
	vars := map[string]string{"HOME": t.TempDir(), "FROM_CALLER": "yes"}
	in, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	return &env.Env{
		In: in, Out: out, Err: errOut, Program: "skiff",
		Clock:   func() time.Time { return time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC) },
		Getenv:  func(name string) string { return vars[name] },
		Environ: func() []string { return []string{"FROM_CALLER=yes"} },
	}, out, errOut
}

// parse runs the parser of a command over a line whose flags are already in the
// form --name=value.
func parse[T any](t *testing.T, command *cli.Command, parser func(*cli.Context) (T, error), args ...string) (got T, err error) {
	t.Helper()
	command.HideHelp = true
	command.Action = func(c *cli.Context) error {
		got, err = parser(c)
		return nil
	}
	app := &cli.App{Name: "skiff", Commands: []*cli.Command{command}, DisableSliceFlagSeparator: true, HideHelp: true}
	if runErr := app.Run(append([]string{"skiff", command.Name}, args...)); runErr != nil {
		t.Fatal(runErr)
	}
	return got, err
}

func parseRunLine(t *testing.T, line string) (runOptions, error) {
	t.Helper()
	e, _, _ := testEnv(t)
	return parse(t, RunCommand(e), func(c *cli.Context) (runOptions, error) { return parseRun(c, e) }, strings.Fields(line)...)
}

func TestParseRun(t *testing.T) {
	yes := true
	cases := []struct {
		name, line string
		get        func(runOptions) any
		want       any
	}{
		{"operands are image and command", "alpine ls -l", func(o runOptions) any { return append([]string{o.Image}, o.Args...) }, []string{"alpine", "ls", "-l"}},
		{"attaches output by default", "alpine", func(o runOptions) any { return []bool{o.Streams.Stdin, o.Streams.Stdout, o.Streams.Stderr} }, []bool{false, true, true}},
		{"attaches input with -i", "--interactive alpine", func(o runOptions) any { return []bool{o.Streams.Stdin, o.Streams.Stdout, o.Streams.Stderr} }, []bool{true, true, true}},
		{"attaches what was said", "--attach=STDERR alpine", func(o runOptions) any { return []bool{o.Streams.Stdin, o.Streams.Stdout, o.Streams.Stderr} }, []bool{false, false, true}},
		{"attaches nothing when detached", "--detach alpine", func(o runOptions) any { return o.Process.AttachStdout }, false},
		{"copies a variable of the caller", "--env=FROM_CALLER --env=NOT_THERE --env=A=1,2 alpine", func(o runOptions) any { return o.Process.Env }, []string{"FROM_CALLER=yes", "A=1,2"}},
		{"the last of one variable counts", "--env=A=1 --env=B=2 --env=A=3 alpine", func(o runOptions) any { return o.Process.Env }, []string{"A=3", "B=2"}},
		{"a label alone is empty", "--label=a --label=b=c=d alpine", func(o runOptions) any { return o.Process.Labels }, map[string]string{"a": "", "b": "c=d"}},
		{"an empty entrypoint is not none", "--entrypoint= alpine", func(o runOptions) any { return o.Entrypoint }, []string{""}},
		{"capabilities get the kernel's spelling", "--cap-add=sys_admin --cap-add=all --cap-drop=CAP_CHOWN alpine", func(o runOptions) any { return append(o.Host.CapAdd, o.Host.CapDrop...) }, []string{"CAP_SYS_ADMIN", "ALL", "CAP_CHOWN"}},
		{"sizes", "--memory=64m --shm-size=1g --memory-swap=-1 alpine", func(o runOptions) any { return []int64{o.Host.Memory, o.Host.ShmSize, o.Host.MemorySwap} }, []int64{64 << 20, 1 << 30, -1}},
		{"processors", "--cpus=1.5 alpine", func(o runOptions) any { return o.Host.NanoCpus }, int64(1500000000)},
		{"ulimits", "--ulimit=nofile=10:20 --ulimit=core=-1 alpine", func(o runOptions) any { return o.Host.Ulimits }, []container.Ulimit{{Name: "nofile", Soft: 10, Hard: 20}, {Name: "core", Soft: -1, Hard: -1}}},
		{"unmasks system paths", "--security-opt=systempaths=unconfined alpine", func(o runOptions) any { return o.Host.MaskedPaths != nil && len(o.Host.MaskedPaths) == 0 }, true},
		{"keeps security options", "--security-opt=no-new-privileges --security-opt=seccomp:unconfined alpine", func(o runOptions) any { return o.Host.SecurityOpt }, []string{"no-new-privileges", "seccomp=unconfined"}},
		{"network of another", "--network=container:db alpine", func(o runOptions) any { return o.Host.NetworkMode }, "container:db"},
		{"long form of a network", "--network=name=none alpine", func(o runOptions) any { return o.Host.NetworkMode }, "none"},
		{"restart policy", "--restart=on-failure:3 alpine", func(o runOptions) any { return o.Host.RestartPolicy }, container.RestartPolicy{Name: "on-failure", MaximumRetryCount: 3}},
		{"health", "--health-cmd=true --health-interval=5s alpine", func(o runOptions) any { return *o.Process.Healthcheck }, container.Healthcheck{Test: []string{"CMD-SHELL", "true"}, Interval: 5 * time.Second}},
		{"no health", "--no-healthcheck alpine", func(o runOptions) any { return o.Process.Healthcheck.Test }, []string{"NONE"}},
		{"init", "--init alpine", func(o runOptions) any { return o.Host.Init }, &yes},
		{"tmpfs", "--tmpfs=/run:size=64m,mode=1777 --tmpfs=/tmp alpine", func(o runOptions) any { return o.Host.Tmpfs }, map[string]string{"/run": "size=64m,mode=1777", "/tmp": ""}},
		{"published ports are exposed", "--publish=127.0.0.1:8080:80 alpine", func(o runOptions) any { return o.Host.PortBindings }, map[string][]container.PortBinding{"80/tcp": {{HostIP: "127.0.0.1", HostPort: "8080"}}}},
		{"extra hosts", "--add-host=a=[::1] --add-host=b:host-gateway alpine", func(o runOptions) any { return o.Host.ExtraHosts }, []string{"a:::1", "b:host-gateway"}},
		{"warns of what has no effect", "--memory-swappiness=5 --oom-kill-disable alpine", func(o runOptions) any { return len(o.Warnings) }, 2},
		{"warns of nothing else", "--rm --name=x --restart=no alpine", func(o runOptions) any { return len(o.Warnings) }, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o, err := parseRunLine(t, c.line)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.get(o); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %#v, want %#v", got, c.want)
			}
		})
	}
}

func TestParseRun_Refuses(t *testing.T) {
	cases := []struct{ line, err string }{
		{"--rm --restart=always a", "conflicting options: cannot specify both --restart and --rm"},
		{"--attach=stdout --detach a", "conflicting options: cannot specify both --attach and --detach"},
		{"--attach=x a", `invalid argument "x" for --attach: valid streams are STDIN, STDOUT and STDERR`},
		{"--no-healthcheck --health-cmd=x a", "--no-healthcheck conflicts with --health-* options"},
		{"--restart=x a", "invalid restart policy: unknown policy 'x'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"},
		{"--restart=always:3 a", "invalid restart policy: maximum retry count can only be used with 'on-failure'"},
		{"--pull=x a", `invalid pull option: 'x': must be one of "always", "missing" or "never"`},
		{"--memory=1k a", "Minimum memory limit allowed is 6MB"},
		{"--ulimit=x=1 a", `invalid argument "x=1" for --ulimit: invalid ulimit type: x`},
		{"--ulimit=nofile=2:1 a", `invalid argument "nofile=2:1" for --ulimit: ulimit soft limit must be less than or equal to hard limit: 2 > 1`},
		{"--volume=/a:/x --volume=/b:/x a", "Duplicate mount point: /x"},
		{"--volume=/a:/x --tmpfs=/x/ a", "Duplicate mount point: /x"},
		{"--volume=/a:/x:nope a", "invalid mode: nope"},
		{"--volume=/a:/x:ro,rw a", "invalid mode: ro,rw"},
		{"--volume=/a:ro a", "invalid volume specification: '/a:ro'"},
		{"--volume=a::b a", "invalid spec: a::b: empty section between colons"},
		{"--mount=type=bind,target=/x,tmpfs-size=1 a", `invalid argument "type=bind,target=/x,tmpfs-size=1" for --mount: cannot mix 'tmpfs-*' options with mount type 'bind'`},
		{"--mount=type=volume a", `invalid argument "type=volume" for --mount: target is required`},
		{"--mount=nope a", `invalid argument "nope" for --mount: invalid field 'nope' must be a key=value pair`},
		{"--userns=odd a", "--userns: invalid USER mode"},
		{"--userns=keep-id:uid=-1 a", `--userns: invalid option "uid=-1" of keep-id`},
		{"--pid=x a", "--pid: invalid PID mode"},
		{"--ipc=container: a", "invalid IPC mode: container:"},
		{"--hostname=-x a", `invalid hostname format: "-x"`},
		{"--add-host=x a", `invalid argument "x" for --add-host: bad format for add-host: "x"`},
		{"--add-host=x:1.2.3 a", `invalid argument "x:1.2.3" for --add-host: invalid IP address in add-host: "1.2.3"`},
		{"--dns=x a", `invalid argument "x" for --dns: IP address is not correctly formatted: x`},
		{"--sysctl=kernel.panic=1 a", `invalid argument "kernel.panic=1" for --sysctl: sysctl 'kernel.panic=1' is not allowed`},
		{"--device=x a", `x is not an absolute path`},
		{"--stop-signal=SIGNOPE a", "invalid signal: SIGNOPE"},
		{"--log-driver=x a", "error looking up logging plugin x: plugin \"x\" not found"},
		{"--publish=x a", "invalid containerPort: x"},
		{"--publish=80-81:80-82 a", "invalid ranges specified for container and host Ports: 80-82 and 80-81"},
		{"--detach-keys=ctrl-1 a", "invalid detach keys (ctrl-1): Unknown character: 'ctrl-1'"},
		{"--env-file=/nonexistent a", "open /nonexistent: no such file or directory"},
	}
	for _, c := range cases {
		if _, err := parseRunLine(t, c.line); err == nil || err.Error() != c.err {
			t.Errorf("%s\ngot  %v\nwant %s", c.line, err, c.err)
		}
	}
}

func TestParseRun_RefusesANewlineInNames(t *testing.T) {
	e, _, _ := testEnv(t)
	for _, arg := range []string{"--hostname=evil\n1.2.3.4 bank", "--add-host=a\nb:1.2.3.4", "--dns-search=a\nb", "--dns-option=a\nb", "--domainname=a\nb"} {
		if _, err := parse(t, RunCommand(e), func(c *cli.Context) (runOptions, error) { return parseRun(c, e) }, arg, "alpine"); err == nil {
			t.Errorf("%q was accepted", arg)
		}
	}
}

func TestParseRun_MakesRelativeSourcesAbsolute(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	o, err := parseRunLine(t, "--volume=./a/../b:/x:ro alpine")
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(dir, "b")
	if v := o.Volumes[0]; v.Source != want || v.Raw != want+":/x:ro" || !v.ReadOnly {
		t.Errorf("got %+v", v)
	}
}

func TestCIDFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cid")
	f, err := claimCIDFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := claimCIDFile(path); err == nil || !strings.HasPrefix(err.Error(), "container ID file found, make sure the other container isn't running or delete ") {
		t.Errorf("a second claim gives %v", err)
	}
	if err := f.finish(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a failed create left the file: %v", err)
	}
}
