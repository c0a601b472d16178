package container

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/flags"
	"skiff/storage/container"
	"skiff/storage/image"
)

// made is the configuration of `create args...` as far as it needs no store.
func made(t *testing.T, img *image.Image, args ...string) *container.Config {
	t.Helper()
	return madeWith(t, img, func(list []cli.Flag) []cli.Flag { return list }, args...)
}

// madeWith has the flags changed before they are parsed.
func madeWith(t *testing.T, img *image.Image, change func([]cli.Flag) []cli.Flag, args ...string) *container.Config {
	t.Helper()
	e, _, _ := testEnv(t)
	command := CreateCommand(e)
	command.Flags = change(command.Flags)
	o, err := parse(t, command, func(c *cli.Context) (createOptions, error) { return parseCreate(c, e) }, args...)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	o.attachAll()
	cfg, err := configure(o, img, "machine")
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	cfg.Host.VolumesFrom = o.VolumesFrom
	for _, v := range o.Volumes {
		if v.Source != "" {
			cfg.Host.Binds = append(cfg.Host.Binds, v.Raw)
			continue
		}
		addConfigVolume(cfg, v.Destination)
		cfg.Mounts = append(cfg.Mounts, container.Mount{Type: "volume", Destination: v.Destination, Anonymous: true})
	}
	if o.Rootfs {
		if err := setRootfs(cfg, o.Image); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

// plain is a configuration as text, without what is another's each time.
func plain(t *testing.T, cfg *container.Config) string {
	t.Helper()
	text, err := json.MarshalIndent(cfg, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(cfg.ID, "ID", cfg.ID[:12], "ID12").Replace(string(text))
}

// lineImage is an image that says much by itself.
func lineImage() *image.Image {
	five := 5
	img := &image.Image{ID: strings.Repeat("a", 64)}
	img.Config.OS, img.Config.Architecture = "linux", "amd64"
	img.Config.Config = container.Process{
		Entrypoint: []string{"/entry", "-x"}, Cmd: []string{"serve"}, Env: []string{"PATH=/bin", "A=image", "Z=1"}, User: "app", WorkingDir: "/srv/",
		Labels: map[string]string{"from": "image", "both": "image"}, ExposedPorts: map[string]struct{}{"80/tcp": {}}, StopSignal: "SIGQUIT", StopTimeout: &five,
		Healthcheck: &container.Healthcheck{Test: []string{"CMD", "check", "it"}, Interval: time.Second, Retries: 2},
		Volumes:     map[string]struct{}{"/var/data": {}},
	}
	return img
}

func TestLine_MakesTheSameContainer(t *testing.T) {
	dir := t.TempDir()
	bare := &image.Image{ID: strings.Repeat("b", 64)}
	bare.Config.OS, bare.Config.Architecture = "linux", "amd64"
	bare.Config.Config.Cmd = []string{"sh"}
	for name, images := range map[string][]*image.Image{"of an image that says much": {lineImage()}, "of a bare one": {bare}} {
		for _, args := range [][]string{
			{"i"},
			{"i", "other", "command", "--with", "flags"},
			{"--device", "v.com/c=d", "--device", "/dev/null:/dev/x:r", "--device", "v.com/c=e", "i"},
			{"--gpus", "all", "--device", "v.com/c=d", "i"},
			{"--gpus", "0", "--gpus", `"device=0,GPU-1","capabilities=compute,utility",driver=nvidia,"options=a=b,c=d"`, "i"},
			{"--gpus", `driver=cdi,device=v.com/c=d`, "i"},
			{"--entrypoint=/bin/sh", "i", "-c", "echo $A; exit"},
			{"--entrypoint=/bin/sh", "i"},
			{"--entrypoint=", "i", "run"},
			{"--env=A=own", "--env=B=two words", "--env=C=", "--env=PATH=/bin", "i"},
			{"--user=5:6", "--workdir=/w", "--label=both=own", "--label=x=y=z", "--label=empty", "--group-add=7", "--umask=0077", "--tz=local", "i"},
			{"--tty", "--interactive", "--hostname=h", "--domainname=d.example", "i"},
			{"--publish=8080:80", "--publish=127.0.0.1:9000:90/udp", "--publish=[::1]:1:1", "--publish=7", "--publish=127.0.0.1::8", "--publish=5000-5001:50-51", "--expose=99", "i"},
			{"--publish-all", "--dns=1.1.1.1", "--dns-option=ndots:1", "--dns-search=example.org", "--add-host=a:::1", "--add-host=b:host-gateway", "--link=db:d", "i"},
			{"--network=none", "i"},
			{"--network=host", "--uts=host", "--pid=host", "--ipc=host", "--cgroupns=host", "--userns=host", "i"},
			{"--network=host", "--hostname=other", "i"},
			{"--network=name=inner,alias=a,alias=b,ip=10.0.0.5,mac-address=02:00:00:00:00:01,gw-priority=3", "--network=outer", "i"},
			{"--network=inner", "--ip=10.0.0.7", "--ip6=fd00::7", "--network-alias=w", "--link-local-ip=169.254.1.1", "i"},
			{"--network=container:" + strings.Repeat("c", 64), "i"},
			{"--volume=/srv/a b:/a:ro", "--volume=data:/data:nocopy", "--volume=/anonymous", "--volumes-from=db:ro", "--tmpfs=/run:size=1m,mode=700", "--tmpfs=/tmp", "i"},
			{"--mount=type=bind,source=/etc,target=/e,readonly,bind-propagation=rslave,bind-nonrecursive", "i"},
			{"--mount=type=volume,src=v,dst=/v,volume-subpath=s,volume-nocopy,volume-label=a=b,volume-opt=type=tmpfs", "i"},
			{`--mount="type=tmpfs","dst=/t,x",tmpfs-size=1m,tmpfs-mode=1770`, "i"},
			{"--secret=s", "--secret=t,type=env,target=T", "--secret=u,target=/u,uid=1,gid=2,mode=0400", "i"},
			{"--cap-add=net_admin", "--cap-drop=all", "--privileged", "--read-only", "--sysctl=net.core.somaxconn=5", "--device=/dev/null:/dev/zero:r", "i"},
			{"--security-opt=no-new-privileges", "--security-opt=seccomp=unconfined", "--security-opt=systempaths=unconfined", "--annotation=a=b", "i"},
			{"--memory=64m", "--memory-swap=-1", "--memory-reservation=32m", "--shm-size=1m", "--cpus=1.05", "--pids-limit=-1", "--cpuset-cpus=0", "--cpuset-mems=0", "i"},
			{"--cpu-shares=5", "--cpu-period=1000", "--cpu-quota=2000", "--blkio-weight=20", "--blkio-weight-device=/dev/sda:30", "--cgroup-parent=x", "i"},
			{"--device-read-bps=/dev/sda:1mb", "--device-write-bps=/dev/sda:2", "--device-read-iops=/dev/sda:3", "--device-write-iops=/dev/sda:4", "i"},
			{"--ulimit=nofile=5:6", "--ulimit=core=-1", "--oom-score-adj=5", "--cgroups=disabled", "--timeout=9", "i"},
			{"--restart=on-failure:3", "--init", "--log-driver=journald", "--log-opt=tag=x,y", "--sdnotify=healthy", "--health-cmd=true", "i"},
			{"--restart=always", "--init=false", "--health-on-failure=kill", "--health-interval=3s", "--health-retries=7", "--health-start-period=1m", "i"},
			{"--health-cmd=a b", "--health-timeout=1500ms", "--health-start-interval=2s", "i"},
			{"--no-healthcheck", "--rm", "--stop-signal=USR1", "--stop-timeout=-1", "i"},
			{"--systemd=always", "--sdnotify=container", "--requires=" + strings.Repeat("d", 64), "i"},
			{"--uidmap=0:0:1", "--uidmap=1:1:10", "--gidmap=0:0:2", "i"},
			{"--userns=keep-id:uid=5,gid=6", "i"},
			{"--health-probe=http://:80/x", "--health-startup-probe=tcp://:80", "i"},
			{`--health-probe=["true", "a b"]`, `--health-startup-probe={"exec":{"command":["true"]}}`, "--health-startup-retries=2", "i"},
			{"--rootfs", dir, "true"},
			{"--rootfs", dir + ":O", "true"},
		} {
			t.Run(name+" "+strings.Join(args, " "), func(t *testing.T) {
				img := images[0]
				if args[0] == "--rootfs" {
					img = &image.Image{}
				}
				cfg := made(t, img, args...)
				b := &liner{cfg: cfg, from: img.Config.Config, hostname: "machine", name: func(id string) string { return id }}
				line := b.line()
				var again []string
				for _, f := range line.Flags {
					again = append(again, f.String())
				}
				got := made(t, img, append(append(again, line.Image), line.Args...)...)
				if a, b := plain(t, cfg), plain(t, got); a != b {
					t.Errorf("%q\nbecomes %q %s %q\nof %s\nis %s", args, again, line.Image, line.Args, a, b)
				}
				if len(line.Lost) > 0 {
					t.Errorf("lost: %q", line.Lost)
				}
				if a, b := plain(t, cfg), plain(t, madeWith(t, img, func(all []cli.Flag) []cli.Flag { return flags.Needed(all, args) }, args...)); a != b {
					t.Errorf("by the flags that are needed: %s\nis %s", a, b)
				}
			})
		}
	}
}

func TestLine_SaysWhatItCannotSay(t *testing.T) {
	cfg := made(t, lineImage(), "--cidfile=/tmp/x", "i")
	cfg.Config.Healthcheck.Test = []string{"OTHER", "other"}
	cfg.Host.SecurityOpt = []string{`seccomp={"defaultAction":"SCMP_ACT_ALLOW"}`}
	cfg.Networks = []container.Endpoint{{Network: "n", Links: []string{"a:b"}}}
	b := &liner{cfg: cfg, from: lineImage().Config.Config, name: func(id string) string { return id }}
	lost := strings.Join(b.line().Lost, "\n")
	for _, want := range []string{"/tmp/x", "health check", "seccomp profile", "links"} {
		if !strings.Contains(lost, want) {
			t.Errorf("%q says nothing of %s", lost, want)
		}
	}
}

// Every field of a configuration is in the line, or known to need no flag.
func TestLine_KnowsEveryField(t *testing.T) {
	code, err := os.ReadFile("line.go")
	if err != nil {
		t.Fatal(err)
	}
	// What `run` decides by itself, each time.
	decided := []string{"AttachStdin", "AttachStdout", "AttachStderr", "StdinOnce", "Runtime"}
	for _, of := range []reflect.Type{reflect.TypeFor[container.Process](), reflect.TypeFor[container.Host]()} {
		for i := range of.NumField() {
			name := of.Field(i).Name
			if !strings.Contains(string(code), "."+name) && !slices.Contains(decided, name) {
				t.Errorf("%s.%s is lost", of.Name(), name)
			}
		}
	}
}
