// Package system_test tells, as a user's shell sessions would,
// version, info, completion and what holds for every command line.
package system_test

import (
	"testing"

	"skiff/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
