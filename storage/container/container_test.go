package container

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skiff/storage"
	"skiff/storage/atomicfile"
	"skiff/storage/container/state"
	"skiff/storage/temp"
)

func publish(t *testing.T, st *storage.Store, cfg *Config, starting bool) *Container {
	t.Helper()
	c, err := Publish(t.Context(), st, cfg, starting)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFind_NameBeatsPrefix(t *testing.T) {
	st := &storage.Store{Dir: t.TempDir()}
	a := publish(t, st, &Config{ID: "abc" + strings.Repeat("1", 61), Name: "first"}, false)
	b := publish(t, st, &Config{ID: "abd" + strings.Repeat("2", 61), Name: "abc"}, false)
	for ref, want := range map[string]*Container{
		"first": a, "/first": a, "abc": b, "abc1": a, "abd": b, a.Config.ID: a,
	} {
		c, err := Find(st, ref)
		if err != nil || c.Config.ID != want.Config.ID {
			t.Errorf("%s: got %v, %v", ref, c, err)
		}
	}
	for ref, want := range map[string]error{
		"ab": ErrAmbiguous, "nothing": ErrNotFound, "": ErrNotFound, "ffff": ErrNotFound, "../first": ErrNotFound,
		strings.Repeat("f", 64): ErrNotFound, strings.Repeat("a", 65): ErrNotFound,
	} {
		if _, err := Find(st, ref); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", ref, err, want)
		}
	}
}

func TestPublish_RefusesATakenNameAndLeavesNothing(t *testing.T) {
	st := &storage.Store{Dir: t.TempDir()}
	first := publish(t, st, &Config{Name: "web"}, false)
	_, err := Publish(t.Context(), st, &Config{Name: "web"}, true)
	var taken *NameTakenError
	if !errors.As(err, &taken) || taken.ID != first.Config.ID {
		t.Fatalf("got %v", err)
	}
	if ids, err := IDs(st); len(ids) != 1 || err != nil {
		t.Errorf("got %v, %v", ids, err)
	}
	if left, _ := os.ReadDir(st.Running()); len(left) != 0 || temp.Dirty(st) {
		t.Errorf("left: %v", left)
	}
	// A name whose container is gone may be taken.
	if err := os.RemoveAll(first.Dir()); err != nil {
		t.Fatal(err)
	}
	publish(t, st, &Config{Name: "web"}, false)
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"web": true, "a1": true, "A_b.c-d": true, "a": false, "": false, "-a": false, ".a": false, "a/b": false,
		"../x": false, "a b": false, "a\n": false, "ä1": false, strings.Repeat("x", 254): false,
	} {
		if got := CheckName(name) == nil; got != ok {
			t.Errorf("%q: got %t, want %t", name, got, ok)
		}
	}
}

func TestLoad_RefusesANewerFormat(t *testing.T) {
	st := &storage.Store{Dir: t.TempDir()}
	c := publish(t, st, &Config{Name: "web"}, false)
	data := []byte(`{"Version":99,"Id":"` + c.Config.ID + `"}`)
	if err := os.WriteFile(filepath.Join(c.Dir(), configFile), data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(st, c.Config.ID)
	var newer *atomicfile.NewerError
	if !errors.As(err, &newer) || newer.Version != 99 || newer.Known != Version {
		t.Errorf("got %v", err)
	}
}

func TestStatus_WithoutAMonitor(t *testing.T) {
	for _, tc := range []struct {
		name string
		st   *state.State
		want string
	}{
		{"never started", nil, "created"},
		{"failed to start", &state.State{ExitCode: 127, Error: "x"}, "created"},
		{"ended", &state.State{StartedAt: time.Now(), FinishedAt: time.Now(), ExitCode: 3}, "exited"},
		{"ran on another boot", &state.State{StartedAt: time.Now(), Pid: 1, BootID: "another"}, "exited"},
		{"its pid is another's now", &state.State{StartedAt: time.Now(), Pid: os.Getpid(), PidStart: 1, BootID: BootID()}, "exited"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store := &storage.Store{Dir: t.TempDir()}
			c := publish(t, store, &Config{Name: "web"}, false)
			if tc.st != nil {
				if err := state.Write(c.Dir(), *tc.st, atomicfile.Volatile); err != nil {
					t.Fatal(err)
				}
			}
			got, err := c.Status()
			if err != nil || got.State != tc.want || got.Pid != 0 {
				t.Errorf("got %+v, %v, want %s", got, err, tc.want)
			}
			if again, _ := c.State(); again.Pid != 0 {
				t.Errorf("the end was not recorded: %+v", again)
			}
		})
	}
}

func TestState_SurvivesAnEmptyFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, state.File), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if st, err := state.Read(dir); err != nil || st.Pid != 0 {
		t.Errorf("got %+v, %v", st, err)
	}
}

func TestSweep_RemovesWhatAKilledRunLeft(t *testing.T) {
	st := &storage.Store{Dir: t.TempDir()}
	ready := func() error { return nil }
	gone := publish(t, st, &Config{Name: "gone", Host: Host{AutoRemove: true}}, true)
	living := publish(t, st, &Config{Name: "living", Host: Host{AutoRemove: true}}, true)
	created := publish(t, st, &Config{Name: "created", Host: Host{AutoRemove: true}}, false)
	gone.Started() // what the kernel does to a dead maker's lock
	if list, err := List(st); len(list) != 2 || err != nil {
		t.Errorf("listed before: got %d, %v", len(list), err)
	}
	if err := Sweep(st, ready); err != nil {
		t.Fatal(err)
	}
	for c, want := range map[*Container]bool{gone: false, living: true, created: true} {
		_, err := os.Stat(c.Dir())
		if got := err == nil; got != want {
			t.Errorf("%s exists: got %t, want %t", c.Config.Name, got, want)
		}
	}
	if _, err := Find(st, "gone"); !errors.Is(err, ErrNotFound) {
		t.Errorf("its name: got %v", err)
	}
}

// A sweeper that comes while a container is being published takes its mark for
// that of a removed one.
func TestSweep_LeavesTheMarkOfWhatIsBeingPublished(t *testing.T) {
	st := &storage.Store{Dir: t.TempDir()}
	publish(t, st, &Config{Name: "first"}, false) // makes the directories
	stop, swept := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(swept)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := Sweep(st, func() error { return nil }); err != nil {
				t.Error(err)
			}
		}
	}()
	defer func() { close(stop); <-swept }()
	for range 100 {
		c := publish(t, st, &Config{Name: "c" + NewID()}, true)
		if _, err := os.Lstat(c.RunningLink()); err != nil {
			t.Fatal(err)
		}
		c.Started()
	}
	// What a maker left that was killed before it published goes.
	if err := os.Symlink("nowhere", filepath.Join(st.Running(), NewID())); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		entries, err := os.ReadDir(st.Running())
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("marks of the dead stay")
}

// A power cut empties the configuration of a container that was to vanish, which was
// not synced: it has vanished.
func TestSweep_RemovesWhatAPowerCutTook(t *testing.T) {
	st := &storage.Store{Dir: t.TempDir()}
	kept := publish(t, st, &Config{Name: "kept"}, false)
	c := publish(t, st, &Config{Name: "gone", Host: Host{AutoRemove: true}}, true)
	c.Started()
	if err := os.Truncate(filepath.Join(c.Dir(), configFile), 0); err != nil {
		t.Fatal(err)
	}
	if list, err := List(st); err != nil || len(list) != 1 || list[0].Config.Name != "kept" {
		t.Errorf("got %v, %v", list, err)
	}
	if err := Sweep(st, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{c.Dir(), c.NameLink(), c.RunningLink()} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	// One that was synced does not go without a word.
	if err := os.Truncate(filepath.Join(kept.Dir(), configFile), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := List(st); !atomicfile.IsDamaged(err) {
		t.Errorf("got %v", err)
	}
}
