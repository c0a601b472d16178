package systemd_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// units is a systemctl in the PATH whose only unit runs container web: to restart
// it is to run command again, and to start is to be healthy. calls tells what it was
// asked.
func units(s *harness.Session, command string) (calls func() string) {
	s.T.Helper()
	path := s.WriteFile("fake/systemctl", `#!/bin/sh
echo "$*" >>~/calls
case "$*" in *restart*) PODMAN_SYSTEMD_UNIT=web.service `+command+` >/dev/null && exec `+s.Binary()+` exec web sh -c 'test ! -e /broken' ;; esac
`)
	if err := os.Chmod(path, 0o755); err != nil {
		s.T.Fatal(err)
	}
	s.Setenv("PATH", s.Home()+"/fake:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	return func() string {
		s.T.Helper()
		text := s.ReadFile("calls")
		s.WriteFile("calls", "")
		return text
	}
}

func TestAutoUpdate(t *testing.T) {
	s := harness.New(t)
	registry := harness.NewRegistry(t)
	version := func(name, file string) harness.Image {
		img := harness.BusyboxImage(t)
		img.Layers = append(img.Layers, harness.Layer{harness.File(file, name)})
		return img
	}
	ref := registry.Push(t, version("1", "version"), "web:stable")
	run := s.Binary() + " run -d --replace --name web --network none -l io.containers.autoupdate=registry " + ref + " sleep 1000"
	calls := units(s, run)
	state := func() string { return s.Skiff("auto-update", "--format", "{{.Updated}}").Exits(0).Out() }
	version1 := func() string { return s.OK("exec", "web", "cat", "/version") }
	s.Do(nil, "sh", "-c", "PODMAN_SYSTEMD_UNIT=web.service "+run).Exits(0)
	s.WriteFile("calls", "")
	// What does not run, or does not ask, is let alone.
	s.OK("create", "--name", "idle", "-l", "io.containers.autoupdate=registry", ref)
	s.OK("run", "-d", "--name", "disabled", "--network", "none", "-l", "io.containers.autoupdate=disabled", ref, "sleep", "1000")
	id := s.Inspect("web", "{{.Id}}")
	s.Skiff("auto-update").Exits(0).PrintsMatch(`UNIT +CONTAINER +IMAGE +POLICY +UPDATED\n` +
		`web.service   ` + id[:12] + ` \(web\)   ` + regexp.QuoteMeta(ref) + `   registry   false`)
	harness.Equal(t, "calls", calls(), "")

	// A newer one: looked at, and then taken.
	registry.Push(t, version("2", "version"), "web:stable")
	old := s.Inspect(ref, "{{.Id}}")
	s.Skiff("auto-update", "--dry-run", "--format", "{{.ContainerName}} {{.Updated}}").Exits(0).Prints("web pending")
	harness.Equal(t, "image after a dry run", s.Inspect(ref, "{{.Id}}"), old)
	harness.Equal(t, "state", state(), "true")
	harness.Equal(t, "version", version1(), "2")
	if got := calls(); !strings.Contains(got, "restart web.service\n") {
		t.Errorf("systemctl was called with %q", got)
	}
	harness.Equal(t, "state", state(), "false")

	// One that does not become ready: the old one comes back.
	good := s.Inspect("web", "{{.Image}}")
	registry.Push(t, version("3", "broken"), "web:stable")
	s.Skiff("auto-update", "--format", "{{.Updated}}").Exits(0).Prints("rolled back").Complains("restart web.service with the new image")
	harness.Equal(t, "version", version1(), "2")
	harness.Equal(t, "image of the name", s.Inspect(ref, "{{.Id}}"), good)
	s.Skiff("auto-update", "--rollback=false", "--format", "{{.Updated}}").Exits(1).Prints("failed").Complains("restart web.service with the new image")

	// By the store alone.
	run = strings.Replace(run, "=registry", "=local", 1)
	units(s, run)
	s.OK("tag", good, ref)
	s.Do(nil, "sh", "-c", "PODMAN_SYSTEMD_UNIT=web.service "+run).Exits(0)
	harness.Equal(t, "state", state(), "false")
	s.OK("tag", old, ref)
	s.Skiff("auto-update", "--dry-run", "--format", "{{.Updated}}").Exits(0).Prints("pending")
	harness.Equal(t, "state", state(), "true")
	harness.Equal(t, "version", version1(), "1")

	// What cannot be done is said, and the rest is done.
	s.OK("run", "-d", "--name", "odd", "--network", "none", "-l", "io.containers.autoupdate=always", ref, "sleep", "1000")
	s.OK("run", "-d", "--name", "loose", "--network", "none", "-l", "io.containers.autoupdate=registry", ref, "sleep", "1000")
	s.Skiff("auto-update", "--format", "{{.ContainerName}}").Exits(1).Prints("web").
		Complains(`container odd: auto-update policy "always" is neither registry nor local`).
		Complains("container loose: no PODMAN_SYSTEMD_UNIT label found: it does not run in a unit")
	s.OK("rm", "-f", "odd", "loose", "idle", "disabled", "web")
}

func TestAutoUpdate_TellsOfARegistryThatIsAway(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("tag", img, "127.0.0.1:1/gone:1")
	units(s, "false")
	s.Do(nil, "sh", "-c", "PODMAN_SYSTEMD_UNIT=web.service "+s.Binary()+
		" run -d --name web --network none -l io.containers.autoupdate=registry 127.0.0.1:1/gone:1 sleep 1000").Exits(0)
	s.Skiff("auto-update", "--format", "{{.Updated}}").Exits(1).Prints("failed").Complains("container web: look for a newer 127.0.0.1:1/gone:1")
	harness.Equal(t, "state", s.Inspect("web", "{{.State.Status}}"), "running")
	s.OK("rm", "-f", "web")
}
