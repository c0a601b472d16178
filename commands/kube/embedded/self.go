//go:build !embed

package embedded

import (
	"os"

	"skiff/commands/kube/translate"
)

// Dispatch translates and ends the process if it was started for that. The
// program's main calls it first.
func Dispatch() {
	if os.Args[0] == Argv0 {
		os.Exit(translate.Main(os.Stdin, os.Stdout))
	}
}
