// The program with Kubernetes' types and Go's HTTP: it translates Kubernetes' YAML
// (package translate), and asks containers how they are (package probe).
package main

import (
	"os"

	"skiff/commands/kube/translate"
	"skiff/runtime/probe"
	"skiff/runtime/stage/message"
)

func main() {
	if os.Args[0] == message.Prober {
		os.Exit(probe.Main())
	}
	os.Exit(translate.Main(os.Stdin, os.Stdout))
}
