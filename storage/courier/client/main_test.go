package client

import (
	"os"
	"testing"

	"skiff/storage/courier/embedded"
)

// TestMain lets the test binary be the courier too.
func TestMain(m *testing.M) {
	embedded.Dispatch()
	os.Exit(m.Run())
}
