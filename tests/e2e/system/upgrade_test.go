package system_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	goruntime "runtime"
	"strings"
	"testing"

	"skiff/tests/harness"
)

var (
	sum       = regexp.MustCompile(`^\{"Sum":"[0-9a-f]{8}",`)
	elsewhere = regexp.MustCompile(`"Source":"[^"]*/data/skiff/volumes/`)
)

// takeOver gives the session a store that tests/fixtures/make-store wrote.
func takeOver(t *testing.T, archive string) *harness.Session {
	t.Helper()
	s := harness.New(t)
	s.Mkdir(".local/share/skiff")
	in, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	// As the user: what is in it is the user's own.
	s.Do(in, "tar", "-xz", "--no-same-owner", "-C", s.Store()).Succeeds()
	// A container knows where its volumes are; that store was elsewhere. A checksum
	// need not be there.
	configs, err := filepath.Glob(filepath.Join(s.Store(), "containers", "*", "config.json"))
	if err != nil || len(configs) == 0 {
		t.Fatal(configs, err)
	}
	for _, name := range configs {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		data = sum.ReplaceAll(data, []byte("{"))
		data = elsewhere.ReplaceAll(data, []byte(`"Source":"`+s.Store()+`/volumes/`))
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// A store of an earlier release is read, started from and emptied.
func TestUpgrade_StoresOfEarlierReleases(t *testing.T) {
	harness.Requires(t, harness.CommandNamed("tar"))
	stores, err := filepath.Glob(harness.Source("tests/fixtures/store-*.tar.gz"))
	if err != nil || len(stores) == 0 {
		t.Fatalf("no stores: %v", err)
	}
	for _, store := range stores {
		t.Run(filepath.Base(store), func(t *testing.T) {
			s := takeOver(t, store)
			s.Skiff("ps", "-a", "--format", "{{.Names}} {{.Image}} {{.State}}").Exits(0).
				Says("old-created old:built created").Says("old-exited old:1 exited").Says("old-member").Says("old-pod-infra")
			s.Skiff("images", "--format", "{{.Repository}}:{{.Tag}}").Exits(0).Says("old:1\n").Says("old:built\n").Says("localhost:5000/other/name:tag\n")
			s.Skiff("volume", "ls", "-q", "-f", "label=kept=yes").Exits(0).Prints("old-volume")
			s.Skiff("network", "ls", "-q", "-f", "label=kept=yes", "--format", "{{.Name}}").Exits(0).Prints("old-network")
			s.Skiff("secret", "ls", "--format", "{{.Name}}").Exits(0).Prints("old-secret")
			s.Skiff("pod", "ps", "--format", "{{.Name}}").Exits(0).Prints("old-pod")
			s.Skiff("system", "df").Exits(0)
			s.Skiff("events", "--since", "2026-01-01T00:00:00", "--until", "0s").Exits(0).Says("old-volume")
			s.Skiff("builder", "du").Exits(0)
			s.Skiff("history", "old:built").Exits(0).Says("LABEL made=by-build")
			s.Skiff("inspect", "-f", "{{.State.ExitCode}} {{.HostConfig.RestartPolicy.Name}} {{.Config.Labels.kept}}", "old-exited").Exits(0).Prints("0 on-failure yes")
			s.Skiff("inspect", "-f", "{{.HostConfig.PortBindings}} {{.Config.Env}}", "old-created").Exits(0).Says("45321").Says("A=b")
			s.Skiff("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "old-network").Exits(0).Prints("10.123.0.0/24")
			s.Skiff("logs", "old-exited").Exits(0).Prints("kept")
			s.Skiff("system", "check").Exits(0).Says("no damage")
			if goruntime.GOARCH == "amd64" {
				s.Skiff("start", "-a", "old-exited").Exits(0).Prints("kept")
				s.Skiff("run", "--rm", "--network", "none", "old:built").Exits(0).Prints("kept")
				s.WriteFile("context/text", "more\n")
				s.WriteFile("context/Dockerfile", "FROM old:1\nCOPY text /copied\nRUN [\"/kept\"]\nLABEL made=by-build\n")
				// What the cache made was not synced, and counts in the boot that made it
				// only, unless it became an image's.
				s.Skiff("build", "-q", "-t", "old:again", "context").Exits(0)
			}
			s.Skiff("pod", "rm", "-f", "old-pod").Exits(0)
			s.Skiff("rm", "-f", "old-created", "old-exited").Exits(0)
			s.Skiff("volume", "rm", "old-volume").Exits(0)
			s.Skiff("network", "rm", "old-network").Exits(0)
			s.Skiff("secret", "rm", "old-secret").Exits(0)
			s.Skiff("system", "prune", "-af").Exits(0)
			s.Skiff("images", "-aq").Exits(0).Prints("")
			if left := s.Layers(); len(left) > 0 {
				t.Errorf("layers left: %v", left)
			}
		})
	}
}

// What a newer skiff wrote is refused in words wherever it is needed, is no damage,
// and stays as it is.
func TestUpgrade_RefusesANewerFormat(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	s.OK("run", "--name", "one", "--network", "none", image, "true")
	s.OK("run", "--name", "two", "--network", "none", image, "true")
	s.OK("volume", "create", "volume")
	s.OK("network", "create", "network")
	s.OK("secret", "create", "secret", s.WriteFile("secret", "hush"))
	container := filepath.Join(s.Store(), "containers", s.Inspect("one", "{{.Id}}"))
	for name, tc := range map[string]struct {
		path  string
		lines []string
	}{
		"a container":         {container + "/config.json", []string{"start one", "inspect one", "rm one", "ps -a"}},
		"a container's state": {container + "/state.json", []string{"start one", "inspect one", "rm one", "ps -a"}},
		"a volume":            {s.Store() + "/volumes/volume/volume.json", []string{"volume inspect volume", "volume rm volume", "volume ls", "run --rm -v volume:/v " + image + " true"}},
		"a network":           {s.Store() + "/networks/network.json", []string{"network inspect network", "network rm network", "network ls", "run --rm --network network " + image + " true"}},
		"a secret":            {s.Store() + "/secrets/secret.json", []string{"secret inspect secret", "secret rm secret", "secret ls", "run --rm --network none --secret secret " + image + " true"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.In(t)
			old, err := os.ReadFile(tc.path)
			if err != nil {
				t.Fatal(err)
			}
			newer := strings.Replace(string(sum.ReplaceAll(old, []byte("{"))), `"Version":1`, `"Version":2`, 1)
			if err := os.WriteFile(tc.path, []byte(newer), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, line := range tc.lines {
				r := s.Skiff(strings.Fields(line)...).Complains(tc.path + " was written by a newer skiff: its format is 2, this program reads up to 1").Complains("XDG_DATA_HOME")
				if r.Code == 0 {
					t.Errorf("%s: succeeds", line)
				}
			}
			s.Skiff("run", "--rm", "--network", "none", image, "true").Exits(0)
			s.Skiff("start", "-a", "two").Exits(0)
			s.Skiff("system", "check", "--repair").Exits(1).Says("newer skiff").Says("cure: use the skiff that wrote it")
			if now, err := os.ReadFile(tc.path); err != nil || string(now) != newer {
				t.Errorf("it was changed: %s, %v", now, err)
			}
			if err := os.WriteFile(tc.path, old, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("a build's cache", func(t *testing.T) {
		s := s.In(t)
		s.WriteFile("context/Dockerfile", "FROM "+image+"\nRUN echo x >/made\n")
		build := func(fresh bool) {
			t.Helper()
			r := s.Skiff("build", "--progress", "plain", "--network", "none", "context").Exits(0)
			if cached := strings.Contains(r.Stderr, "#4 CACHED"); cached == fresh {
				t.Errorf("cached: %t\n%s", cached, r.Stderr)
			}
		}
		build(true)
		build(false)
		out, err := exec.Command("sh", "-ec", "sed -i 's/\"Version\":1/\"Version\":2/' "+s.Store()+"/build/records/*").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		// A cache is made again.
		build(true)
	})
}
