// The stage program: see package stage.
package main

import (
	"os"

	"skiff/runtime/stage"
)

func main() {
	if !stage.Is(os.Args[0]) {
		os.Stderr.WriteString("skiff's stage is started by skiff itself\n")
		os.Exit(2)
	}
	os.Exit(stage.Main(stage.Role(os.Args[0])))
}
