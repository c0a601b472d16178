package rootless

// #include "entry.h"
// #include "outside.h"
import "C"

// What the process outside of the user namespace is called, which the C entry
// left behind to run credential helpers as the user, and the descriptor of its
// socket.
const (
	RoleHelper = C.SKIFF_HELPER_ROLE
	HelperFD   = C.SKIFF_HELPER_FD
)

// Outside is the socket to that process; 0 when there is none, because nobody
// needs it or this process is the user himself. It stays open for the life of
// this process.
func Outside() int { return int(C.skiff_entry.outside) }
