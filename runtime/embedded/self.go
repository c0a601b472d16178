//go:build !embed

package embedded

import (
	"os"

	"skiff/runtime/network/hub"
	"skiff/runtime/probe"
	"skiff/runtime/stage"
	stagehub "skiff/runtime/stage/hub"
	"skiff/runtime/stage/message"
)

// Dispatch plays the stage's role and ends the process if it was started as
// one. The program's main calls it first.
func Dispatch() {
	if stage.Is(os.Args[0]) {
		os.Exit(stage.Main(stage.Role(os.Args[0])))
	}
	if os.Args[0] == stagehub.Argv0 {
		os.Exit(hub.Main(os.Args[1:]))
	}
	if os.Args[0] == message.Prober {
		os.Exit(probe.Main())
	}
}

// Kube returns the path of the program of Kubernetes' types: this one. The file is nil.
func Kube(string) (path string, file *os.File, err error) { return "/proc/self/exe", nil, nil }

// Prober opens the program that asks over the network: this one.
func Prober(string) (*os.File, error) { return os.Open("/proc/self/exe") }

// Network returns the path of the network program: empty, it is this one.
func Network(string) (path string, err error) { return "", nil }

// Stage returns the path to execute the stage from. The file is nil.
func Stage(string) (path string, file *os.File, err error) { return "/proc/self/exe", nil, nil }

// Checked is true: the stage is this program.
func Checked(string) bool { return true }

// Identity returns "": nothing can start the stage but this program.
func Identity() (name string, size int64) { return "", 0 }
