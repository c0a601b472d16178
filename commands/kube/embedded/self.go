//go:build !embed

package embedded

import (
	"os"

	"skiff/commands/kube/program/reader"
	"skiff/runtime/yaml"
)

// Dispatch answers one question and ends the process if it was started for that. The
// program's main calls it first.
func Dispatch() {
	if os.Args[0] == yaml.Argv0 {
		os.Exit(reader.Main(os.Args[1:], os.Stdin, os.Stdout))
	}
}
