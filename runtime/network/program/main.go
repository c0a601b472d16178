// The network program, embedded in skiff and started where containers need it;
// see skiff/runtime/network/hub.
package main

import (
	"os"

	"skiff/runtime/network/hub"
)

func main() { os.Exit(hub.Main(os.Args[1:])) }
