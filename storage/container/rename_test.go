package container

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"skiff/storage"
	"skiff/storage/temp"
)

// A rename that dies anywhere leaves two names until the next command; the one that
// the configuration has stays.
func TestFinishRenames(t *testing.T) {
	for _, test := range []struct {
		name  string
		named string // in the configuration
		busy  bool
		want  []string
	}{
		{"before the configuration", "before", false, []string{"before"}},
		{"behind it", "after", false, []string{"after"}},
		{"while somebody is at the container", "before", true, []string{"after", "before"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := &storage.Store{Dir: t.TempDir()}
			c := publish(t, st, &Config{Name: test.named}, false)
			note, err := temp.MakeNote(t.Context(), st)
			if err != nil {
				t.Fatal(err)
			}
			text := c.Config.ID + "\nbefore\nafter"
			err = os.WriteFile(filepath.Join(note.Path, renameNote), []byte(text), 0o600)
			for _, name := range []string{"before", "after"} {
				if name != test.named {
					err = errors.Join(err, claimName(st, name, c.Config.ID, c.Dir()))
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			// Its maker lives still.
			if err := FinishNotes(st); err != nil {
				t.Error(err)
			}
			note.Leave()
			if err := temp.Sweep(st); err != nil {
				t.Error(err)
			}
			if test.busy {
				op, err := c.TryLock()
				if err != nil {
					t.Fatal(err)
				}
				defer op.Release()
			}
			if err := FinishNotes(st); (err != nil) != test.busy {
				t.Error(err)
			}
			entries, err := os.ReadDir(st.Names())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range entries {
				got = append(got, e.Name())
			}
			if len(got) != len(test.want) || got[0] != test.want[0] {
				t.Errorf("names %v, want %v", got, test.want)
			}
			if temp.Dirty(st) != test.busy {
				t.Errorf("the note is left: %v, want %v", !test.busy, test.busy)
			}
		})
	}
}
