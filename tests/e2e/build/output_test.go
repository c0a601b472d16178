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
		{"--call", "outline"},
		{"--sbom", "true"},
		{"--provenance", "mode=max"},
		{"--cache-to", "type=s3,region=x"},
		{"--allow", "security.insecure"},
		{"-o", "type=oci,dest=x,tar=false"},
		{"-o", "type=oci,dest=x,compression=estargz"},
		{"--annotation", "index:a=b"},
	} {
		s.Skiff(append(append([]string{"build", "-q"}, args...), dir)...).Exits(1).Complains("not supported")
	}
	s.Skiff("build", "-q", "--memory", "1g", "--provenance=false", dir).Exits(0).Complains("WARNING: --memory is not supported yet and has no effect")
	s.Skiff("build", "-q", "--squash", dir).Exits(0).Complains("WARNING: experimental flag squash is removed with BuildKit. You should squash inside build using a multi-stage Dockerfile for efficiency.")
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

// An archive is what save would write, and the store does not get the image.
func TestOutput_Archives(t *testing.T) {
	harness.Requires(t, harness.CommandNamed("skopeo"))
	s, dir := begin(t, "FROM busybox\nRUN echo 1 > /one\nRUN rm /one; echo 2 > /two\nCMD [\"cat\", \"/two\"]\n")
	at := func(name string) string { return filepath.Join(s.Home(), name) }
	s.OK("build", "-q", "-t", "app:1", "-o", "type=oci,dest="+at("oci.tar"), "-o", "type=docker,dest="+at("docker.tar")+",name=other:2", "--annotation", "a=b", dir)
	harness.Equal(t, "images", s.OK("images", "--format", "{{.Repository}}"), "busybox")
	id := s.OK("build", "-q", "-t", "app:1", "--annotation", "a=b", dir) // from the cache
	s.OK("save", "-o", at("saved.tar"), "app:1")
	harness.Equal(t, "layers", layersOf(s, "oci-archive:"+at("oci.tar")), layersOf(s, "oci-archive:"+at("saved.tar")))
	s.Shell("skopeo inspect --raw oci-archive:" + at("oci.tar")).Exits(0).PrintsMatch(`(?s).*"annotations":\{"a":"b"\}.*`)
	s.OK("rmi", "app:1")
	s.Skiff("load", "-i", at("docker.tar")).Exits(0).Prints("Loaded image: other:2")
	s.Skiff("run", "--rm", "--network", "none", "other:2").Exits(0).Prints("2")
	s.Skiff("load", "-i", at("oci.tar")).Exits(0).Prints("Loaded image: app:1")
	harness.Equal(t, "the image", s.Inspect("app:1", "{{.Id}}"), id)
	s.Shell(s.Binary() + " build -q -o type=docker,dest=- " + dir + " | tar t | grep -c manifest.json").Exits(0).Prints("1")

	s.WriteFile("c/Dockerfile", "FROM busybox\nRUN false\n")
	s.Skiff("build", "-q", "-o", "type=oci,dest="+at("none.tar"), dir).Exits(1)
	if harness.Exists(s.Home() + "/none.tar") {
		t.Error("a failed build left its output")
	}
}

func layersOf(s *harness.Session, archive string) string {
	s.T.Helper()
	return s.Shell("skopeo inspect --format '{{.Layers}}' " + archive).Exits(0).Out()
}

func TestOutput_Pushes(t *testing.T) {
	s, dir := begin(t, "FROM busybox\nRUN echo 1 > /one\n")
	r := harness.NewRegistry(t)
	name := r.Address + "/app:1"
	s.Skiff("build", "--progress=plain", "--push", "-t", name, "--annotation", "manifest:org.x=y", "--metadata-file", filepath.Join(s.Home(), "meta"), dir).Exits(0).
		Complains("pushing manifest for " + name + "@sha256:")
	s.Skiff("manifest", "inspect", name).Exits(0).PrintsMatch(`(?s).*"org.x": "y".*`)
	s.OK("rmi", name)
	s.OK("build", "-q", "-o", "type=image,push=true,name="+r.Address+"/other:2", dir)
	s.OK("pull", r.Address+"/other:2")
	s.OK("build", "-q", "-o", "type=registry", "-t", r.Address+"/third", dir)
	s.OK("pull", r.Address+"/third")
	s.Skiff("build", "-q", "--push", dir).Exits(1).Complains("tag is needed when pushing to registry")
	s.Skiff("build", "-q", "--push", "-t", "127.0.0.1:1/x", dir).Exits(1).Complains("failed to push")
}
