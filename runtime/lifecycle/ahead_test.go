package lifecycle

import (
	"slices"
	"testing"

	"skiff/rootless"
	"skiff/runtime/stage"
)

// TestEarlyEnviron_IsTheStages holds the C entry to what Go would have done.
func TestEarlyEnviron_IsTheStages(t *testing.T) {
	if got, want := rootless.EarlyEnviron(), stage.Environ(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
