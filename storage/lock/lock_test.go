package lock

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestMain lets a second process hold the run lock.
func TestMain(m *testing.M) {
	if path := os.Getenv("HOLD_RUN_LOCK"); path != "" {
		if _, err := HoldRun(path); err != nil {
			os.Exit(1)
		}
		os.Stdout.WriteString("held\n")
		time.Sleep(time.Minute)
	}
	os.Exit(m.Run())
}

func holder(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HOLD_RUN_LOCK="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestRunHolder_NamesTheLivingHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if pid, err := RunHolder(path); pid != 0 || err != nil {
		t.Fatalf("absent: got %d, %v", pid, err)
	}
	cmd := holder(t, path)
	for range 2 { // asking does not take it
		if pid, err := RunHolder(path); pid != cmd.Process.Pid || err != nil {
			t.Fatalf("got %d, %v, want %d", pid, err, cmd.Process.Pid)
		}
	}
	if _, err := HoldRun(path); !errors.Is(err, ErrBusy) {
		t.Errorf("a second holder: got %v", err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if pid, err := RunHolder(path); pid != 0 || err != nil {
		t.Errorf("after its death: got %d, %v", pid, err)
	}
}

func TestYieldRun_KeepsTheDirectoryFromSweepers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	f, err := HoldRun(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := YieldRun(f); err != nil {
		t.Fatal(err)
	}
	if _, err := TryExclusive(path); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
}

func TestDir_NeverMakesWhatIsGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	if _, err := Dir(t.Context(), dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("it was made")
	}
}

func TestExclusive_WaitsUntilItMayNotAnyMore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	a, err := Shared(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Exclusive(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	time.AfterFunc(20*time.Millisecond, a.Release)
	b, err := Exclusive(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
	b.Release() // more than once is safe
}
