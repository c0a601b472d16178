// Package image_test tells, as a user's shell sessions would,
// the image verbs: pull, load, import, images, tag, rmi, inspect.
package image_test

import (
	"testing"

	"skiff/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
