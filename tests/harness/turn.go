package harness

import (
	"strings"
	"sync"
	"testing"
)

// turns lets one test of a program have sessions at a time, however many: what a
// session leaves behind, processes above all, is told apart from nothing else.
// Parallel tests therefore take turns.
var turns = struct {
	sync.Mutex
	free  *sync.Cond
	owner string
	count int
}{}

func init() { turns.free = sync.NewCond(&turns) }

// takeTurn waits until no other test has a session, and keeps it so until t ends.
func takeTurn(t *testing.T) {
	test, _, _ := strings.Cut(t.Name(), "/")
	turns.Lock()
	defer turns.Unlock()
	for turns.count > 0 && turns.owner != test {
		turns.free.Wait()
	}
	turns.owner = test
	turns.count++
	t.Cleanup(func() {
		turns.Lock()
		defer turns.Unlock()
		turns.count--
		turns.free.Broadcast()
	})
}
