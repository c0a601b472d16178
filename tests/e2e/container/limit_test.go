package container_test

import (
	"testing"

	"skiff/tests/harness"
)

// The limits themselves are shown in a machine of their own (tests/vm): here
// there is no systemd.
func TestRun_NamesLimitsThatCannotBeApplied(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	r := s.Skiff("run", "--rm", "-m", "64m", "--pids-limit", "5", img, "true").Exits(0)
	for _, want := range []string{
		"WARNING: Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
		"WARNING: Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
		"hint: ",
	} {
		r.Complains(want)
	}
	s.Skiff("run", "--rm", "-m", "64m", "--cgroups", "disabled", img, "true").Exits(0).Complains("hint: --cgroups=disabled leaves")
	s.Skiff("run", "--rm", "--cgroups", "split", img, "true").Exits(125).Complains("split needs cgroup v2 and a unit")
	s.Skiff("run", "--rm", "--cgroups", "some", img, "true").Exits(125).Complains("one of enabled, split, disabled and no-conmon")
	s.Skiff("run", "--rm", "--blkio-weight", "5", img, "true").Exits(125).Complains("Range of blkio weight is from 10 to 1000")
	s.Skiff("run", "--rm", "--device-read-bps", "/dev/null", img, "true").Exits(125).Complains("bad format: /dev/null")
}
