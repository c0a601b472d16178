package build_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"skiff/tests/harness"
)

func tarball(t *testing.T) []byte {
	return harness.Layer{harness.File("deep/down/f", "f"), harness.Program("x", "#!/bin/sh\n"), harness.Symlink("l", "x")}.Tar(t)
}

func TestAdd_UnpacksArchives(t *testing.T) {
	s, dir := begin(t, "FROM busybox\nADD a.tar b.tgz /d/\nCOPY a.tar /c/\nADD --unpack=false a.tar no.tar /n/\n", "no.tar", "no archive")
	for name, data := range map[string][]byte{"a.tar": tarball(t), "b.tgz": harness.Gzip(t, harness.Layer{harness.File("b", "b")}.Tar(t))} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.OK("build", "-q", "-t", "app", dir)
	harness.Equal(t, "what was added", inside(s, "app", "cd /; find d c n | sort; cat d/deep/down/f d/b; readlink d/l; stat -c %a d/x"),
		"c\nc/a.tar\nd\nd/b\nd/deep\nd/deep/down\nd/deep/down/f\nd/l\nd/x\nn\nn/a.tar\nn/no.tar\nfbx\n755")

	// Neither .. nor a link leads out of where it is unpacked.
	evil := harness.Layer{harness.Symlink("out", s.Home()), harness.File("out/made", "x"), harness.File("../../../up", "x")}.Tar(t)
	if err := os.WriteFile(filepath.Join(dir, "a.tar"), evil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.WriteFile("c/Dockerfile", "FROM busybox\nADD a.tar /d/\n")
	_ = s.Skiff("build", "-q", dir)
	if harness.Exists(filepath.Join(s.Home(), "made")) {
		t.Error("an archive was unpacked outside")
	}
}

// The archive says what its files are: --chown is for the directory.
func TestBuild_AddsArchivesAsBuildKitDoes(t *testing.T) {
	s, dir := begin(t, "FROM busybox\nADD --chown=7:8 --chmod=700 a.tar.zst /d/\nRUN stat -c '%u:%g %a %n' /d /d/f\n")
	plain := harness.Layer{harness.File("f", "x")}.Tar(t)
	if err := os.WriteFile(filepath.Join(dir, "a.tar"), plain, 0o644); err != nil {
		t.Fatal(err)
	}
	harness.Requires(t, harness.CommandNamed("zstd"))
	s.Shell("zstd -q " + dir + "/a.tar").Exits(0)
	s.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	s.Skiff("build", "--progress=plain", dir).Exits(0).Complains(" 7:8 755 /d\n").Complains(" 0:0 644 /d/f\n")
}

func TestBuild_ContextAsArchive(t *testing.T) {
	s, _ := begin(t, "")
	context := harness.Layer{
		harness.File("Dockerfile", "FROM busybox\nCOPY . /all/\n"), harness.File("Other", "FROM busybox\nCOPY sub/f /f\n"),
		harness.File("sub/f", "in the archive"), harness.File("no.log", ""), harness.File(".dockerignore", "*.log\nDockerfile\nOther\n"),
	}.Tar(t)
	s.SkiffInput(bytes.NewReader(context), "build", "-q", "-t", "a", "-").Exits(0)
	harness.Equal(t, "files", inside(s, "a", "cd /all; find . -type f | sort; cat sub/f"), "./.dockerignore\n./sub/f\nin the archive")
	s.SkiffInput(bytes.NewReader(harness.Gzip(t, context)), "build", "-q", "-t", "b", "-f", "Other", "-").Exits(0)
	harness.Equal(t, "another Dockerfile", inside(s, "b", "cat /f"), "in the archive")
	s.SkiffInput(bytes.NewReader(context[:1500]), "build", "-q", "-").Exits(1)
}
