package flags

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ParseSignal reads a signal as docker takes it: a number, or a name with or
// without SIG in any case, RTMIN+3 and the like included.
func ParseSignal(s string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n <= 0 || n > 64 {
			return 0, fmt.Errorf("invalid signal: %s", s)
		}
		return syscall.Signal(n), nil
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if n := unix.SignalNum(name); n != 0 {
		return n, nil
	}
	// The C library keeps the first two real-time signals for itself.
	for _, edge := range []struct {
		name string
		n    int
	}{{"SIGRTMIN", 34}, {"SIGRTMAX", 64}} {
		rest, ok := strings.CutPrefix(name, edge.name)
		if !ok {
			continue
		}
		offset := 0
		if rest != "" {
			var err error
			if offset, err = strconv.Atoi(rest); err != nil || rest[0] != '+' && rest[0] != '-' {
				break
			}
		}
		if n := edge.n + offset; n >= 34 && n <= 64 {
			return syscall.Signal(n), nil
		}
	}
	return 0, fmt.Errorf("invalid signal: %s", s)
}
