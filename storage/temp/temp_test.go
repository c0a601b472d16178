package temp

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"skiff/storage"
)

func TestSweep_TakesOnlyWhatTheDeadLeft(t *testing.T) {
	st := &storage.Store{Dir: t.TempDir()}
	living, err := Make(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := Make(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	dead.lock.Release() // what the kernel does when the maker dies
	neverLocked := filepath.Join(st.Temp(), "neverlocked")
	if err := os.Mkdir(neverLocked, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Sweep(st); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{living.Path: true, dead.Path: false, neverLocked: false} {
		_, err := os.Stat(path)
		if got := err == nil; got != want {
			t.Errorf("%s exists: got %v, want %v", path, got, want)
		}
	}
	if err := living.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(living.Path); err == nil {
		t.Error("removed directory is still there")
	}
}

func TestSweep_NothingMade(t *testing.T) {
	if err := Sweep(&storage.Store{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
}

// TestRemove_BesideASweeper is the race that once lost one `run` of a hundred: a
// sweeper that looked at a directory put its lock file back while the maker
// deleted it.
func TestRemove_BesideASweeper(t *testing.T) {
	st := &storage.Store{Dir: t.TempDir()}
	stop := make(chan struct{})
	var sweepers sync.WaitGroup
	for range 4 {
		sweepers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if err := Sweep(st); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for range 400 {
		dir, err := Make(t.Context(), st)
		if err != nil {
			t.Fatal(err)
		}
		if err := dir.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	sweepers.Wait()
}
