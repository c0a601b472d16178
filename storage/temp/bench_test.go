package temp

import (
	"context"
	"testing"

	"skiff/storage"
)

// What every command pays for its look at what the dead left, in a store that has
// nothing of them.
func BenchmarkAbandoned_CleanStore(b *testing.B) {
	st := &storage.Store{Dir: b.TempDir()}
	d, err := Make(context.Background(), st)
	if err != nil {
		b.Fatal(err)
	}
	if err := d.Remove(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if Dirty(st) {
			b.Fatal("dirty")
		}
		if work, transfers := Abandoned(st); work || transfers {
			b.Fatal("abandoned")
		}
	}
}
