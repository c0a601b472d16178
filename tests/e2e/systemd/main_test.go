// Package systemd_test tells of the generator, of Quadlet files and of units as
// far as no systemd is needed; what needs one is in tests/vm.
package systemd_test

import (
	"testing"

	"skiff/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
