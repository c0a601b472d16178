package container

import (
	"testing"

	"skiff/storage"
)

// A container is about to be started from its first moment until its maker says that
// somebody has taken over, and for as long as anybody starts it again.
func TestChanging(t *testing.T) {
	st := &storage.Store{Dir: t.TempDir()}
	is := func(c *Container, want bool, when string) {
		t.Helper()
		if got, err := c.Changing(); got != want || err != nil {
			t.Errorf("%s: %v, %v", when, got, err)
		}
	}
	created := publish(t, st, &Config{Name: "created"}, false)
	is(created, false, "created")
	c := publish(t, st, &Config{Name: "run"}, true)
	is(c, true, "its maker lives")
	c.Started()
	is(c, false, "only its mark is left")
	op, err := c.TryLock()
	if err != nil {
		t.Fatal(err)
	}
	is(c, true, "somebody is at it")
	op.Release()
	if err := c.Remove(); err != nil {
		t.Fatal(err)
	}
	is(c, false, "removed")
}
