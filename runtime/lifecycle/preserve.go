package lifecycle

import (
	"fmt"

	"skiff/rootless"
	"skiff/runtime/stage/message"
)

// firstPreserved is the first descriptor behind the standard streams.
const firstPreserved = 3

// CheckPreserved refuses a number of descriptors to preserve when the caller did
// not pass that many.
func CheckPreserved(n int) error {
	if n < 0 || n > message.MaxGiven {
		return fmt.Errorf("--preserve-fds %d: must be a number from 0 to %d", n, message.MaxGiven)
	}
	if have := rootless.Inherited(); n > have {
		return fmt.Errorf("file descriptor %d is not available: --preserve-fds %d needs the descriptors %d to %d to be open",
			firstPreserved+have, n, firstPreserved, firstPreserved+n-1)
	}
	return nil
}

// preserved are the descriptors themselves.
func preserved(n int) []int {
	fds := make([]int, 0, n)
	for i := range n {
		fds = append(fds, firstPreserved+i)
	}
	return fds
}
