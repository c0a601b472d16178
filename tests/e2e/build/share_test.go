package build_test

import (
	"strings"
	"testing"

	"skiff/tests/harness"
)

// sharing is built on one machine and then on another, which is the same one with
// nothing in its store.
func TestCache_IsShared(t *testing.T) {
	registry := harness.NewRegistry(t)
	const dockerfile = "FROM busybox AS tools\nRUN cat /proc/sys/kernel/random/uuid > /tool\nFROM busybox\nCOPY f /f\nRUN cat /proc/sys/kernel/random/uuid > /n\nCOPY --from=tools /tool /t\n"
	s, dir := begin(t, dockerfile, "f", "f")
	forget := func() {
		t.Helper()
		s.OK("builder", "prune", "-af")
		s.OK("rmi", "-f", "app")
	}
	content := func() string { return inside(s, "app", "cat /f /n /t") }
	name := registry.Address + "/app"

	for _, c := range []struct {
		what, to, from string
		cached         int
		push           bool
	}{
		{"a registry", "type=registry,mode=max,ref=" + name + ":cache", "type=registry,ref=" + name + ":cache", 4, false},
		{"a directory", "type=local,mode=max,dest=" + s.Home() + "/cache", "type=local,src=" + s.Home() + "/cache", 4, false},
		{"a registry, by name", name + ":min", name + ":min", 3, false},
		{"the image itself", "type=inline", name + ":inline", 3, true},
	} {
		s.OK("build", "-q", "-t", "app", "--cache-to", c.to, dir)
		if c.push {
			s.OK("tag", "app", name+":inline")
			s.OK("push", "-q", name+":inline")
			s.OK("rmi", name+":inline")
		}
		want := strings.Fields(content())
		forget()
		r := s.Skiff("build", "--progress=plain", "-t", "app", "--cache-from", c.from, dir).Exits(0)
		if strings.Count(r.Stderr, "CACHED") < c.cached+1 {
			t.Errorf("%s: not %d cached steps and the base:\n%s", c.what, c.cached, r.Stderr)
		}
		// Without mode=max only the image's own layers are shared.
		got := strings.Fields(content())
		if c.cached == 3 {
			got, want = got[:1], want[:1]
		}
		harness.Equal(t, c.what+": the image", strings.Join(got, " "), strings.Join(want, " "))
		harness.Equal(t, c.what+": images", s.OK("images", "-a", "--format", "{{.Repository}}:{{.Tag}}"), "app:latest\nbusybox:latest")
		if r := s.Skiff("build", "--progress=plain", dir).Exits(0); strings.Count(r.Stderr, "CACHED") < 5 {
			t.Errorf("%s: forgotten:\n%s", c.what, r.Stderr)
		}
		forget()
	}
}

func TestCache_ThatIsNotThere(t *testing.T) {
	s, dir := begin(t, "FROM busybox\nRUN echo a > /a\n")
	s.Skiff("build", "--progress=plain", "--cache-from", "127.0.0.1:1/none", "--cache-from", "type=local,src=/nowhere", dir).Exits(0).Complains("WARN: not used: ")
	s.Skiff("build", "--cache-to", "type=local,dest=/proc/none", dir).Exits(1).Complains("error writing cache to /proc/none: ")
	s.Skiff("build", "--cache-to", "type=local,ignore-error=true,dest=/proc/none", dir).Exits(0)
	s.Skiff("build", "--cache-to", "type=local", dir).Exits(1).Complains("needs dest=")
	s.Skiff("build", "--cache-to", "type=local,dest=x,mode=some", dir).Exits(1).Complains(`invalid mode "some"`)
	s.Skiff("build", "--cache-from", "type=inline", dir).Exits(1).Complains("use type=registry,ref=IMAGE")
}
