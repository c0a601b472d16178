package container

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/golden"
	"skiff/runtime/lifecycle"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/container/state"
)

// session is a process that echoes its input when that ends.
type session struct {
	mu     sync.Mutex
	in     bytes.Buffer
	ended  chan struct{}
	once   sync.Once
	code   int
	detach bool
}

func newSession(code int) *session { return &session{ended: make(chan struct{}), code: code} }

func (s *session) end() { s.once.Do(func() { close(s.ended) }) }

func (s *session) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in.Write(p)
}
func (s *session) CloseStdin() error               { s.end(); return nil }
func (s *session) Resize(uint16, uint16) error     { return nil }
func (s *session) Signal(sig syscall.Signal) error { s.end(); return nil }
func (s *session) Detach()                         { s.detach = true; s.end() }
func (s *session) Close() error                    { s.end(); return nil }
func (s *session) Wait(stdout, stderr io.Writer) (int, error) {
	<-s.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	stdout.Write(s.in.Bytes())
	io.WriteString(stderr, "done\n")
	return s.code, nil
}

// input makes text the standard input of e.
func input(t *testing.T, e *env.Env, text string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	go func() { io.WriteString(w, text); w.Close() }()
	e.In = r
}

func TestTie_CopiesAndReturnsTheCode(t *testing.T) {
	e, out, errOut := testEnv(t)
	input(t, e, "hello")
	s := streams{Stdin: true, Stdout: true, Stderr: true, DetachKeys: "ctrl-p,ctrl-q"}
	code, err := s.tie(t.Context(), e, newSession(7))
	if code != 7 || err != nil || out.String() != "hello" || errOut.String() != "done\n" {
		t.Errorf("%d, %v, %q, %q", code, err, out, errOut)
	}
	var status failure.Status
	if err := ended(code, err); !errors.As(err, &status) || status != 7 {
		t.Errorf("ended: %v", err)
	}
}

func TestTie_PassesDetachKeysOnWithoutATerminal(t *testing.T) {
	e, out, _ := testEnv(t)
	input(t, e, "a\x10\x11b")
	s := streams{Stdin: true, Stdout: true, DetachKeys: "ctrl-p,ctrl-q"}
	if _, err := s.tie(t.Context(), e, newSession(0)); err != nil || out.String() != "a\x10\x11b" {
		t.Errorf("%v, %q", err, out)
	}
}

func TestTie_DetachesFromATerminal(t *testing.T) {
	e, _, _ := testEnv(t)
	input(t, e, "a\x10\x11b")
	s := streams{Stdin: true, Stdout: true, Tty: true, DetachKeys: "ctrl-p,ctrl-q"}
	if _, err := s.tie(t.Context(), e, newSession(0)); !errors.Is(err, lifecycle.ErrDetached) {
		t.Errorf("got %v", err)
	}
}

func TestTie_EndsWithItsContext(t *testing.T) {
	e, _, _ := testEnv(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := (streams{Stdout: true}).tie(ctx, e, newSession(0)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestStreams_RefuseInputThatIsNoTerminal(t *testing.T) {
	e, _, _ := testEnv(t)
	if err := (streams{Stdin: true, Tty: true}).check(e); err == nil || err.Error() != "the input device is not a TTY" {
		t.Errorf("got %v", err)
	}
	if err := (streams{Tty: true}).check(e); err != nil {
		t.Errorf("-t alone: %v", err)
	}
}

// stored makes a store with containers in all states that need no process.
func stored(t *testing.T) (*env.Env, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	e, out, errOut := testEnv(t)
	st := &storage.Store{Dir: t.TempDir()}
	e.OpenStore = func() (*storage.Store, error) { return st, nil }
	if err := os.MkdirAll(st.Containers(), 0o700); err != nil {
		t.Fatal(err)
	}
	now := e.Clock()
	for i, c := range []struct {
		name, id string
		state    state.State
	}{
		{"first_born", "aaaa", state.State{StartedAt: now.Add(-3 * time.Hour), FinishedAt: now.Add(-2 * time.Hour), ExitCode: 137}},
		{"second_one", "bbbb", state.State{}},
	} {
		cfg := &container.Config{
			ID: strings.Repeat(c.id, 16), Name: c.name, Created: now.Add(time.Duration(i-4) * time.Hour),
			ImageID: "sha256:" + strings.Repeat("cd", 32), ImagePlatform: "linux/amd64", Path: "sh", Args: []string{"-c", "echo a long command; sleep 1"},
			Config: container.Process{Image: "busybox", Labels: map[string]string{"tier": c.name[:5]}},
			Host:   container.Host{NetworkMode: "none", AutoRemove: true},
		}
		made, err := container.Publish(t.Context(), st, cfg, false)
		if err != nil {
			t.Fatal(err)
		}
		if c.state.ExitCode != 0 {
			if err := state.Write(made.Dir(), c.state, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	return e, out, errOut
}

func TestRunPs(t *testing.T) {
	cases := []struct {
		name string
		o    psOptions
	}{
		{"ps", psOptions{Last: -1}},
		{"ps-all", psOptions{Last: -1, All: true}},
		{"ps-quiet", psOptions{Last: -1, All: true, Quiet: true}},
		{"ps-last", psOptions{Last: 1, All: true}},
		{"ps-exited", psOptions{Last: -1, All: true, Filters: map[string][]string{"exited": {"137"}}}},
		{"ps-name", psOptions{Last: -1, All: true, Filters: map[string][]string{"name": {"^/sec"}}, Format: "{{.Names}} {{.State}} {{.Networks}} {{.Label \"tier\"}}"}},
		{"ps-label", psOptions{Last: -1, All: true, Filters: map[string][]string{"label": {"tier=first"}}, Format: "table {{.Names}}\t{{.Label \"tier\"}}"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e, out, _ := stored(t)
			if err := runPs(t.Context(), e, c.o); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, c.name, out.String())
		})
	}
}

func TestFind_HasDockersWords(t *testing.T) {
	e, _, _ := stored(t)
	st, _ := e.Store()
	for ref, want := range map[string]string{"nope": "No such container: nope", "ff": "No such container: ff"} {
		if _, err := find(st, ref); err == nil || err.Error() != want {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if c, err := find(st, "aaa"); err != nil || c.Config.Name != "first_born" {
		t.Errorf("a prefix: %v", err)
	}
}

func TestRename(t *testing.T) {
	e, _, _ := stored(t)
	if err := runRename(t.Context(), e, "first_born", "second_one"); !errors.Is(err, container.ErrNameTaken) {
		t.Errorf("a taken name gives %v", err)
	}
	if err := runRename(t.Context(), e, "first_born", "newname"); err != nil {
		t.Fatal(err)
	}
	st, _ := e.Store()
	if _, err := find(st, "first_born"); err == nil {
		t.Error("the old name still works")
	}
	if c, err := find(st, "newname"); err != nil || c.Config.Name != "newname" {
		t.Errorf("the new name: %v", err)
	}
}

func TestStartAll_NamesWhatFailed(t *testing.T) {
	e, out, _ := stored(t)
	start := func(_ context.Context, c *container.Container, _ lifecycle.StartOptions) (lifecycle.Session, error) {
		if c.Config.Name == "second_one" {
			return nil, &lifecycle.StartError{Code: 127, Err: errors.New("no command")}
		}
		return nil, nil
	}
	err := startAll(t.Context(), e, startOptions{Refs: []string{"first_born", "nope", "second_one"}}, start)
	want := "No such container: nope\nno command\nfailed to start containers: nope, second_one"
	if err == nil || err.Error() != want || out.String() != "first_born\n" {
		t.Errorf("got %v, %q", err, out)
	}
}

func TestDocument_HasDockersKeys(t *testing.T) {
	e, out, _ := stored(t)
	st, _ := e.Store()
	d, err := Document(st, "first_born", false)
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != "/first_born" || d.State.Status != "exited" || d.State.ExitCode != 137 || !strings.HasPrefix(d.Image, "sha256:") {
		t.Errorf("got %+v", d.State)
	}
	_ = out
}
