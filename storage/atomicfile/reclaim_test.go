package atomicfile

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// deadPID is the pid of a process that has ended.
func deadPID(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.Pid()
}

func TestReclaim_TakesWhatTheDeadLeft(t *testing.T) {
	dir := t.TempDir()
	dead := deadPID(t)
	for _, name := range []string{
		"config.json", ".hidden", ".config.json.tmp", ".config.json.x.1.tmp", ".config.json.1.x.tmp", "..1.1.tmp",
		fmt.Sprintf(".config.json.%d.1.tmp", os.Getpid()), // somebody is writing it
		fmt.Sprintf(".config.json.%d.1.tmp", dead), fmt.Sprintf(".config.json.%d.22.tmp", dead),
		fmt.Sprintf(".state.json.%d.1.tmp", dead),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left := func() int {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	if err := Reclaim(dir, "config.json"); err != nil || left() != 8 {
		t.Errorf("%d left, %v", left(), err)
	}
	all, err := Attempts(dir)
	if want := []string{filepath.Join(dir, fmt.Sprintf(".state.json.%d.1.tmp", dead))}; err != nil || !slices.Equal(all, want) {
		t.Errorf("got %v, %v, want %v", all, err, want)
	}
	if err := Reclaim(dir); err != nil || left() != 7 {
		t.Errorf("%d left, %v", left(), err)
	}
	// Of its one writer, who has a pid still, perhaps as a zombie.
	if err := ReclaimOwn(dir, "config.json"); err != nil || left() != 6 {
		t.Errorf("%d left, %v", left(), err)
	}
	if err := Reclaim(filepath.Join(dir, "gone")); err != nil {
		t.Error(err)
	}
}

// The name that Write gives is one that Reclaim takes apart.
func TestReclaim_KnowsTheNamesOfWrite(t *testing.T) {
	path := attemptAt("/dir/a.b")
	name, pid, ok := attempt(filepath.Base(path))
	if filepath.Dir(path) != "/dir" || name != "a.b" || pid != os.Getpid() || !ok {
		t.Errorf("%s: got %q, %d, %t", path, name, pid, ok)
	}
}
