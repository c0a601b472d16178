// Package registry_test tells, as a user's shell sessions would, the verbs about
// registries: login, logout, push, search, manifest, and how registries are
// configured.
package registry_test

import (
	"testing"

	"skiff/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
