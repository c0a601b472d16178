package volume

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"skiff/storage"
	"skiff/storage/container/state"
)

func scratch(t *testing.T) *storage.Store {
	t.Helper()
	return &storage.Store{Dir: t.TempDir()}
}

func TestCreate_IsIdempotent(t *testing.T) {
	st := scratch(t)
	first, err := Create(st, Volume{Name: "data", Labels: map[string]string{"a": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(first.Mountpoint, "row"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := Create(st, Volume{Name: "data", Labels: map[string]string{"a": "2"}})
	if err != nil {
		t.Fatal(err)
	}
	if second.Labels["a"] != "1" || second.Mountpoint != first.Mountpoint {
		t.Errorf("the second create changed it: %+v", second)
	}
	if _, err := os.Stat(filepath.Join(second.Mountpoint, "row")); err != nil {
		t.Error(err)
	}
}

func TestCreate_ManyAtOnceMakeOne(t *testing.T) {
	st := scratch(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := Create(st, Volume{Name: "data"}); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	entries, err := os.ReadDir(st.Volumes())
	if err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v", entries, err)
	}
}

func TestCheckName(t *testing.T) {
	for _, good := range []string{"ab", "a.b_c-D9", NewName()} {
		if err := CheckName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a", "-ab", ".ab", "a/b", "..", "a b", "a\nb", "a\x00b", strings.Repeat("a", 256)} {
		var invalid *InvalidNameError
		if err := CheckName(bad); !errors.As(err, &invalid) {
			t.Errorf("%q: %v", bad, err)
		}
		if _, err := Inspect(scratch(t), bad); !errors.Is(err, ErrNotFound) {
			t.Errorf("inspect %q: %v", bad, err)
		}
	}
}

func TestRemove_LeavesNothing(t *testing.T) {
	st := scratch(t)
	v, err := Create(st, Volume{Name: "data"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(v.Mountpoint, "row"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Remove(st, "data"); err != nil {
		t.Fatal(err)
	}
	if err := Remove(st, "data"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if entries, _ := os.ReadDir(st.Volumes()); len(entries) != 0 {
		t.Errorf("left %v", entries)
	}
}

func TestList_SkipsWhatIsUnpublished(t *testing.T) {
	st := scratch(t)
	for _, name := range []string{"b2", "a1"} {
		if _, err := Create(st, Volume{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(st.Volumes(), ".new-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	all, err := List(st)
	if err != nil || len(all) != 2 || all[0].Name != "a1" {
		t.Errorf("got %v, %v", all, err)
	}
}

func TestInspect_RefusesANewerFormat(t *testing.T) {
	st := scratch(t)
	if _, err := Create(st, Volume{Name: "data"}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(st.Volumes(), "data", "volume.json")
	if err := os.WriteFile(path, []byte(`{"Version":2,"Name":"data"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(st, "data"); err == nil || !strings.Contains(err.Error(), "written by a newer skiff") {
		t.Errorf("got %v", err)
	}
	if err := Remove(st, "data"); err == nil {
		t.Error("removed what it does not understand")
	}
}

func TestCreateAndRemove_LeaveNoWork(t *testing.T) {
	st := scratch(t)
	if _, err := Create(st, Volume{Name: "data"}); err != nil {
		t.Fatal(err)
	}
	if err := Remove(st, "data"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(st.Temp())
	if err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v", entries, err)
	}
}

func TestKeep_NamesAnAnonymousVolume(t *testing.T) {
	st := scratch(t)
	v, err := Create(st, Volume{Name: NewName(), Anonymous: true, Labels: map[string]string{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(st.Volumes(), v.Name)
	if state.NamedVolume(dir) {
		t.Error("an anonymous volume has a name")
	}
	for range 2 {
		if err := Keep(st, v.Name); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := Inspect(st, v.Name)
	if err != nil || kept.Anonymous || kept.Labels["a"] != "b" || len(kept.Labels) != 1 || !kept.CreatedAt.Equal(v.CreatedAt) {
		t.Errorf("got %+v, %v", kept, err)
	}
	if !state.NamedVolume(dir) {
		t.Error("a volume that was kept is still anonymous")
	}
	if Keep(st, "nosuch") == nil || state.NamedVolume(filepath.Join(st.Volumes(), "nosuch")) {
		t.Error("kept what is not there")
	}
}
