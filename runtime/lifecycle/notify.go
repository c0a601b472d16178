package lifecycle

import (
	"fmt"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
)

// notifySocket is where a container finds the service manager's socket.
const notifySocket = "/run/notify/notify.sock"

// passNotifySocket lets the container tell the service manager itself that it is
// ready (sd_notify(3)); an empty socket is none.
func passNotifySocket(s *rspec.Spec, socket string) error {
	if socket == "" {
		return nil
	}
	if strings.HasPrefix(socket, "@") {
		return fmt.Errorf("--sdnotify=container: the socket %s has no file that a container could be given", socket)
	}
	s.Mounts = append(s.Mounts, rspec.Mount{
		Destination: notifySocket, Type: "bind", Source: socket, Options: []string{"bind", "nosuid", "nodev", "noexec"},
	})
	s.Process.Env = append(s.Process.Env, "NOTIFY_SOCKET="+notifySocket)
	return nil
}
