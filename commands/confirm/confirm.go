// Package confirm asks the user before something is deleted.
package confirm

import (
	"bufio"
	"fmt"
	"strings"

	"skiff/commands/env"
)

// Ask prints docker's question behind a warning and reports whether the answer
// is yes. No input is a no.
func Ask(e *env.Env, warning string) bool {
	fmt.Fprintf(e.Out, "%s\nAre you sure you want to continue? [y/N] ", warning)
	if e.In == nil {
		return false
	}
	answer, _ := bufio.NewReader(e.In).ReadString('\n') // what there is decides
	return strings.EqualFold(strings.TrimSpace(answer), "y")
}
