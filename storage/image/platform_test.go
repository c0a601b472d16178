package image

import (
	"slices"
	"testing"
)

func TestParsePlatform(t *testing.T) {
	for text, want := range map[string]string{
		"linux/amd64": "linux/amd64", "arm64": "linux/arm64", "linux/x86_64": "linux/amd64", "Linux/aarch64": "linux/arm64",
		"linux/armhf": "linux/arm/v7", "linux/arm/v6": "linux/arm/v6", "": "linux/" + machineArchitecture(t),
	} {
		if got, err := ParsePlatform(text); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"linux/", "a b", "a/b/c/d", "linux/../x/y", "/"} {
		if got, err := ParsePlatform(text); err == nil {
			t.Errorf("%q is %q", text, got)
		}
	}
}

func machineArchitecture(t *testing.T) string {
	t.Helper()
	whole, err := ParsePlatform("linux")
	if err != nil {
		t.Fatal(err)
	}
	return whole[len("linux/"):]
}

func TestSuits(t *testing.T) {
	for _, c := range []struct {
		has    string // variant
		wanted string
		suits  bool
	}{
		{"", "linux/arm64", true},
		{"v8", "linux/arm64", true},
		{"", "linux/arm64/v8", true},
		{"v8", "linux/arm64/v9", false},
		{"", "linux/arm", false},
		{"", "windows/arm64", false},
		{"", "no such", false},
	} {
		img := &Image{Config: Config{OS: "linux", Architecture: "arm64", Variant: c.has}}
		if got := img.Suits(c.wanted); got != c.suits {
			t.Errorf("%s suits %s: %v", img.Platform(), c.wanted, got)
		}
	}
}

func TestOrphans(t *testing.T) {
	main := &Image{ID: "main", Names: []string{"a", "b"}, Platforms: map[string][]string{"a": {"main", "arm", "named", "shared"}, "b": {"main", "shared"}}}
	images := []*Image{main, {ID: "arm"}, {ID: "named", Names: []string{"c"}}, {ID: "shared"}}
	if got := Orphans(images, main, []string{"a"}); !slices.Equal(got, []string{"arm"}) {
		t.Errorf("without a: %q", got)
	}
	if got := Orphans(images, main, []string{"a", "b"}); !slices.Equal(got, []string{"arm", "shared"}) {
		t.Errorf("without both: %q", got)
	}
	if members := Members(images); members["main"] || !members["arm"] || !members["shared"] {
		t.Errorf("members: %v", members)
	}
}
