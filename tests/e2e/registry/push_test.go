package registry_test

import (
	"regexp"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestPush_PrintsWhatDockerPrints(t *testing.T) {
	s := harness.New(t)
	r := harness.NewRegistry(t)
	img := s.LoadBusybox()
	ref := r.Address + "/tools/busybox:1"
	s.OK("tag", img, ref)
	s.Skiff("push", ref).Exits(0).PrintsMatch(`The push refers to repository \[` + r.Address + `/tools/busybox\]\n` +
		`[0-9a-f]{12}: Preparing\n[0-9a-f]{12}: Pushed\n1: digest: sha256:[0-9a-f]{64} size: [0-9]+`)
	again := s.Skiff("push", ref).Exits(0).Says(": Layer already exists\n")
	digest := regexp.MustCompile(`sha256:[0-9a-f]{64}`).FindString(again.Stdout)
	s.Skiff("push", "-q", ref).Exits(0).Prints(ref)
	// Scripts take the digest from here.
	named := r.Address + "/tools/busybox@" + digest
	harness.Equal(t, "name by digest", s.Inspect(ref, "{{index .RepoDigests 0}}"), named)
	harness.Equal(t, "the image of that name", s.Inspect(named, "{{.Id}}"), s.Inspect(ref, "{{.Id}}"))

	t.Run("a blob of another repository is mounted", func(t *testing.T) {
		s := s.In(t)
		s.OK("tag", ref, r.Address+"/other/app")
		s.Skiff("push", r.Address+"/other/app").Exits(0).Says("Using default tag: latest\n").Says(": Mounted from tools/busybox\n").Says("latest: digest: " + digest)
	})
	t.Run("it comes back as it went", func(t *testing.T) {
		s := s.In(t)
		id := s.Inspect(ref, "{{.Id}}")
		s.OK("rmi", "-f", id)
		s.Skiff("pull", ref).Exits(0).Says("Digest: " + digest + "\n")
		harness.Equal(t, "the id", s.Inspect(ref, "{{.Id}}"), id)
		s.Skiff("run", "--rm", "--network", "none", ref, "echo", "hi").Exits(0).Prints("hi")
		// What was pulled is pushed with the digest that it had.
		s.Skiff("push", ref).Exits(0).Says("1: digest: " + digest)
	})
	t.Run("all tags", func(t *testing.T) {
		s := s.In(t)
		s.OK("tag", ref, r.Address+"/tools/busybox:2")
		out := s.Skiff("push", "-a", r.Address+"/tools/busybox").Exits(0).Stdout
		if !strings.Contains(out, "\n1: digest: ") || !strings.Contains(out, "\n2: digest: ") {
			t.Errorf("got\n%s", out)
		}
		s.OK("rmi", r.Address+"/tools/busybox:2", ref)
		s.Skiff("pull", "-a", r.Address+"/tools/busybox").Exits(0).Says("1: Pulling from tools/busybox\n").Says("2: Pulling from tools/busybox\n").
			Says("Status: Downloaded newer image for " + r.Address + "/tools/busybox\n" + r.Address + "/tools/busybox\n")
		s.Skiff("images", "-q", r.Address+"/tools/busybox").Exits(0).PrintsMatch("[0-9a-f]{12}\n[0-9a-f]{12}")
	})
	t.Run("skopeo agrees", func(t *testing.T) {
		harness.Requires(t, harness.CommandNamed("skopeo"))
		s.In(t).Shell("skopeo inspect --tls-verify=false docker://" + ref + " --format '{{.Digest}}'").Exits(0).Prints(digest)
	})
}

func TestPush_RefusesInDockersWords(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("tag", img, "127.0.0.1:1/app")
	s.Skiff("push", "127.0.0.1:1/app").Exits(1).Complains(`Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused`)
	s.Skiff("push", "127.0.0.1:1/nosuch").Exits(1).Complains("An image does not exist locally with the tag: 127.0.0.1:1/nosuch")
	s.Skiff("push", "127.0.0.1:1/app:2").Exits(1).Complains("tag does not exist: 127.0.0.1:1/app:2")
	s.Skiff("push", "-a", "127.0.0.1:1/app:2").Exits(1).Complains("tag can't be used with --all-tags/-a")
	s.Skiff("push", "--platform", "linux/s390x", "127.0.0.1:1/app").Exits(1).Complains("does not provide the specified platform (linux/s390x)")
	s.Skiff("push", "UPPER").Exits(1).Complains("invalid reference format")
	s.Skiff("push").Exits(1).Complains("requires 1 argument")
}

func TestSearch_LooksIntoAnyRegistry(t *testing.T) {
	s := harness.New(t)
	r := harness.NewRegistry(t)
	img := s.LoadBusybox()
	for _, name := range []string{"team/app:1", "team/app:2", "team/other:1"} {
		s.OK("tag", img, r.Address+"/"+name)
		s.OK("push", "-q", r.Address+"/"+name)
	}
	s.Skiff("search", "--format", "{{.Name}} {{.StarCount}}", r.Address+"/app").Exits(0).Prints(r.Address + "/team/app 0")
	s.Skiff("search", "--limit", "1", "--no-trunc", r.Address+"/team").Exits(0).PrintsMatch(`NAME +DESCRIPTION +STARS +OFFICIAL\n` + r.Address + `/team/app +0 *`)
	s.Skiff("search", "-f", "stars=1", "--format", "{{.Name}}", r.Address+"/app").Exits(0).Prints("")
	s.Skiff("search", "--list-tags", "--format", "{{.Tag}}", r.Address+"/team/app").Exits(0).Prints("1\n2")
	s.Skiff("search", "--list-tags", r.Address+"/team/nosuch").Exits(1).Complains("not found")
	s.Skiff("search", "--limit", "1000", "x").Exits(1).Complains("Limit 1000 is outside the range of [1, 100]")
	s.Skiff("search", "-f", "foo=1", "x").Exits(1).Complains("invalid filter 'foo'")
	s.Skiff("search", "-f", "stars=x", "x").Exits(1).Complains("invalid filter 'stars=x'")
	s.Skiff("search", "127.0.0.1:1/x").Exits(1).Complains("connection refused")
	s.Skiff("search").Exits(1).Complains("'skiff search' requires 1 argument")
}

func TestManifest_PutsAListTogether(t *testing.T) {
	s := harness.New(t)
	r := harness.NewRegistry(t)
	img := s.LoadBusybox()
	one, two := r.Address+"/app:amd", r.Address+"/lib:arm"
	list := r.Address + "/all:1"
	for _, ref := range []string{one, two} {
		s.OK("tag", img, ref)
		s.OK("push", "-q", ref)
	}
	s.Skiff("manifest", "create", list, one, two).Exits(0).Prints("Created manifest list " + list)
	s.Skiff("manifest", "create", list, one).Exits(1).Complains("refusing to amend an existing manifest list with no --amend flag")
	s.Skiff("manifest", "create", "--amend", list, one).Exits(0)
	s.Skiff("manifest", "annotate", "--arch", "arm64", "--variant", "v8", list, two).Exits(0).Silent()
	s.Skiff("manifest", "annotate", "--arch", "foo", list, one).Exits(1).Complains("manifest entry for image has unsupported os/arch combination: /foo")
	s.Skiff("manifest", "annotate", list, r.Address+"/x").Exits(1).Complains("manifest for image " + r.Address + "/x does not exist in " + list)
	s.Skiff("manifest", "inspect", list).Exits(0).Says(`"variant": "v8"`)
	out := s.Skiff("manifest", "push", "--purge", list).Exits(0)
	out.PrintsMatch(`(?s)(Pushed ref ` + r.Address + `/all@sha256:[0-9a-f]{64} with digest: sha256:[0-9a-f]{64}\n){2}sha256:[0-9a-f]{64}`)
	s.Skiff("manifest", "rm", list).Exits(1).Complains("No such manifest: " + list)
	s.Skiff("manifest", "inspect", list).Exits(0).Says(`"architecture": "arm64"`)
	s.Skiff("manifest", "inspect", "-v", one).Exits(0).Says(`"Ref": "` + one + `"`).Says(`"architecture": "amd64"`)
	s.Skiff("manifest", "inspect", r.Address+"/app:nosuch").Exits(1).Complains("no such manifest: " + r.Address + "/app:nosuch")
	s.Skiff("manifest", "push", r.Address+"/nosuch").Exits(1).Complains("No such manifest: " + r.Address + "/nosuch:latest")
	s.Skiff("manifest", "create", "a").Exits(1).Complains("requires at least 2 arguments")
	// It is an image for each of its platforms, and for no other.
	s.Skiff("pull", "-q", list).Exits(0)
	s.Skiff("pull", "--platform", "linux/s390x", list).Exits(1).Complains("no matching manifest for linux/s390x in the manifest list entries")
}

func TestImagetools_WorkInTheRegistry(t *testing.T) {
	s := harness.New(t)
	r := harness.NewRegistry(t)
	img := s.LoadBusybox()
	one, two, list := r.Address+"/app:amd", r.Address+"/lib:arm", r.Address+"/all:1"
	for _, ref := range []string{one, two} {
		s.OK("tag", img, ref)
		s.OK("push", "-q", ref)
	}
	s.OK("manifest", "create", list, one)
	s.OK("manifest", "annotate", "--arch", "arm64", list, one)
	s.OK("manifest", "push", "-p", list)
	s.Skiff("buildx", "imagetools", "create", "--append", "-t", list, two).Exits(0).Complains("pushing sha256:")
	s.Skiff("buildx", "imagetools", "inspect", list).Exits(0).PrintsMatch(`Name:      ` + list + `\n` +
		`MediaType: application/vnd.oci.image.index.v1\+json\nDigest:    sha256:[0-9a-f]{64}\n +\nManifests: \n` +
		`  Name:      ` + list + `@sha256:[0-9a-f]{64}\n  MediaType: application/vnd.oci.image.manifest.v1\+json\n  Platform:  linux/arm64\n +\n` +
		`  Name:      ` + list + `@sha256:[0-9a-f]{64}\n  MediaType: application/vnd.oci.image.manifest.v1\+json\n  Platform:  linux/amd64`)
	s.Skiff("buildx", "imagetools", "inspect", "--format", "{{.Name}} {{len .Manifest.Manifests}}", list).Exits(0).Prints(list + " 2")
	digest := s.OK("buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", list)
	s.Shell("skiff buildx imagetools inspect --raw " + list + " | sha256sum | cut -c1-64").Exits(0).Prints(strings.TrimPrefix(digest, "sha256:"))
	s.Skiff("buildx", "imagetools", "create", "--dry-run", one).Exits(0).Says(`"architecture": "amd64"`)
	s.Skiff("buildx", "imagetools", "create", one).Exits(1).Complains("can't push with no tags specified, please set --tag or --dry-run")
	s.Skiff("buildx", "imagetools", "inspect", r.Address+"/nosuch").Exits(1).Complains("no such manifest: " + r.Address + "/nosuch:latest")
}

// The sources of a list may be in other registries: their blobs are carried over.
func TestImagetools_CopyBetweenRegistries(t *testing.T) {
	s := harness.New(t)
	here, there := harness.NewRegistry(t), harness.NewRegistry(t)
	img := s.LoadBusybox()
	one, list, copied := here.Address+"/app:amd", here.Address+"/all:1", there.Address+"/far/copy:1"
	s.OK("tag", img, one)
	s.OK("push", "-q", one)
	s.OK("manifest", "create", list, one)
	s.OK("manifest", "annotate", "--arch", "arm64", list, one)
	s.OK("manifest", "push", "-p", list)
	digest := func(ref string) string {
		return s.OK("buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", ref)
	}
	// A list alone stays what it is, to the byte.
	s.Skiff("buildx", "imagetools", "create", "-t", copied, list).Exits(0)
	harness.Equal(t, "digest of the copy", digest(copied), digest(list))
	s.Skiff("pull", "-q", "--platform", "linux/arm64", copied).Exits(0)
	s.OK("rmi", copied)
	// So does an image, when asked for; else it becomes a list of one.
	plain, wrapped := there.Address+"/far/plain:1", there.Address+"/far/wrapped:1"
	s.Skiff("buildx", "imagetools", "create", "--prefer-index=false", "-t", plain, one).Exits(0)
	harness.Equal(t, "digest of the plain copy", digest(plain), digest(one))
	s.Skiff("buildx", "imagetools", "create", "-t", wrapped, one).Exits(0)
	s.Skiff("buildx", "imagetools", "inspect", "--format", "{{len .Manifest.Manifests}}", wrapped).Prints("1")
	// Two registries' images in one list of a third repository.
	s.Skiff("buildx", "imagetools", "create", "-t", there.Address+"/both", list, plain).Exits(0)
	s.Skiff("buildx", "imagetools", "inspect", there.Address+"/both").Exits(0).Says("linux/arm64").Says("linux/amd64")
	s.Skiff("run", "--rm", "--network", "none", there.Address+"/both", "echo", "ok").Exits(0).Prints("ok")
	s.OK("rmi", there.Address+"/both")
	// manifest push does not do that, as docker's does not.
	s.OK("manifest", "create", there.Address+"/x", one)
	s.Skiff("manifest", "push", there.Address+"/x").Exits(1).
		Complains("cannot use source images from a different registry than the target image: " + here.Address + " != " + there.Address)
}

func TestPull_MovesBarsOnATerminal(t *testing.T) {
	s := harness.New(t)
	r := harness.NewRegistry(t)
	ref := r.Push(t, harness.BusyboxImage(t), "busybox:1")
	c := s.Terminal("pull", ref)
	c.Expect("1: Pulling from busybox")
	c.Expect("Pull complete")
	c.Expect("Status: Downloaded newer image for " + ref)
	c.Exits(0)
	if !strings.Contains(c.Output(), "\x1b[1A\x1b[2K") {
		t.Errorf("nothing moves:\n%q", c.Output())
	}
	s.OK("rmi", ref)
}
