// Package runtime_test tells, as a user's shell sessions would,
// `skiff runtime`, the OCI runtime command line, on bundles.
package runtime_test

import (
	"testing"

	"skiff/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
