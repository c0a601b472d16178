// Package bare_test tells, as a user's shell sessions would,
// machines and sessions that lack something: no login session, no
// subordinate ids, a runtime directory that was wiped, a monitor that was killed.
package bare_test

import (
	"testing"

	"skiff/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
