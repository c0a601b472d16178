// The program with Kubernetes' types and Go's HTTP: it reads YAML (package reader), and
// asks containers how they are (package probe).
package main

import (
	"os"

	"skiff/commands/kube/program/reader"
	"skiff/runtime/probe"
	"skiff/runtime/stage/message"
)

func main() {
	if os.Args[0] == message.Prober {
		os.Exit(probe.Main())
	}
	os.Exit(reader.Main(os.Args[1:], os.Stdin, os.Stdout))
}
