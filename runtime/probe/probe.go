// Package probe asks a container over its network how it is: Kubernetes' httpGet,
// tcpSocket and grpc, as the kubelet asks them. It is a process of its own, which the
// container's monitor starts in the container's network namespace and nothing else of
// the container; the image needs no program for it. What answers is not trusted: all
// that is read is bounded, no redirection leads out of the namespace, and the process
// has given up its capabilities before it asks.
//
// https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
	"skiff/storage/container/hook"
)

// controlFD is where the parent says what to ask, and which closes with it.
const controlFD = 3

// Bounds of memory, in bytes: where the collector begins to hurry, and where the
// kernel refuses. The Go runtime's own reservations count with the latter.
const (
	softMemory = 32 << 20
	hardMemory = 512 << 20
)

// Main does what the parent at descriptor 3 wants to be done, says on its standard
// output what came of it, and returns the exit code.
func Main() int {
	said, err := run(message.Conn{FD: controlFD})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if said != "" {
		fmt.Println(said)
	}
	return 0
}

func run(parent message.Conn) (string, error) {
	kind, body, _, err := parent.Recv()
	if err == nil && kind != message.ProbeWanted {
		err = fmt.Errorf("message %d", kind)
	}
	var call hook.Call
	if err == nil {
		err = json.Unmarshal(body, &call)
	}
	if err != nil {
		return "", fmt.Errorf("receive what to ask: %w", err)
	}
	if err := confine(); err != nil {
		return "", err
	}
	// Nobody is left behind who asks for a monitor that was killed.
	go func() {
		_, _, _, _ = parent.Recv()
		os.Exit(1)
	}()
	return Ask(context.Background(), &call)
}

// confine gives up what asking does not need.
func confine() error {
	debug.SetGCPercent(100)
	debug.SetMemoryLimit(softMemory)
	limit := unix.Rlimit{Cur: hardMemory, Max: hardMemory}
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &limit); err != nil {
		return fmt.Errorf("limit memory: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl: %w", err)
	}
	return drop()
}

// drop gives up capabilities, in all threads, and the way back to them. In a program
// with C in it, the one that is built without the others, it cannot.
func drop() error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	if errno == 0 {
		errno = capset()
	}
	if errno != 0 && !errors.Is(errno, syscall.ENOTSUP) {
		return fmt.Errorf("give up privileges: %w", errno)
	}
	return nil
}

// Ask does what call says, and returns what is worth saying of a success.
func Ask(ctx context.Context, call *hook.Call) (string, error) {
	d := &dialer{names: call.Names}
	switch {
	case call.HTTPGet != nil:
		return get(ctx, d, call.HTTPGet, call.Hook)
	case call.TCPSocket != nil:
		return "", connect(ctx, d, call.TCPSocket)
	case call.GRPC != nil:
		return check(ctx, d, call.GRPC)
	}
	return "", errors.New("there is nothing to ask")
}
