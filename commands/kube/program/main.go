// The translator of Kubernetes' YAML, a program of its own: see package translate.
package main

import (
	"os"

	"skiff/commands/kube/translate"
)

func main() { os.Exit(translate.Main(os.Stdin, os.Stdout)) }
