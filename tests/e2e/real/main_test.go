// Package real_test tells, as a user's shell sessions would,
// whole stories on real software: a Debian tree, PostgreSQL.
package real_test

import (
	"testing"

	"skiff/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
