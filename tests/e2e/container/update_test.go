package container_test

import (
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestUpdate_KeepsWhatIsNotSaid(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("create", "--name", "it", "--cpus", "1.5", "-m", "64m", "--restart", "on-failure:3", img)
	const all = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}"
	s.Skiff("update", "--memory", "128m", "--pids-limit", "50", "it").Exits(0).Prints("it")
	harness.Equal(t, "after the first", s.Inspect("it", all), "134217728 1500000000 0 50 on-failure:3")
	s.Skiff("update", "--restart", "always", "-c", "512", "it").Exits(0).Prints("it")
	harness.Equal(t, "after the second", s.Inspect("it", all), "134217728 1500000000 512 50 always:0")
	harness.Equal(t, "the events", strings.Join(told(s, "-f", "event=update", "--format", "{{.Action}}"), " "), "update update")

	s.Skiff("update", "it").Exits(1).Complains("you must provide one or more flags when using this command")
	s.Skiff("update", "--restart", "sometimes", "it").Exits(1).Complains("invalid restart policy: unknown policy 'sometimes'")
	s.Skiff("update", "-m", "1k", "it").Exits(1).Complains("Minimum memory limit allowed is 6MB")
	s.Skiff("update", "--cpu-quota", "1000", "it").Exits(1).Complains("cannot be updated as NanoCPUs has already been set")
	s.Skiff("update", "-m", "64m", "nothing").Exits(1).Complains("No such container: nothing")
	harness.Equal(t, "after the failures", s.Inspect("it", all), "134217728 1500000000 512 50 always:0")
	s.OK("create", "--rm", "--name", "fleeting", img)
	s.Skiff("update", "--restart", "always", "fleeting").Exits(1).Complains("Restart policy cannot be updated because AutoRemove is enabled for the container")
	s.OK("rm", "fleeting")
}

func TestPrune_RemovesWhatDoesNotRun(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.Skiff("container", "prune", "-f").Exits(0).Prints("Total reclaimed space: 0B")
	up := s.OK("run", "-d", "--name", "up", "--network", "none", img, "sleep", "1000")
	ended := s.OK("run", "-d", "--name", "ended", "--network", "none", "-v", "/anonymous", img, "sh", "-c", "echo 12345 >/f")
	s.OK("wait", "ended")
	made := s.OK("create", "--label", "keep=yes", img)
	s.SkiffInput(strings.NewReader("n\n"), "container", "prune").Exits(0).
		Prints("WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ")
	s.Skiff("container", "prune", "-f", "--filter", "label=keep=no").Exits(0).Prints("Total reclaimed space: 0B")
	s.Skiff("container", "prune", "-f", "--filter", "until=1h").Exits(0).Prints("Total reclaimed space: 0B")
	s.Skiff("container", "prune", "-f", "--filter", "label!=keep").Exits(0).Prints("Deleted Containers:\n" + ended + "\n\nTotal reclaimed space: 6B")
	if s.OK("volume", "ls", "-q") == "" {
		t.Error("the anonymous volume is gone; docker keeps it")
	}
	s.SkiffInput(strings.NewReader("y\n"), "container", "prune").Exits(0).Says("Deleted Containers:\n" + made + "\n\nTotal reclaimed space: 0B")
	s.Skiff("ps", "-aq", "--no-trunc").Prints(up)
	s.Skiff("container", "prune", "-f", "--filter", "name=x").Exits(1).Complains("invalid filter 'name'")
	s.Skiff("container", "prune", "-f", "--filter", "until=soon").Exits(1).Complains("failed to parse value as time or duration")
}

func TestClone_HasTheConfiguration(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "--name", "it", "-e", "A=1", "-v", "/data", "--network", "none", img, "sh", "-c", "echo $A $(hostname) >>/data/f; cat /data/f")
	id := s.Skiff("container", "clone", "--cpus", "0.5", "it").Exits(0).PrintsMatch("[0-9a-f]{64}").Out()
	s.Skiff("start", "-a", "it-clone").Exits(0).Prints("1 " + id[:12])
	harness.Equal(t, "the limit", s.Inspect("it-clone", "{{.HostConfig.NanoCpus}}"), "500000000")
	if s.Inspect("it", "{{(index .Mounts 0).Name}}") == s.Inspect("it-clone", "{{(index .Mounts 0).Name}}") {
		t.Error("the anonymous volume is shared")
	}
	s.Skiff("container", "clone", "--run", "--destroy", "it", "other").Exits(0)
	s.Skiff("inspect", "it").Exits(1)
	s.Skiff("wait", "other").Prints("0")
	s.Skiff("container", "clone", "other", "it-clone").Exits(1).Complains(`Conflict. The container name "/it-clone" is already in use`)
	s.Skiff("container", "clone", "nothing").Exits(1).Complains("No such container: nothing")
}

func TestHealthcheckRun_TellsByItsExitCode(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "--name", "it", "--network", "none", "--health-cmd", "test -e /healthy", "--health-timeout", "20s", img, "sleep", "1000")
	s.Skiff("healthcheck", "run", "it").Exits(1).Prints("unhealthy")
	s.OK("exec", "it", "touch", "/healthy")
	s.Skiff("healthcheck", "run", "it").Exits(0).Prints("")
	s.OK("run", "-d", "--name", "slow", "--network", "none", "--health-cmd", "sleep 1000", "--health-timeout", "300ms", img, "sleep", "1000")
	s.Skiff("healthcheck", "run", "slow").Exits(1).Prints("unhealthy")
	id := s.OK("run", "-d", "--name", "none", "--network", "none", img, "sleep", "1000")
	s.Skiff("healthcheck", "run", "none").Exits(1).Complains("container " + id + " has no defined healthcheck")
}
