package image_test

import (
	"testing"

	"skiff/tests/harness"
)

func TestPlatform_OfWhatTheStoreHas(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	platform := s.Inspect(image, "{{.Os}}/{{.Architecture}}")
	other := "image with reference " + image + " was found but its platform (" + platform + ") does not match the specified platform (linux/s390x)"
	s.OK("tag", image, "again:1")
	for _, line := range [][]string{
		{"history", "--platform", "linux/s390x", image},
		{"save", "--platform", "linux/s390x", "-o", s.Home() + "/none.tar", image},
		{"rmi", "--platform", "linux/s390x", image},
		{"image", "inspect", "--platform", "linux/s390x", image},
	} {
		s.Skiff(line...).Exits(1).Complains(other)
	}
	s.Skiff("history", "-q", "--platform", platform, image).Exits(0).PrintsMatch("[0-9a-f]{12}(\n.*)*")
	s.Skiff("image", "inspect", "--platform", platform, "-f", "{{.Os}}", image).Prints("linux")
	file := s.Home() + "/one.tar"
	s.OK("save", "--platform", platform, "-o", file, "again:1")
	s.Skiff("rmi", "--platform", platform, "again:1").Exits(0).Prints("Untagged: again:1")
	s.Skiff("load", "--platform", "linux/s390x", "-i", file).Exits(1).Complains("requested platform (linux/s390x) not found")
	s.Skiff("load", "--platform", platform, "-i", file).Exits(0).Prints("Loaded image: again:1")
}

func TestImages_AsATree(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	s.OK("tag", image, "other/longer-name:2")
	s.OK("create", "--name", "user", "--network", "none", image)
	id := s.OK("images", "-q", image)
	platform := s.Inspect(image, "{{.Os}}/{{.Architecture}}")
	s.Skiff("images", "--tree").Exits(0).PrintsMatch(`WARNING: This is an experimental feature. .*
 +Info -> +U +In Use 

IMAGE +ID +DISK USAGE +CONTENT SIZE +EXTRA
other/longer-name:2
` + image + `:latest +` + id + ` +[0-9.]+MB +[0-9.]+MB   U *
└─ ` + platform + ` +[0-9a-f]{12} +[0-9.]+MB +[0-9.]+MB   U *
`)
	s.OK("rm", "user")
	s.OK("rmi", "other/longer-name:2")
	for flag, name := range map[string]string{"-q": "quiet", "--no-trunc": "no-trunc", "--digests": "show-digest", "--format=json": "format"} {
		s.Skiff("images", "--tree", flag).Exits(1).Complains("--" + name + " is not yet supported with --tree")
	}
}
