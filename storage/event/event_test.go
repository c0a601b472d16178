package event

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func all(t *testing.T, dir string) []Event {
	t.Helper()
	var list []Event
	if err := Read(dir, func(e Event) bool { list = append(list, e); return true }); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAppend_IsReadInOrderOfTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	if got := all(t, dir); got != nil {
		t.Fatalf("an absent record has %v", got)
	}
	now := time.Now()
	Append(dir, Event{Type: Container, Action: "start", ID: "b", Time: now})
	Append(dir, Event{Type: Container, Action: "create", ID: "a", Time: now.Add(-time.Second), Attributes: map[string]string{"name": "x\ny"}})
	got := all(t, dir)
	if len(got) != 2 || got[0].Action != "create" || got[1].Action != "start" || got[0].Attributes["name"] != "x\ny" {
		t.Fatalf("got %v", got)
	}
	if !got[1].Time.Equal(now) {
		t.Errorf("time %v, want %v", got[1].Time, now)
	}
}

func TestAppend_GoesOnBehindWhatAFullDiskCutShort(t *testing.T) {
	dir := t.TempDir()
	Append(dir, Event{Type: Image, Action: "pull", ID: "a"})
	f, err := os.OpenFile(filepath.Join(dir, newest), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, `{"t":12,"y":"conta`)
	f.Close()
	Append(dir, Event{Type: Image, Action: "tag", ID: "b"})
	if got := all(t, dir); len(got) != 2 || got[1].Action != "tag" {
		t.Errorf("got %v", got)
	}
}

func TestAppend_FailsNobody(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	Append(filepath.Join(file, "no", "directory"), Event{Type: Image, Action: "pull"})
	Append("", Event{Type: Image, Action: "pull"})
	// A directory where the file should be.
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, newest), 0o700); err != nil {
		t.Fatal(err)
	}
	Append(dir, Event{Type: Image, Action: "pull"})
}

func TestAppend_KeepsTheRecordBounded(t *testing.T) {
	dir := t.TempDir()
	big := strings.Repeat("x", 20<<10)
	for i := range 400 {
		Append(dir, Event{Type: Volume, Action: "create", ID: fmt.Sprint(i), Attributes: map[string]string{"label": big}})
	}
	var size int64
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if len(entries) != 2 || size > 2*limit+4*longest {
		t.Errorf("%d files with %d bytes", len(entries), size)
	}
	got := all(t, dir)
	if len(got) < 50 || got[len(got)-1].ID != "399" {
		t.Errorf("%d events, the last %v", len(got), got[len(got)-1].ID)
	}
}

func TestAppend_ShortensWhatIsTooLong(t *testing.T) {
	dir := t.TempDir()
	Append(dir, Event{Type: Container, Action: "die", ID: "a", Attributes: map[string]string{
		"name": "n", "exitCode": "3", "huge": strings.Repeat("x", longest),
	}})
	got := all(t, dir)
	if len(got) != 1 || got[0].Attributes["exitCode"] != "3" || got[0].Attributes["name"] != "n" || got[0].Attributes["huge"] != "" {
		t.Errorf("got %v", got)
	}
}

// Several processes at once, as far as one test can be several: each Append
// opens the file anew.
func TestFollow_MissesNothingWhileFilesRotate(t *testing.T) {
	dir := t.TempDir()
	const writers, each = 8, 200
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	seen := map[string]int{}
	done := make(chan error, 1)
	go func() {
		done <- Follow(ctx, dir, time.Time{}, func(e Event) bool {
			seen[e.ID]++
			return len(seen) < writers*each
		})
	}()
	var w sync.WaitGroup
	pad := strings.Repeat("p", 1500)
	for i := range writers {
		w.Go(func() {
			for j := range each {
				Append(dir, Event{Type: Container, Action: "x", ID: fmt.Sprintf("%d-%d", i, j), Attributes: map[string]string{"p": pad}})
				time.Sleep(time.Millisecond)
			}
		})
	}
	w.Wait()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(seen) != writers*each {
		t.Fatalf("saw %d of %d", len(seen), writers*each)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
}

func TestFollow_EndsAtItsTime(t *testing.T) {
	start := time.Now()
	err := Follow(t.Context(), filepath.Join(t.TempDir(), "events"), start.Add(50*time.Millisecond), func(Event) bool { return true })
	if took := time.Since(start); err != nil || took < 40*time.Millisecond || took > 5*time.Second {
		t.Errorf("%v after %v", err, took)
	}
}

func BenchmarkAppend(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		Append(dir, Event{Type: Container, Action: "start", ID: strings.Repeat("a", 64), Attributes: map[string]string{"image": "busybox", "name": "x"}})
	}
}
