package registry_test

import (
	"os"
	"testing"
	"time"

	"skiff/tests/harness"
	"skiff/tests/registry"
)

// With the patience that users have, a registry that falls silent is given up
// after 90 seconds. SKIFF_SILENCE=1 runs it; the short form, with less patience,
// is TestPull_BadRegistries in storage/courier/client.
func TestPull_GivesUpOnSilence(t *testing.T) {
	if os.Getenv("SKIFF_SILENCE") == "" {
		t.Skip("takes three minutes; SKIFF_SILENCE=1 runs it")
	}
	s := harness.New(t)
	r := registry.New(t)
	r.Add("app", "1", harness.Busybox(t).Tar(t))
	for _, mode := range []string{"hang", "mute"} {
		start := time.Now()
		// The harness itself has less patience.
		if err := s.Command(t.Context(), s.Binary(), "pull", "-q", r.Address+"/"+mode+"/app:1").Run(); err == nil {
			t.Errorf("%s: it succeeded", mode)
		}
		if took := time.Since(start); took > 100*time.Second {
			t.Errorf("%s: given up after %v", mode, took)
		}
	}
}
