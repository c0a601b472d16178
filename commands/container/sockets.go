package container

import (
	"fmt"
	"os"
	"strconv"

	"skiff/commands/env"
	"skiff/rootless"
	"skiff/runtime/lifecycle"
	"skiff/runtime/stage/message"
)

// sockets are the listening sockets that a service manager started us with, for
// the container's process: LISTEN_FDS descriptors from 3 on, if LISTEN_PID is
// ours (sd_listen_fds(3)).
func sockets(e *env.Env) (s lifecycle.Sockets, err error) {
	if e.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return s, nil
	}
	text := e.Getenv("LISTEN_FDS")
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > message.MaxGiven {
		return s, fmt.Errorf("invalid LISTEN_FDS %q: it is the number of sockets from the service manager, at most %d", text, message.MaxGiven)
	}
	if have := rootless.Inherited(); n > have {
		return s, fmt.Errorf("LISTEN_FDS is %d, but descriptor %d was not given", n, 3+have)
	}
	return lifecycle.Sockets{Count: n, Names: e.Getenv("LISTEN_FDNAMES")}, nil
}
