package stage

import (
	"testing"
	"time"
)

func TestNextDelay_DoublesUpToAMinuteAndBeginsAnew(t *testing.T) {
	var delay time.Duration
	for _, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000} {
		if delay = nextDelay(delay, 9*time.Second); delay != want*time.Millisecond {
			t.Errorf("got %v, want %v", delay, want*time.Millisecond)
		}
	}
	if got := nextDelay(delay, 10*time.Second); got != 100*time.Millisecond {
		t.Errorf("after a long life: got %v", got)
	}
}
