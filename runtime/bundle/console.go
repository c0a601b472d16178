package bundle

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// SendConsole gives a terminal's master to whoever listens on the socket at
// path, in runc's protocol: one descriptor with a name as the data.
func SendConsole(path string, console *os.File) error {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return fmt.Errorf("console socket: %w", err)
	}
	defer conn.Close()
	if _, _, err := conn.WriteMsgUnix([]byte("/dev/ptmx"), unix.UnixRights(int(console.Fd())), nil); err != nil {
		return fmt.Errorf("console socket: %w", err)
	}
	return nil
}
