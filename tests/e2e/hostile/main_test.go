// Package hostile_test tells, as a user's shell sessions would,
// images and arguments that mean harm: the rows of the attack table
// that concern run, by their numbers.
package hostile_test

import (
	"testing"

	"skiff/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
