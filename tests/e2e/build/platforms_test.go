package build_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// forTwo is built for two platforms without running anything foreign: the first
// stage is this machine's.
const forTwo = `FROM --platform=$BUILDPLATFORM busybox AS tools
RUN mkdir /out && cp /bin/busybox /out/busybox
RUN echo once >/out/once
ARG TARGETARCH
RUN echo $TARGETARCH >/out/arch
FROM scratch
COPY --from=tools /out /
ENTRYPOINT ["/busybox", "cat"]
CMD ["/arch"]
`

func TestBuild_ForSeveralPlatforms(t *testing.T) {
	s, dir := begin(t, forTwo)
	built := s.Skiff("build", "--platform", "linux/amd64,linux/arm64", "-t", "app", "-t", "app:2", dir).Exits(0)
	built.Complains("[linux/amd64 tools 2/4] RUN mkdir").Complains("[linux/arm64 tools 4/4] RUN echo arm64").Complains("naming to docker.io/library/app:2 done")
	if n := strings.Count(built.Stderr, " CACHED\n"); n < 2 {
		t.Errorf("what does not depend on the platform was done twice:\n%s", built.Stderr)
	}
	arch := func(ref, want string, flags ...string) {
		t.Helper()
		args := append([]string{"run", "--rm", "--network", "none", "--pull", "never"}, flags...)
		harness.Equal(t, "what "+ref+" says", s.OK(append(args, ref)...), want)
	}
	both := func() {
		t.Helper()
		arch("app", "amd64")
		arch("app", "arm64", "--platform", "linux/arm64")
		arch("app:2", "arm64", "--platform", "linux/arm64/v8")
	}
	both()
	s.Skiff("run", "--rm", "--pull", "never", "--platform", "linux/s390x", "app").Exits(125).Complains("s390x")
	harness.Equal(t, "rows", s.OK("images", "--format", "{{.Repository}}:{{.Tag}}", "app"), "app:2\napp:latest")
	harness.Equal(t, "all rows", s.OK("images", "-a", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "dangling=true"), "<none>:<none>")
	harness.Equal(t, "inspect", s.OK("image", "inspect", "--platform", "linux/arm64", "-f", "{{.Architecture}}", "app"), "arm64")
	s.Skiff("image", "prune", "-f").Exits(0).Prints("Total reclaimed space: 0B")
	both()
	s.OK("tag", "app:2", "third")
	arch("third", "arm64", "--platform", "linux/arm64")

	t.Run("again it is there", func(t *testing.T) {
		s := s.In(t)
		id := s.Inspect("app", "{{.Id}}")
		harness.Equal(t, "the image", s.OK("build", "-q", "--platform", "linux/amd64", "--platform", "linux/arm64", "-t", "app", dir), id)
	})
	t.Run("pushed as an index", func(t *testing.T) {
		s := s.In(t)
		r := harness.NewRegistry(t)
		ref := r.Address + "/team/app:1"
		s.OK("tag", "app", ref)
		pushed := s.Skiff("push", ref).Exits(0)
		digest := regexp.MustCompile(`1: digest: (sha256:[0-9a-f]{64}) size: [0-9]+\n`).FindStringSubmatch(pushed.Stdout)
		if digest == nil {
			t.Fatalf("no closing line:\n%s", pushed.Stdout)
		}
		listed := s.OK("buildx", "imagetools", "inspect", ref)
		for _, want := range []string{digest[1], "application/vnd.oci.image.index.v1+json", "linux/amd64", "linux/arm64"} {
			if !strings.Contains(listed, want) {
				t.Errorf("no %s in\n%s", want, listed)
			}
		}
		s.Skiff("push", ref).Exits(0).Says("1: digest: " + digest[1])
		s.OK("build", "-q", "--platform", "linux/amd64,linux/arm64", "-t", r.Address+"/direct", "--push", dir)
		if listed := s.OK("buildx", "imagetools", "inspect", r.Address+"/direct"); !strings.Contains(listed, "linux/arm64") {
			t.Errorf("build --push sent\n%s", listed)
		}
		s.Skiff("push", "--platform", "linux/arm64", ref).Exits(0)
		if alone := s.OK("buildx", "imagetools", "inspect", ref); strings.Contains(alone, "index") {
			t.Errorf("one platform was pushed as\n%s", alone)
		}
		s.OK("push", "-q", ref)
		s.OK("rmi", ref, r.Address+"/direct")
		s.OK("pull", "-q", "--platform", "linux/arm64", ref)
		harness.Equal(t, "pulled", s.Inspect(ref, "{{.Architecture}}"), "arm64")
		s.OK("rmi", ref)

		// A list that was pulled stays one where the registry has the rest of it.
		s.OK("pull", "-q", ref)
		s.OK("tag", ref, r.Address+"/else/where")
		s.Skiff("push", r.Address+"/else/where").Exits(0).Says("latest: digest: " + digest[1])
		other := harness.NewRegistry(t)
		s.OK("tag", ref, other.Address+"/app")
		s.Skiff("push", other.Address+"/app").Exits(0).Says("Not all multiplatform-content is present and only the available single-platform image was pushed\n" + digest[1] + " -> sha256:")
		s.OK("rmi", ref, r.Address+"/else/where", other.Address+"/app")
	})
	t.Run("in an archive", func(t *testing.T) {
		s := s.In(t)
		file := filepath.Join(s.Home(), "app.tar")
		s.OK("save", "-o", file, "app", "busybox")
		s.OK("rmi", "app:2", "third", "app")
		harness.Equal(t, "what is left", s.OK("images", "-a", "--format", "{{.Repository}}"), "busybox")
		s.Skiff("load", "-i", file).Exits(0).Says("Loaded image: app:latest")
		s.OK("tag", "app", "app:2")
		both()
		harness.Requires(t, harness.CommandNamed("skopeo"))
		s.Shell("skopeo inspect --raw oci-archive:" + file + ":docker.io/library/app:latest | grep -c index.v1 || skopeo inspect --raw docker-archive:" + file + ":docker.io/library/app:latest").Exits(0)
	})
	t.Run("one of them removed", func(t *testing.T) {
		s := s.In(t)
		s.Skiff("rmi", "--platform", "linux/amd64", "app").Exits(0)
		harness.Equal(t, "the rest", s.Inspect("app", "{{.Architecture}}"), "arm64")
		arch("app:2", "amd64")
		s.OK("rmi", "app")
		arch("app:2", "arm64", "--platform", "linux/arm64")
		s.OK("rmi", "app:2")
		harness.Equal(t, "what is left", s.OK("images", "-a", "--format", "{{.Repository}}"), "busybox")
	})
}

func TestBuild_ForSeveralPlatforms_Out(t *testing.T) {
	s, dir := begin(t, forTwo)
	out := s.Home() + "/out"
	s.OK("build", "-q", "--platform", "linux/amd64,linux/arm64", "-o", out, dir)
	harness.Equal(t, "directories", s.ReadFile("out/linux_amd64/arch")+s.ReadFile("out/linux_arm64/arch"), "amd64\narm64\n")
	s.Shell(s.Binary() + " build -q --platform linux/amd64,linux/arm64 -o - " + dir + " | tar -t").Exits(0).Says("linux_arm64/arch\n").Says("linux_amd64/arch\n")

	file := s.Home() + "/app.oci"
	s.OK("build", "-q", "--platform", "linux/arm64,linux/amd64", "-t", "app", "-o", "type=oci,dest="+file, dir)
	harness.Equal(t, "images before the archive is loaded", s.OK("images", "--format", "{{.Repository}}"), "busybox")
	s.Skiff("load", "-i", file).Exits(0).Says("Loaded image: app:latest")
	harness.Equal(t, "the machine's", s.OK("run", "--rm", "--network", "none", "app"), "amd64")
	harness.Equal(t, "the other", s.OK("run", "--rm", "--network", "none", "--platform", "linux/arm64", "app"), "arm64")
	var index struct{ Manifests []struct{ MediaType string } }
	if err := json.Unmarshal([]byte(s.Shell("tar -xOf "+file+" index.json").Exits(0).Stdout), &index); err != nil || len(index.Manifests) != 1 {
		t.Errorf("index.json has %v, %v", index, err)
	}

	for _, line := range []struct {
		flags []string
		want  string
	}{
		{[]string{"-o", "type=docker,dest=" + out + ".tar"}, "docker exporter does not currently support exporting manifest lists"},
		{[]string{"--cache-to", "type=local,dest=" + out}, "a cache of type local holds one platform"},
	} {
		s.Skiff(slices.Concat([]string{"build", "--platform", "linux/amd64,linux/arm64"}, line.flags, []string{dir})...).Exits(1).Complains(line.want)
	}
	s.Skiff("build", "--platform", "linux/amd64,li nux", dir).Exits(1).Complains(`"li nux" is an invalid component of "li nux"`)
	if _, err := os.Stat(out + ".tar"); err == nil {
		t.Error("an archive was begun")
	}
}

// A base image for another platform comes beside the one that is there.
func TestBuild_BaseForAnotherPlatform(t *testing.T) {
	s, dir := begin(t, forTwo)
	r := harness.NewRegistry(t)
	base := r.Address + "/base"
	s.OK("build", "-q", "--platform", "linux/amd64,linux/arm64", "-t", base, "--push", dir)
	s.OK("rmi", base)
	s.OK("pull", "-q", base)
	id := s.Inspect(base, "{{.Id}}")
	s.WriteFile("c/Dockerfile", "FROM "+base+"\nCOPY Dockerfile /d\n")
	s.OK("build", "-q", "--platform", "linux/arm64", "-t", "arm", dir)
	harness.Equal(t, "built on", s.OK("run", "--rm", "--network", "none", "arm"), "arm64")
	harness.Equal(t, "the name is where it was", s.Inspect(base, "{{.Id}}"), id)
	harness.Equal(t, "and stands for both", s.OK("image", "inspect", "--platform", "linux/arm64", "-f", "{{.Architecture}}", base), "arm64")
	s.OK("build", "-q", "--platform", "linux/amd64,linux/arm64", "-t", "both", dir)
	harness.Equal(t, "both", s.OK("run", "--rm", "--network", "none", "--platform", "linux/arm64", "both")+s.OK("run", "--rm", "--network", "none", "both"), "arm64amd64")
	s.OK("rmi", "both", "arm", base)
	harness.Equal(t, "what is left", s.OK("images", "-a", "--format", "{{.Repository}}"), "busybox")
}
