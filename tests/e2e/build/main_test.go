// Package build_test tells, as a user's shell sessions would, how images are
// built of Dockerfiles.
package build_test

import (
	"testing"

	"skiff/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
