package real_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skiff/tests/harness"
)

// tree makes a Debian root file system with the packages in it, or finds the
// one that an earlier run made ($SKIFF_TEST_CACHE, else ~/.cache/skiff-tests).
// It takes a minute and a half, and needs a Debian mirror.
func tree(t *testing.T, name string, packages ...string) string {
	t.Helper()
	harness.Requires(t, harness.Long, harness.Root, harness.CommandNamed("mmdebstrap"), harness.CommandNamed("skopeo"))
	cache := os.Getenv("SKIFF_TEST_CACHE")
	if cache == "" {
		home, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(home, "skiff-tests")
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cache, name+".tar")
	if harness.Exists(path) {
		return path
	}
	unfinished := path + ".part"
	defer os.Remove(unfinished)
	cmd := exec.Command("mmdebstrap", "--variant=minbase", "--format=tar", "--quiet",
		"--include="+strings.Join(packages, ","), "bookworm", unfinished)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mmdebstrap: %v\n%s", err, out)
	}
	if err := os.Rename(unfinished, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// pulled pushes a root file system to a registry as an image and pulls it.
func pulled(s *harness.Session, tarball, name string) string {
	s.T.Helper()
	registry := harness.NewRegistry(s.T)
	archive := filepath.Join(s.T.TempDir(), "image.tar")
	harness.OCIArchiveOf(s.T, tarball, archive, map[string]any{
		"Cmd": []string{"bash"},
		"Env": []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
	})
	ref := registry.PushArchive(s.T, "oci-archive:"+archive, name)
	s.Skiff("pull", ref).Exits(0).Says("Status: Downloaded newer image for " + ref)
	return ref
}

func TestDebian_IsWorkedIn(t *testing.T) {
	s := harness.New(t)
	img := pulled(s, tree(t, "debian", "apt", "procps"), "debian:bookworm")
	run := func(args ...string) *harness.Result {
		return s.Skiff(append([]string{"run", "--rm", "--network", "none", img}, args...)...)
	}
	run("apt-get", "--version").Exits(0).PrintsMatch(`(?s)apt 2\..*`)
	run("bash", "-c", "dpkg -l | wc -l").Exits(0).PrintsMatch(`[1-9]\d\d?`)
	run("bash", "-c", "dpkg --verify base-files dash; echo done").Exits(0).Prints("done")
	run("bash", "-c", "exit 7").Exits(7)
	run("su", "-s", "/bin/bash", "-c", "id -un", "nobody").Exits(0).Prints("nobody")

	c := s.Terminal("run", "-it", "--name", "shell", "--network", "none", img)
	c.Expect("# ")
	c.Type("stty size\r")
	c.Expect("24 80")
	c.Resize(40, 120)
	c.Type("while [ \"$(stty size)\" != '40 120' ]; do sleep 0.1; done; echo $LINES$COLUMNS re''sized\r")
	c.Expect("resized")
	c.Type("sh -c 'echo wait''ing; exec sleep 1000'\r")
	c.Expect("waiting") // so it has the terminal
	c.Type("\x1a")
	c.Expect("Stopped")
	c.Type("bg; jobs\r")
	c.Expect("Running")
	c.Expect("sleep 1000' &")
	c.Expect("# ")
	c.Type("fg\r")
	s.Eventually("sleep has the terminal", func() bool {
		return strings.Contains(s.OK("exec", "shell", "ps", "-C", "sleep", "-o", "stat="), "+")
	})
	c.Type("\x03")
	c.Expect("^C")
	c.Type("echo sta''tus $?\r")
	c.Expect("status 130")
	c.Type("touch /mine; exit 7\r")
	c.Exits(7)
	s.OK("cp", "shell:/mine", filepath.Join(s.Home(), "mine"))
	s.OK("rm", "shell")
	s.OK("rmi", img)
}

// A terminal within a terminal, as people really work.
func TestDebian_InTmux(t *testing.T) {
	harness.Requires(t, harness.CommandNamed("tmux"))
	s := harness.New(t)
	img := pulled(s, tree(t, "debian", "apt", "procps"), "debian:bookworm")
	tmux := func(args ...string) string {
		return s.Do(nil, append([]string{"tmux", "-S", filepath.Join(s.Dir, "tmux")}, args...)...).Succeeds().Out()
	}
	screen := func() string { return tmux("capture-pane", "-p", "-t", "w") }
	tmux("-f", "/dev/null", "new-session", "-d", "-s", "w", "-x", "90", "-y", "30",
		s.Binary()+" run -it --rm --network none "+img+"; echo ended with $?; sleep 1000")
	s.Eventually("a prompt", func() bool { return strings.Contains(screen(), ":/#") })
	tmux("send-keys", "-t", "w", "stty size", "Enter")
	s.Eventually("the size", func() bool { return strings.Contains(screen(), "30 90") || strings.Contains(screen(), "29 90") })
	tmux("resize-window", "-t", "w", "-x", "101", "-y", "33")
	s.Eventually("the new size", func() bool {
		tmux("send-keys", "-t", "w", "stty size", "Enter")
		return strings.Contains(screen(), " 101\n")
	})
	tmux("send-keys", "-t", "w", "sh -c 'echo wait''ing; exec sleep 1000'", "Enter")
	s.Eventually("sleep has the terminal", func() bool { return strings.Contains(screen(), "\nwaiting\n") })
	tmux("send-keys", "-t", "w", "C-c")
	tmux("send-keys", "-t", "w", "exit 7", "Enter")
	s.Eventually("the end", func() bool { return strings.Contains(screen(), "ended with 7") })
	tmux("kill-server")
}

func TestPostgreSQL_KeepsItsData(t *testing.T) {
	s := harness.New(t)
	img := pulled(s, tree(t, "postgresql", "postgresql"), "postgres:15")
	const path = "/usr/lib/postgresql/15/bin"
	start := func() {
		s.T.Helper()
		script := fmt.Sprintf(`mkdir -p /run/postgresql && chown postgres /data /run/postgresql
			[ -e /data/PG_VERSION ] || su postgres -c "%s/initdb -D /data" >/dev/null
			exec setpriv --reuid postgres --regid postgres --init-groups %s/postgres -D /data`, path, path)
		s.OK("run", "-d", "--name", "db", "--network", "none", "--stop-signal", "SIGINT", "-v", "pg:/data", img, "sh", "-c", script)
	}
	query := func(sql string) *harness.Result {
		return s.Skiff("exec", "-u", "postgres", "db", "psql", "-qtAc", sql)
	}
	ready := func() bool { return query("select 1").Out() == "1" }
	start()
	s.EventuallyWithin(time.Minute, "the database is up", ready)
	query("create table t (x text); insert into t values ('kept')").Exits(0)
	s.SkiffInput(strings.NewReader("insert into t values ('piped');\n"), "exec", "-i", "-u", "postgres", "db", "psql", "-q").Exits(0)
	s.OK("stop", "db")
	harness.Equal(t, "the exit code", s.Inspect("db", "{{.State.ExitCode}}"), "0")
	if r := s.Skiff("logs", "db"); !strings.Contains(r.Stderr+r.Stdout, "database system is shut down") {
		t.Errorf("no clean shutdown in the logs:\n%s%s", r.Stdout, r.Stderr)
	}
	s.OK("start", "db")
	s.EventuallyWithin(time.Minute, "the database is up again", ready)
	query("select x from t order by 1").Exits(0).Prints("kept\npiped")
	s.OK("rm", "-f", "db")
	start() // another container, the same volume, after a crash
	s.EventuallyWithin(time.Minute, "the database has recovered", ready)
	query("select count(*) from t").Exits(0).Prints("2")
	s.OK("rm", "-f", "db")
}
