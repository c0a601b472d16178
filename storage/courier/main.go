// The courier is the program that carries images between registries, archives
// and the store. It is embedded in skiff, which starts it from memory; see
// storage/courier/message for what they say to each other.
package main

import (
	"os"

	"github.com/containers/storage/pkg/reexec"

	"skiff/storage/courier/server"
)

func main() {
	// containers/storage starts this program anew to unpack a layer in a
	// process whose root directory is the layer.
	if reexec.Init() {
		return
	}
	os.Exit(server.Main())
}
