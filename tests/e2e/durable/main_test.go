// Package durable_test takes the power and the disk away from skiff and kills
// it, at points that it does not choose, and holds it to its promise: what was
// reported done is whole, what was not is invisible or healed by the next
// command. Each story has a short form that always runs; SKIFF_CUTS, SKIFF_KILLS,
// SKIFF_FAULTS and SKIFF_CHURN say how long a long one is (make test-faults).
package durable_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"skiff/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// times is how often something is done to skiff: the variable's value, else
// the short form.
func times(t *testing.T, variable string, short int) int {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		return short
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is not a number", variable, value)
	}
	return n
}

// defaultSeed is that of the runs in docs/reliability.md.
const defaultSeed = 20261121

// dice gives the same points to a run with the same SKIFF_SEED.
func dice(t *testing.T) *rand.Rand {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv("SKIFF_SEED"), 10, 64)
	if err != nil {
		seed = defaultSeed
	}
	t.Logf("SKIFF_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}
