package harness

import (
	"net"
	"os"
	"path/filepath"
	"time"
)

// Notifications is a service manager (sd_notify(3)) to the commands that follow;
// next waits for the next word of one of them.
func (s *Session) Notifications() (next func() string) {
	s.T.Helper()
	path := filepath.Join(s.Home(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		s.T.Fatal(err)
	}
	s.T.Cleanup(func() { conn.Close() })
	if err := os.Chmod(path, 0o777); err != nil {
		s.T.Fatal(err)
	}
	s.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		s.T.Helper()
		buffer := make([]byte, 4096)
		if err := conn.SetReadDeadline(time.Now().Add(comesWithin)); err != nil {
			s.T.Fatal(err)
		}
		n, err := conn.Read(buffer)
		if err != nil {
			s.T.Fatalf("nobody says anything: %v", err)
		}
		return string(buffer[:n])
	}
}
