package harness

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a command may take before the test gives up on it.
const patience = 120 * time.Second

// Session is one user sitting down at a shell with an empty home: a directory
// with the home, a runtime directory and a directory for temporary files. When
// the test ends, what must not be left is looked for (invariants.go).
type Session struct {
	T *testing.T
	// Dir is the user's and holds Home, RuntimeDir and TempDir.
	Dir string
	// Env is the whole environment of the commands; a test may change it.
	Env    []string
	before map[string]bool // names in shared temporary directories
	asRoot bool
	mounts string // path of the mount namespace that commands run in, or empty
	net    string // and of the network namespace
}

// New returns a session for a test.
func New(t *testing.T) *Session {
	t.Helper()
	return newSession(t, false)
}

// NewAsRoot returns a session whose commands run as root. The test must have
// asked for Root.
func NewAsRoot(t *testing.T) *Session {
	t.Helper()
	return newSession(t, true)
}

func newSession(t *testing.T, asRoot bool) *Session {
	t.Helper()
	takeTurn(t)
	dir, err := os.MkdirTemp(suite.dir, "s.")
	if err != nil {
		t.Fatal(err)
	}
	s := &Session{T: t, Dir: dir, asRoot: asRoot}
	for _, d := range []string{dir, s.Home(), s.RuntimeDir(), s.TempDir()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := s.give(d); err != nil {
			t.Fatal(err)
		}
	}
	s.Env = []string{
		"HOME=" + s.Home(),
		"USER=" + s.userName(),
		"LOGNAME=" + s.userName(),
		"XDG_RUNTIME_DIR=" + s.RuntimeDir(),
		"TMPDIR=" + s.TempDir(),
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG=C.UTF-8",
	}
	s.before = s.sharedTemporaries()
	t.Cleanup(s.end)
	return s
}

// Home is the user's home directory.
func (s *Session) Home() string { return filepath.Join(s.Dir, "home") }

// RuntimeDir is what XDG_RUNTIME_DIR says.
func (s *Session) RuntimeDir() string { return filepath.Join(s.Dir, "run") }

// TempDir is what TMPDIR says.
func (s *Session) TempDir() string { return filepath.Join(s.Dir, "tmp") }

// Store is the store that the session's commands use.
func (s *Session) Store() string { return filepath.Join(s.Home(), ".local/share/skiff") }

// Binary is the path of the program under test.
func (s *Session) Binary() string { return suite.binary }

// UID is the user's id outside of any container.
func (s *Session) UID() int { return suite.user.uid }

// GID is the user's primary group outside of any container.
func (s *Session) GID() int { return suite.user.gid }

// Setenv sets a variable for the commands that follow; Unsetenv drops one.
func (s *Session) Setenv(key, value string) {
	s.Unsetenv(key)
	s.Env = append(s.Env, key+"="+value)
}

// Getenv is a variable of the commands that follow.
func (s *Session) Getenv(key string) string {
	for _, e := range s.Env {
		if value, ok := strings.CutPrefix(e, key+"="); ok {
			return value
		}
	}
	return ""
}

// Unsetenv drops a variable from the commands that follow.
func (s *Session) Unsetenv(key string) {
	kept := s.Env[:0:0]
	for _, e := range s.Env {
		if !strings.HasPrefix(e, key+"=") {
			kept = append(kept, e)
		}
	}
	s.Env = kept
}

// WriteFile makes a file of the user's below its home and returns its path.
func (s *Session) WriteFile(name, content string) string {
	s.T.Helper()
	path := filepath.Join(s.Home(), name)
	s.Mkdir(filepath.Dir(name))
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		s.T.Fatal(err)
	}
	if err := s.give(path); err != nil {
		s.T.Fatal(err)
	}
	return path
}

// ReadFile returns a file below the user's home.
func (s *Session) ReadFile(name string) string {
	s.T.Helper()
	data, err := os.ReadFile(filepath.Join(s.Home(), name))
	if err != nil {
		s.T.Fatal(err)
	}
	return string(data)
}

// Mkdir makes a directory of the user's below its home and returns its path.
func (s *Session) Mkdir(name string) string {
	s.T.Helper()
	path := s.Home()
	for part := range strings.SplitSeq(filepath.Clean(name), "/") {
		path = filepath.Join(path, part)
		if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			s.T.Fatal(err)
		}
		if err := s.give(path); err != nil {
			s.T.Fatal(err)
		}
	}
	return path
}

// Command returns a command line as the user, not started.
func (s *Session) Command(ctx context.Context, args ...string) *exec.Cmd {
	credential := suite.user.credential()
	if s.asRoot {
		credential = nil
	}
	if s.mounts != "" || s.net != "" {
		// Only root enters a namespace, and entering moves to its root.
		uid, gid := strconv.Itoa(suite.user.uid), strconv.Itoa(suite.user.gid)
		enter := []string{"nsenter"}
		if s.mounts != "" {
			enter = append(enter, "--mount="+s.mounts)
		}
		if s.net != "" {
			enter = append(enter, "--net="+s.net)
		}
		args = append(append(enter,
			"--", "setpriv", "--reuid", uid, "--regid", gid, "--init-groups",
			"--", "env", "-C", s.Home(),
		), args...)
		credential = nil
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = s.Home()
	cmd.Env = s.Env
	// A session of its own: no terminal of the developer's leaks in, and a
	// command that hangs can be ended with all that it started.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// A child that keeps the front's standard output open hangs every script
	// that reads it; WaitDelay turns that into an error.
	cmd.WaitDelay = 3 * time.Second
	return cmd
}

// InMountNamespace lets the commands that follow run in a mount namespace that
// a line of sh, run in it as root, has prepared. The test must have asked for
// Root.
func (s *Session) InMountNamespace(line string) {
	s.T.Helper()
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-ec", line+"; echo ready; exec sleep infinity")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.T.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.T.Fatal(err)
	}
	own.add(cmd.Process.Pid)
	s.T.Cleanup(func() {
		s.removeContainers() // while their store can be seen
		s.mounts = ""
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		own.remove(cmd.Process.Pid)
	})
	if answer, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		s.T.Fatalf("prepare a mount namespace (%s): %q, %v", line, answer, err)
	}
	s.mounts = fmt.Sprintf("/proc/%d/ns/mnt", cmd.Process.Pid)
}

// seen is where the harness sees a path of the session's commands.
func (s *Session) seen(path string) string {
	if s.mounts == "" {
		return path
	}
	return strings.TrimSuffix(s.mounts, "ns/mnt") + "root" + path
}

// InNetwork lets the commands that follow run in the network namespace of a
// file. The test must have asked for Root.
func (s *Session) InNetwork(path string) {
	s.T.Helper()
	s.net = path
	s.T.Cleanup(func() {
		s.removeContainers()
		s.net = ""
	})
}

func (s *Session) userName() string {
	if s.asRoot {
		return "root"
	}
	return suite.user.name
}

// give makes path the session's user's.
func (s *Session) give(path string) error {
	if s.asRoot {
		return nil
	}
	return suite.user.give(path)
}

// Skiff runs skiff with args and no input.
func (s *Session) Skiff(args ...string) *Result {
	s.T.Helper()
	return s.Do(nil, append([]string{suite.binary}, args...)...)
}

// SkiffInput is Skiff with standard input.
func (s *Session) SkiffInput(in io.Reader, args ...string) *Result {
	s.T.Helper()
	return s.Do(in, append([]string{suite.binary}, args...)...)
}

// OK runs skiff, which must succeed, and returns its output without the last
// newline.
func (s *Session) OK(args ...string) string {
	s.T.Helper()
	return s.Skiff(args...).Succeeds().Out()
}

// Shell runs a line of sh as the user; skiff is in its PATH.
func (s *Session) Shell(line string) *Result {
	s.T.Helper()
	return s.Do(nil, "/bin/sh", "-c", "PATH="+suite.dir+":$PATH; "+line)
}

// Do runs a command line as the user to its end.
func (s *Session) Do(in io.Reader, args ...string) *Result {
	s.T.Helper()
	return s.do(patience, in, args...)
}

// Within runs skiff with a limit of its own.
func (s *Session) Within(limit time.Duration, args ...string) *Result {
	s.T.Helper()
	return s.do(limit, nil, append([]string{suite.binary}, args...)...)
}

func (s *Session) do(patience time.Duration, in io.Reader, args ...string) *Result {
	s.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := s.Command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &stdout, &stderr
	err := cmd.Run()
	r := &Result{
		t: s.T, Line: strings.Join(append([]string{filepath.Base(args[0])}, args[1:]...), " "),
		Stdout: stdout.String(), Stderr: stderr.String(),
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		s.T.Fatalf("%s: no end after %v\n%s", r.Line, patience, r.streams())
	case errors.Is(err, exec.ErrWaitDelay):
		s.T.Errorf("%s: ended, but something it started keeps its output open", r.Line)
	case err != nil && !errors.As(err, &exit):
		s.T.Fatalf("%s: %v", r.Line, err)
	}
	r.Code = exitCode(cmd.ProcessState)
	return r
}

// exitCode is the code as a shell says it: 128+n for signal n.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// comesWithin is how long a test waits for what must come. It costs nothing
// where the thing comes, and a machine may be busy with others' work.
const comesWithin = 45 * time.Second

// Eventually waits for a condition that another process brings about.
func (s *Session) Eventually(what string, condition func() bool) {
	s.T.Helper()
	s.EventuallyWithin(comesWithin, what, condition)
}

// EventuallyWithin is Eventually with a limit of its own.
func (s *Session) EventuallyWithin(limit time.Duration, what string, condition func() bool) {
	s.T.Helper()
	if !within(limit, condition) {
		s.T.Fatalf("not within %v: %s", limit, what)
	}
}

// Await waits for a moment that must not be missed: it looks again at once.
func (s *Session) Await(condition func() bool) {
	s.T.Helper()
	for end := time.Now().Add(comesWithin); !condition(); {
		if time.Now().After(end) {
			s.T.Fatalf("not within %v", comesWithin)
		}
	}
}

func within(limit time.Duration, condition func() bool) bool {
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if condition() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// Inspect returns what a template says about an object.
func (s *Session) Inspect(object, template string) string {
	s.T.Helper()
	return s.OK("inspect", "-f", template, object)
}

// Removes makes sure that a container is gone when the test ends, however it
// ends.
func (s *Session) Removes(container string) {
	s.T.Cleanup(func() { s.Skiff("rm", "-f", "-v", container) })
}

func (r *Result) streams() string {
	// An archive on standard output is not worth reading.
	return fmt.Sprintf("stdout: %.4000s\nstderr: %s", strings.ToValidUTF8(r.Stdout, "?"), r.Stderr)
}

// In is the same session seen by a subtest, whose failures are its own.
func (s *Session) In(t *testing.T) *Session {
	sub := *s
	sub.T = t
	return &sub
}
