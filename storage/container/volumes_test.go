package container

import (
	"os"
	"path/filepath"
	"testing"

	"skiff/storage"
	"skiff/storage/volume"
)

// Volumes of a container that was being made or removed by a process that died go, unless
// the container is there, or somebody else has or named them.
func TestFinishNotes_Volumes(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(t *testing.T, st *storage.Store, id, v string)
		want bool // the volume stays
	}{
		{"neither", func(*testing.T, *storage.Store, string, string) {}, false},
		{"its container is there", func(t *testing.T, st *storage.Store, id, _ string) {
			publish(t, st, &Config{ID: id, Name: "made"}, false)
		}, true},
		{"another container has it", func(t *testing.T, st *storage.Store, _, v string) {
			publish(t, st, &Config{Name: "other", Mounts: []Mount{{Type: "volume", Name: v, Anonymous: true}}}, false)
		}, true},
		{"it has a name by now", func(t *testing.T, st *storage.Store, _, v string) {
			if err := volume.Discard(st, v); err != nil {
				t.Fatal(err)
			}
			if _, err := volume.Create(st, volume.Volume{Name: v}); err != nil {
				t.Fatal(err)
			}
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := &storage.Store{Dir: t.TempDir()}
			id, v := NewID(), volume.NewName()
			var note VolumesNote
			if err := note.Add(st, id, v); err != nil {
				t.Fatal(err)
			}
			if _, err := volume.Create(st, volume.Volume{Name: v, Anonymous: true}); err != nil {
				t.Fatal(err)
			}
			test.do(t, st, id, v)
			if err := FinishNotes(st); err != nil {
				t.Error(err)
			}
			if _, err := volume.Inspect(st, v); err != nil {
				t.Fatalf("while its maker lives: %v", err)
			}
			note.dir.Leave()
			if err := FinishNotes(st); err != nil {
				t.Error(err)
			}
			if _, err := volume.Inspect(st, v); (err == nil) != test.want {
				t.Errorf("the volume stays: %v, want %v", err == nil, test.want)
			}
			if _, err := os.Lstat(filepath.Join(st.Volumes(), v)); (err == nil) != test.want {
				t.Errorf("its directory stays: %v, want %v", err == nil, test.want)
			}
		})
	}
}
