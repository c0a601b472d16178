// Package reader is the program that reads YAML, as a function.
package reader

import (
	"fmt"
	"io"
	"os"

	"skiff/commands/kube/plan"
	"skiff/commands/kube/translate"
	"skiff/runtime/cdi/message"
	"skiff/runtime/cdi/registry"
)

// Main answers one question on in, about what args name. It returns an exit code.
func Main(args []string, in io.Reader, out io.Writer) int {
	if len(args) == 1 {
		switch args[0] {
		case plan.Subject:
			return translate.Main(in, out)
		case message.Subject:
			return registry.Main(in, out)
		}
	}
	fmt.Fprintln(os.Stderr, "what to read is not said")
	return 2
}
