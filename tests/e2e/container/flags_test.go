package container_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// Every flag of run that is not about networks, by its effect: what the
// container's process sees, or what inspect says where that is all there is.
// HOME stands for the user's home, IMG for the image.
func TestRunFlags_HaveTheirEffect(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.WriteFile("env", "# comment\nFROM=file\nQUOTED=\"kept\"\n")
	s.WriteFile("labels", "from=file\n# comment\n")
	s.WriteFile("bound/f", "bound")
	if err := os.Chmod(filepath.Join(s.Home(), "bound"), 0o777); err != nil {
		t.Fatal(err)
	}
	s.WriteFile("given/d/f", "given")
	// Made by the user, whose it has to be: the tests themselves may run as root.
	s.Shell("ln -s /etc/passwd ~/given/link").Exits(0)
	s.OK("create", "--name", "source", "--network", "none", "-v", "shared:/shared", img)
	s.WriteFile("key", "hush")
	s.OK("secret", "create", "key", filepath.Join(s.Home(), "key"))
	s.OK("create", "--name", "required", "--network", "none", img, "sleep", "1000")
	sleeper(s, img, "--name", "peer", "--ipc", "shareable")
	s.OK("exec", "peer", "sh", "-c", "echo peer >/dev/shm/f")
	peer := s.Inspect("peer", "{{.Id}}")
	s.Setenv("CALLER", "outside")
	for _, test := range flagsInside(t, s.UID()) {
		t.Run(test.name, func(t *testing.T) {
			s := s.In(t)
			line := test.line
			if !strings.Contains(line, "--network") {
				line = "--network none " + line
			}
			line = strings.NewReplacer("HOME", s.Home(), "IMG", img).Replace(line)
			r := s.Shell("skiff run --rm " + line).Exits(0)
			if test.name != "--network container" {
				r.Prints(test.want)
			}
			if test.name == "-a" {
				harness.Equal(t, "standard error", r.Stderr, "err\n")
			} else if strings.Contains(r.Stderr, "WARNING") {
				t.Errorf("warns: %s", r.Stderr)
			}
		})
	}
	s.OK("network", "create", "--subnet", "10.77.0.0/24", "--subnet", "fd77::/64", "--ipv6", "flags")
	for _, test := range flagsSaid() {
		t.Run(test.name, func(t *testing.T) {
			s := s.In(t)
			line := strings.NewReplacer("HOME", s.Home(), "PEER", peer).Replace(test.flags)
			if !strings.Contains(line, "--network") && !strings.Contains(line, "-p ") {
				line = "--network none " + line
			}
			id := s.Shell("skiff create " + line + " " + img + " true").Exits(0).Out()
			harness.Equal(t, test.template, s.Inspect(id, test.template), strings.ReplaceAll(test.want, "PEER", peer))
			s.OK("rm", id)
		})
	}
	s.OK("network", "rm", "flags")
}

type (
	flagInside struct{ name, line, want string }
	flagSaid   struct{ name, flags, template, want string }
)

// flagsInside are the flags whose effect the container's process sees, on a user
// with the given id.
func flagsInside(t *testing.T, uid int) []flagInside {
	status := func(field string) string { return "IMG grep " + field + " /proc/self/status" }
	return []flagInside{
		{"-e", "-e A=1 IMG sh -c 'echo $A'", "1"},
		{"-e of the caller", "-e CALLER IMG sh -c 'echo $CALLER'", "outside"},
		{"--env-file", "--env-file HOME/env IMG sh -c 'echo $FROM $QUOTED'", `file "kept"`},
		{"-w", "-w /made IMG pwd", "/made"},
		{"-u", "-u 5:6 IMG sh -c 'id -u; id -g'", "5\n6"},
		{"-u by name", "-u ana IMG id -un", "ana"},
		{"--group-add", "--group-add 29 IMG id -G", "0 29"},
		{"--entrypoint", "--entrypoint echo IMG a", "a"},
		{"--entrypoint, none", "--entrypoint '' IMG echo b", "b"},
		{"-h", "-h box IMG hostname", "box"},
		{"--domainname", "--domainname example.com IMG cat /proc/sys/kernel/domainname", "example.com"},
		{"--add-host", "--add-host db:10.0.0.1 IMG grep -w db /etc/hosts", "10.0.0.1\tdb"},
		{
			"--dns", "--dns 9.9.9.9 --dns-search example.com --dns-option ndots:2 IMG cat /etc/resolv.conf",
			"search example.com\nnameserver 9.9.9.9\noptions ndots:2",
		},
		{"-v", "-v HOME/bound:/m IMG cat /m/f", "bound"},
		{"-v, read only", "-v HOME/bound:/m:ro IMG sh -c 'touch /m/g 2>/dev/null || echo refused'", "refused"},
		{"-v, SELinux labels where there is none", "-v HOME/bound:/m:Z,ro IMG cat /m/f", "bound"},
		{"-v, propagation", "-v HOME/bound:/m:rshared IMG sh -c 'grep -c \" /m .*shared:\" /proc/self/mountinfo'", "1"},
		{"-v, a directory that is made", "-v HOME/made-by-v:/m IMG stat -c %u /m", "0"},
		{"-v, with a layer above", "-v HOME/bound:/m:O IMG sh -c 'echo over >/m/over; echo mine >/m/f; cat /m/over /m/f'", "over\nmine"},
		{"-v, what the layer above kept", "-v HOME/bound:/m:ro IMG sh -c 'ls /m; cat /m/f'", "f\nbound"},
		{"-v, a volume with a layer above", "-v over:/m:O IMG sh -c 'touch /m/x; ls /m'", "x"},
		{"--mount, below a read-only one", "--mount type=bind,src=HOME/bound,dst=/m,readonly,bind-recursive=writable IMG sh -c 'touch /m/g 2>/dev/null || echo refused'", "refused"},
		{"--mount, all read-only", "--mount type=bind,src=HOME/bound,dst=/m,readonly,bind-recursive=readonly,bind-propagation=rprivate IMG sh -c 'touch /m/g 2>/dev/null || echo refused'", "refused"},
		{"--security-opt mask", "--security-opt mask=/etc:/proc/version IMG sh -c 'ls /etc; cat /proc/version'", ""},
		{"--security-opt unmask", "--security-opt unmask=/proc/* IMG sh -c 'grep -c \" /proc/\" /proc/self/mountinfo || true'", "0"},
		{"-v, for the user", "-u 5:6 -v HOME/given:/m:U IMG sh -c 'stat -c \"%u %g\" /m /m/d/f /m/link; touch /m/new && echo written'", "5 6\n5 6\n5 6\nwritten"},
		{"-v, for the user, again", "--userns keep-id -v HOME/given:/m:U IMG sh -c 'stat -c %u /m/d/f'", itoa(uid)},
		{"-v, a volume for the user", "-u 5:6 -v foruser:/etc:U IMG sh -c 'stat -c \"%u %g\" /etc; touch /etc/x && echo written'", "5 6\nwritten"},
		{"-v, nocopy", "-v empty:/etc:nocopy IMG sh -c 'ls /etc | grep -c passwd || true'", "0"},
		{"--mount, volume-nocopy", "--mount type=volume,src=empty2,dst=/etc,volume-nocopy IMG sh -c 'ls /etc | grep -c passwd || true'", "0"},
		{"--mount, read only", "--mount type=bind,src=HOME/bound,dst=/m,readonly IMG sh -c 'touch /m/g 2>/dev/null || echo refused'", "refused"},
		{"--mount, tmpfs", "--mount type=tmpfs,dst=/m,tmpfs-size=1m,tmpfs-mode=700 IMG sh -c 'df -k /m | tail -1 | tr -s \" \" | cut -d\" \" -f2; stat -c %a /m'", "1024\n700"},
		{"--tmpfs", "--tmpfs /m:size=1m,mode=700 IMG sh -c 'grep -c \" /m tmpfs .*nosuid,nodev,noexec\" /proc/mounts; stat -c %a /m'", "1\n700"},
		{"--volumes-from", "--volumes-from source IMG grep -c ' /shared ' /proc/mounts", "1"},
		{"--volume-driver", "--volume-driver local -v driven:/m IMG grep -c ' /m ' /proc/mounts", "1"},
		{"--read-only", "--read-only IMG sh -c 'touch /f 2>/dev/null || echo refused'", "refused"},
		{"--init", "--init IMG sh -c 'test $$ != 1 && echo not the first'", "not the first"},
		{"--privileged", "--privileged IMG sh -c 'mount -t tmpfs none /mnt 2>/dev/null || mkdir /mnt && mount -t tmpfs none /mnt && echo mounted'", "mounted"},
		{"--cap-drop", "--cap-drop ALL " + status("CapEff"), "CapEff:\t0000000000000000"},
		{"--cap-add", "--cap-drop all --cap-add CAP_chown " + status("CapEff"), "CapEff:\t0000000000000001"},
		{"--security-opt no-new-privileges", "--security-opt no-new-privileges " + status("NoNewPrivs"), "NoNewPrivs:\t1"},
		{"--security-opt seccomp", "--security-opt seccomp=unconfined " + status("Seccomp:"), "Seccomp:\t0"},
		{"--security-opt systempaths", "--security-opt systempaths=unconfined IMG sh -c 'grep -c \" /proc/kcore \" /proc/mounts || true'", "0"},
		{"--sysctl", "--sysctl kernel.msgmax=9000 IMG cat /proc/sys/kernel/msgmax", "9000"},
		{"--ulimit", "--ulimit nofile=100:200 IMG sh -c 'ulimit -Sn; ulimit -Hn'", "100\n200"},
		{"--shm-size", "--shm-size 1m IMG sh -c 'df -k /dev/shm | tail -1 | tr -s \" \" | cut -d\" \" -f2'", "1024"},
		{"--oom-score-adj", "--oom-score-adj 700 IMG cat /proc/self/oom_score_adj", "700"},
		{"--device", "--device /dev/null:/dev/nothing IMG sh -c 'echo x >/dev/nothing; stat -c %F /dev/nothing'", "character special file"},
		{"--pid container", "--pid container:peer IMG sh -c 'ps | grep -c \"[t]rap .exit 0. TERM\"'", "1"},
		{"--pid host", "--pid host IMG sh -c 'test $$ != 1 && test -r /proc/$PPID/stat && cat /proc/self/comm'", "cat"},
		{"--ipc container", "--ipc container:peer IMG cat /dev/shm/f", "peer"},
		{"--ipc none", "--ipc none IMG sh -c 'grep -c \" /dev/shm \" /proc/mounts || true'", "0"},
		{"--uts host", "--uts host IMG hostname", hostname(t)},
		{"--network container", "--network container:peer IMG cat /etc/hostname", ""},
		{"--platform", "--platform linux/amd64 IMG echo ran", "ran"},
		{"--pull never", "--pull never IMG echo ran", "ran"},
		{"-q", "-q IMG echo ran", "ran"},
		{"--isolation", "--isolation default IMG echo ran", "ran"},
		{"--disable-content-trust", "--disable-content-trust IMG echo ran", "ran"},
		{"--cidfile", "--cidfile HOME/cid IMG true; wc -c <HOME/cid", "64"},
		{"--userns host", "--userns host IMG id -u", "0"},
		{"--userns keep-id", "--userns keep-id IMG id -u", itoa(uid)},
		{"--userns keep-id with ids", "--userns keep-id:uid=7,gid=8 IMG sh -c 'id -u; id -g'", "7\n8"},
		{"--uidmap", "--uidmap 0:1:1000 --uidmap 1000:0:1 IMG sh -c 'tr -s \" \" </proc/self/uid_map; tr -s \" \" </proc/self/gid_map'", " 0 1 1000\n 1000 0 1\n 0 1 1000\n 1000 0 1"},
		{"--gidmap", "--uidmap 0:0:1 --gidmap 0:0:5 IMG sh -c 'tr -s \" \" </proc/self/uid_map; tr -s \" \" </proc/self/gid_map'", " 0 0 1\n 0 0 1\n 1 1 4"},
		{"--umask", "--umask 0027 IMG sh -c umask", "0027"},
		{"--tz", "--tz local -v /etc/localtime:/here:ro IMG cmp /here /etc/localtime", ""},
		{"--systemd", "--systemd always IMG sh -c 'grep -c \" /run tmpfs rw\" /proc/mounts; echo $container'", "1\noci"},
		{"--systemd, another command", "--systemd true IMG sh -c 'grep -c \" /run tmpfs rw\" /proc/mounts || true'", "0"},
		{"--secret", "--secret key,uid=5,mode=0400 --secret key,type=env,target=KEY -u 5 IMG sh -c 'stat -c %u:%a /run/secrets/key; cat /run/secrets/key; echo $KEY'", "5:400\nhushhush"},
		{"--requires", "--requires required IMG true; skiff ps --filter name=required --format {{.State}}; skiff stop -t 0 required >/dev/null", "running"},
		{"--replace", "-d --replace --name source IMG true >/dev/null; until test -z \"$(skiff ps -aq --filter name=source)\"; do sleep 0.05; done; echo gone", "gone"},
		{"--timeout", "--timeout 1 IMG sh -c 'trap \"\" TERM; sleep 1000'; echo $?", "137"},
		{"-a", "-a stderr IMG sh -c 'echo out; echo err >&2'", ""},
		{"--sig-proxy", "--sig-proxy=false IMG echo ran", "ran"},
		{"--stop-timeout", "--stop-timeout 1 IMG echo ran", "ran"},
	}
}

// flagsSaid are the flags of which inspect tells.
func flagsSaid() []flagSaid {
	return []flagSaid{
		{"--annotation", "--annotation a=b", "{{.HostConfig.Annotations}}", "map[a:b]"},
		{"-l", "-l a=b -l c", "{{.Config.Labels}}", "map[a:b c:]"},
		{"--label-file", "--label-file HOME/labels", "{{.Config.Labels}}", "map[from:file]"},
		{"--expose", "--expose 80-81", "{{.Config.ExposedPorts}}", "map[80/tcp:{} 81/tcp:{}]"},
		{"--restart", "--restart on-failure:3", "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}", "on-failure 3"},
		{"--rm", "--rm", "{{.HostConfig.AutoRemove}}", "true"},
		{"--name", "--name named", "{{.Name}}", "/named"},
		{"-t -i", "-t -i", "{{.Config.Tty}} {{.Config.OpenStdin}}", "true true"},
		{"--log-driver", "--log-driver local --log-opt max-size=1m", "{{.HostConfig.LogConfig.Type}} {{.HostConfig.LogConfig.Config}}", "local map[max-size:1m]"},
		{
			"--health-cmd", "--health-cmd true --health-interval 3s --health-timeout 2s --health-retries 4 --health-start-period 5s --health-start-interval 1s",
			"{{.Config.Healthcheck.Test}} {{json .Config.Healthcheck.Interval}} {{json .Config.Healthcheck.Timeout}} {{.Config.Healthcheck.Retries}} {{json .Config.Healthcheck.StartPeriod}} {{json .Config.Healthcheck.StartInterval}}",
			"[CMD-SHELL true] 3000000000 2000000000 4 5000000000 1000000000",
		},
		{"--no-healthcheck", "--no-healthcheck", "{{.Config.Healthcheck.Test}}", "[NONE]"},
		{"--stop-signal", "--stop-signal SIGUSR1 --stop-timeout 7", "{{.Config.StopSignal}} {{.Config.StopTimeout}}", "SIGUSR1 7"},
		{"--cgroupns", "--cgroupns host", "{{.HostConfig.CgroupnsMode}}", "host"},
		{
			"--cpu-shares", "-c 512 --cpu-period 50000 --cpu-quota 25000 --cpuset-cpus 0 --cpuset-mems 0",
			"{{.HostConfig.CpuShares}} {{.HostConfig.CpuPeriod}} {{.HostConfig.CpuQuota}} {{.HostConfig.CpusetCpus}} {{.HostConfig.CpusetMems}}", "512 50000 25000 0 0",
		},
		{"--cpus", "--cpus 1.5", "{{.HostConfig.NanoCpus}}", "1500000000"},
		{"-m", "-m 64m --memory-reservation 32m --memory-swap 128m", "{{.HostConfig.Memory}} {{.HostConfig.MemoryReservation}} {{.HostConfig.MemorySwap}}", "67108864 33554432 134217728"},
		{"--pids-limit", "--pids-limit 77", "{{.HostConfig.PidsLimit}}", "77"},
		{
			"--network", "--network flags --network-alias one --ip 10.77.0.9 --ip6 fd77::9 --mac-address 02:42:ac:11:00:09",
			"{{.HostConfig.NetworkMode}} {{(index .NetworkSettings.Networks \"flags\").IPAMConfig}}", "flags {10.77.0.9 fd77::9 []}",
		},
		{"--link", "--network flags --link peer:db", "{{.HostConfig.Links}}", "[peer:db]"},
		{"--publish", "-p 127.0.0.1:8080:80/udp", "{{json .HostConfig.PortBindings}}", `{"80/udp":[{"HostIp":"127.0.0.1","HostPort":"8080"}]}`},
		{
			"--blkio-weight-device", "--device-read-bps /dev/null:1mb --device-write-bps /dev/null:2mb --device-read-iops /dev/null:3 --device-write-iops /dev/null:4 --blkio-weight-device /dev/null:100",
			"{{.HostConfig.BlkioDeviceReadBps}} {{.HostConfig.BlkioDeviceWriteBps}} {{.HostConfig.BlkioDeviceReadIOps}} {{.HostConfig.BlkioDeviceWriteIOps}} {{.HostConfig.BlkioWeightDevice}}",
			"[{/dev/null 1048576}] [{/dev/null 2097152}] [{/dev/null 3}] [{/dev/null 4}] [{/dev/null 100}]",
		},
		{"--cgroups", "--cgroups disabled --cgroup-parent /x", "{{.HostConfig.CgroupMode}} {{.HostConfig.CgroupParent}}", "disabled /x"},
		{
			"--health-ready", "--health-ready-cmd true --health-ready-delay 1s --health-ready-interval 2s --health-ready-timeout 3s --health-ready-retries 4 --health-ready-success 5",
			"{{json .Config.ReadinessCheck}}", `{"Delay":1000000000,"Interval":2000000000,"Retries":4,"Successes":5,"Test":["CMD-SHELL","true"],"Timeout":3000000000}`,
		},
		{"--health-on-failure", "--health-on-failure kill", "{{.HostConfig.HealthcheckOnFailureAction}}", "kill"},
		{"-P", "-P", "{{.HostConfig.PublishAllPorts}}", "true"},
	}
}

// What has no effect here is said: as a warning that names the flag, or as a
// refusal.
func TestRunFlags_WithoutEffectAreNotSilent(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	for _, flag := range flagsWarned() {
		t.Run(flag, func(t *testing.T) {
			r := s.In(t).Shell("skiff run --rm --network none " + flag + " " + img + " echo ran").Exits(0).Prints("ran")
			if !strings.Contains(r.Stderr, "WARNING: ") {
				t.Errorf("says nothing: %q", r.Stderr)
			}
		})
	}
	for flag, says := range flagsRefused() {
		t.Run(flag, func(t *testing.T) {
			s.In(t).Shell("skiff run --rm --network none " + flag + " " + img + " true").Exits(125).Complains(says)
		})
	}
}

func flagsWarned() []string {
	return []string{
		"--cpu-rt-period 1000", "--cpu-rt-runtime 1000", "--memory-swappiness 50", "--oom-kill-disable", "--kernel-memory 64m",
		"--device /dev/null:/dev/n:r", "--device-cgroup-rule 'c 1:3 rwm'", "--runtime runc", "--storage-opt size=1g", "--blkio-weight 100",
	}
}

func flagsRefused() map[string]string {
	return map[string]string{
		"--gpus all":                        "could not select device driver \"\" with capabilities: [[gpu]]",
		"--use-api-socket":                  "--use-api-socket",
		"--isolation hyperv":                "isolation",
		"--volume-driver nfs -v x1:/x":      "nfs",
		"--runtime nosuch":                  "unknown or invalid runtime name: nosuch",
		"--link-local-ip 169.254.1.1":       "user specified IP address is supported on user defined networks only",
		"--userns auto:uid=1":               `--userns: invalid option "uid=1" of auto`,
		"--userns keep-id --uidmap 0:0:1":   "conflicting options: --userns and --uidmap",
		"--uidmap 1:0:1":                    "id 0 of the container must be mapped",
		"--uidmap 0:0:9999999":              "the user has only the ids",
		"--uidmap 0:0:2 --uidmap 1:5:1":     "overlap",
		"--uidmap 0:x:2":                    `"x" is not a number of an id`,
		"-v x:/x:O,ro":                      "invalid mode: O,ro",
		"-v /etc/hosts:/x:U":                "operation not permitted",
		"-v x:/x:O,U":                       "invalid mode: O,U",
		"-v /etc/hosts:/x:O":                "option O needs a directory",
		"--security-opt mask=x":             `"x" is no absolute path`,
		"--security-opt unmask=/x:y":        `"y" is no absolute path`,
		"--security-opt writable-cgroups=x": "invalid --security-opt 2",
		"--mount type=bind,src=/,dst=/m,bind-recursive=writable":          "'bind-recursive=writable' requires 'readonly'",
		"--mount type=bind,src=/,dst=/m,bind-recursive=readonly":          "'bind-recursive=readonly' requires 'readonly'",
		"--mount type=bind,src=/,dst=/m,readonly,bind-recursive=readonly": "requires 'bind-propagation=rprivate'",
		"--umask 8":                           "must be an octal number",
		"--tz ../../etc/passwd":               "not an area",
		"--tz No/Where":                       "no such file or directory",
		"--systemd maybe":                     "must be one of true, false and always",
		"--sdnotify maybe":                    "must be one of conmon, container, healthy and ignore",
		"--sdnotify healthy --no-healthcheck": "conflicting options",
		"--replace":                           "cannot replace container without --name being set",
		"--secret nosuch":                     `no secret with name or id "nosuch": no such secret`,
		"--secret type=env":                   "no secret is named",
		"--secret a,mode=9":                   `mode "9" is not an octal number`,
		"--secret a,type=x":                   "neither mount nor env",
		"--requires nosuch":                   "No such container: nosuch",
		"--cpu-count 2":                       "unknown flag: --cpu-count",
		"--io-maxbandwidth 1m":                "unknown flag: --io-maxbandwidth",
	}
}

// flagsElsewhere are the flags with tests of their own, and where.
var flagsElsewhere = map[string]string{
	"help":                    "commands: golden files",
	"detach-keys":             "TestTerminal_*: typed at a terminal",
	"preserve-fds":            "TestPreserve_PassesDescriptors",
	"rootfs":                  "TestRootfs_*",
	"pod":                     "TestPod_*",
	"post-start":              "TestHook_*",
	"health-probe":            "TestProbe_*",
	"health-ready-probe":      "TestProbe_ReadinessOfItsOwn",
	"health-startup-cmd":      "TestHealth_ChecksTheStartupFirst",
	"health-startup-interval": "TestHealth_ChecksTheStartupFirst",
	"health-startup-probe":    "TestProbe_OfKubernetes",
	"health-startup-retries":  "TestHealth_ChecksTheStartupFirst",
	"health-startup-success":  "TestHealth_ChecksTheStartupFirst",
	"health-startup-timeout":  "TestHealth_ChecksTheStartupFirst",
	"pre-stop":                "TestHook_*",
}

// Every flag that run and create have stands in one of the tables.
func TestRunFlags_AreAllInATable(t *testing.T) {
	s := harness.New(t)
	lines := flagsWarned()
	for _, test := range flagsInside(t, s.UID()) {
		before, _, _ := strings.Cut(test.line, " IMG")
		lines = append(lines, before)
	}
	for _, test := range flagsSaid() {
		lines = append(lines, test.flags)
	}
	for line := range flagsRefused() {
		lines = append(lines, line)
	}
	seen := map[string]bool{}
	for name := range flagsElsewhere {
		seen[name] = true
	}
	for _, line := range lines {
		for _, word := range strings.Fields(line) {
			name, _, _ := strings.Cut(word, "=")
			seen[strings.TrimLeft(name, "-")] = seen[strings.TrimLeft(name, "-")] || strings.HasPrefix(word, "-")
		}
	}
	option := regexp.MustCompile(`(?m)^ {2}(?:-(\w), | {4})--([a-z0-9-]+)`)
	for _, command := range []string{"run", "create"} {
		found := option.FindAllStringSubmatch(s.OK(command, "--help"), -1)
		if len(found) < 90 {
			t.Fatalf("help of %s names %d flags only", command, len(found))
		}
		for _, m := range found {
			if !seen[m[2]] && (m[1] == "" || !seen[m[1]]) {
				t.Errorf("%s --%s is in no table", command, m[2])
			}
		}
	}
}

func hostname(t *testing.T) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return name
}
