package build_test

import (
	"path/filepath"
	"testing"

	"skiff/tests/harness"
)

func TestOutput_Files(t *testing.T) {
	s, dir := begin(t, "FROM busybox AS made\nRUN mkdir /o && echo x > /o/x && chmod 700 /o/x && ln -s x /o/l\nFROM scratch\nCOPY --from=made /o/ /\n")
	out := filepath.Join(s.Home(), "out/put")
	s.OK("build", "-o", out, dir)
	harness.Equal(t, "files", s.Shell("cd "+out+"; stat -c '%a %n' *; cat l").Out(), "777 l\n700 x\nx")
	s.Shell("cd " + s.Home() + " && " + s.Binary() + " build -q -o type=tar,dest=o.tar c && tar tf o.tar").Exits(0).Prints("l\nx")
	s.Shell(s.Binary() + " build -q -o - " + dir + " | tar t").Exits(0).Prints("l\nx")
	harness.Equal(t, "images", s.OK("images", "-q", "-f", "dangling=true"), "")
	s.WriteFile("c/Dockerfile", "FROM busybox\nRUN false\n")
	s.Skiff("build", "-q", "-o", "type=tar,dest="+s.Home()+"/none.tar", dir).Exits(1)
	if harness.Exists(s.Home() + "/none.tar") {
		t.Error("a failed build left its output")
	}
}

func TestBuild_SaysWhatItDoesNotDo(t *testing.T) {
	s, dir := begin(t, "FROM busybox\n")
	for _, args := range [][]string{
		{"--push"},
		{"--squash"},
		{"--check"},
		{"--annotation", "a=b"},
		{"--sbom", "true"},
		{"--provenance", "mode=max"},
		{"--cache-to", "type=local,dest=x"},
		{"--allow", "security.insecure"},
		{"-o", "type=oci,dest=x"},
		{"--platform", "linux/amd64,linux/arm64"},
	} {
		s.Skiff(append(append([]string{"build", "-q"}, args...), dir)...).Exits(1).Complains("not supported")
	}
	s.Skiff("build", "-q", "--memory", "1g", "--provenance=false", dir).Exits(0).Complains("WARNING: --memory is not supported yet and has no effect")
	_, dir = begin(t, "# check=error=true\nFROM busybox\n")
	s.Skiff("build", dir).Exits(0).Complains("# check=error=true has no effect: no rules are checked")
}

// The same inputs and the same SOURCE_DATE_EPOCH give the same image.
func TestBuild_SourceDateEpoch(t *testing.T) {
	s, dir := begin(t, "FROM scratch\nCOPY f sub /d/\nWORKDIR /w/x\nCOPY <<E /here\ntext\nE\nCMD [\"x\"]\n", "f", "1", "sub/g", "2")
	s.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	first := s.OK("build", "-q", dir)
	s.OK("builder", "prune", "-af")
	s.Shell("touch " + dir + "/f").Exits(0)
	harness.Equal(t, "another build's image", s.OK("build", "-q", "--no-cache", dir), first)
	harness.Equal(t, "its time", s.Inspect(first, "{{.Created}}"), "2023-11-14T22:13:20Z")
}
