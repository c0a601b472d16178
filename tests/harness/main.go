// Package harness is what the end-to-end tests stand on: it drives the built
// binary as an unprivileged user, each test with a home of its own, and checks
// after each test that nothing was left behind. It knows nothing of skiff's
// packages, only of its command line and of the files in docs/state.md.
//
// A test package calls Main from TestMain; a test calls New and then talks to
// the Session it gets. Start reading at session.go.
package harness

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// suite is what the tests of one package share.
var suite struct {
	root   string // of the source tree
	dir    string // for this run, removed at its end
	binary string
	user   *account
}

// Main runs the tests of a package. It exits.
func Main(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	// Also of what could not be prepared to its end.
	defer func() {
		if suite.dir == "" {
			return
		}
		if err := removeTree(suite.dir); err != nil {
			fmt.Fprintln(os.Stderr, "harness:", err)
		}
	}()
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		return 1
	}
	code := m.Run()
	if reports := raceReports(); os.Getenv("SKIFF_RACE") != "" && len(reports) > 0 {
		fmt.Fprintln(os.Stderr, "harness: the race detector has found something:", reports)
		code = 1
	}
	return code
}

// raceReports are the files in which programs built under the race detector (make
// test-race) say what they found; who has an output says it there.
func raceReports() []string {
	reports, _ := filepath.Glob(raceDir + "/report.*") // the pattern is right
	return reports
}

// raceDir is where such programs write (runtime/stage/race.go).
const raceDir = "/var/tmp/skiff-race"

func prepare() error {
	// Whatever a test starts and orphans becomes our child, so that it can be
	// found however it hides (PR_SET_CHILD_SUBREAPER(2const)).
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	go reapOrphans()
	// What is made for the other user must be readable by it.
	unix.Umask(0o022)
	var err error
	if suite.root, err = sourceRoot(); err != nil {
		return err
	}
	if suite.user, err = acquireAccount(suite.root); err != nil {
		return err
	}
	// Not below /tmp: it may be a tmpfs, and stores lie on disks.
	if suite.dir, err = os.MkdirTemp("/var/tmp", "skiff-e2e."); err != nil {
		return fmt.Errorf("make the run's directory: %w", err)
	}
	if err = os.Chmod(suite.dir, 0o755); err != nil {
		return fmt.Errorf("open the run's directory: %w", err)
	}
	suite.binary = filepath.Join(suite.dir, "skiff")
	return installBinary(suite.binary)
}

// installBinary puts the program under test where the user can execute it.
// SKIFF_BIN names it; without, it is built, complete but not static.
func installBinary(path string) error {
	from := os.Getenv("SKIFF_BIN")
	if from == "" {
		return goBuild(path, module)
	}
	if err := copyFile(path, from, 0o755); err != nil {
		return fmt.Errorf("install SKIFF_BIN: %w", err)
	}
	return nil
}

const module = "skiff"

// goBuild builds a package of this module as a program.
func goBuild(path, pkg string, env ...string) error {
	cmd := exec.Command("go", "build", "-buildvcs=false", "-tags", "urfave_cli_no_docs", "-o", path, pkg)
	cmd.Dir = suite.root
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// Payload returns the path of tests/payload as a static program.
func Payload(t *testing.T) string {
	t.Helper()
	path, err := payload()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var payload = sync.OnceValues(func() (string, error) {
	path := filepath.Join(suite.dir, "payload")
	return path, goBuild(path, module+"/tests/payload", "CGO_ENABLED=0")
})

// web is the path of tests/payload/web as a static program.
var web = sync.OnceValues(func() (string, error) {
	path := filepath.Join(suite.dir, "web")
	return path, goBuild(path, module+"/tests/payload/web", "CGO_ENABLED=0")
})

// Source returns the path of a file in the source tree.
func Source(path ...string) string {
	return filepath.Join(append([]string{suite.root}, path...)...)
}

func sourceRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the source tree: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find the source tree: no go.mod above the working directory")
		}
	}
}

func copyFile(to, from string, perm os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
