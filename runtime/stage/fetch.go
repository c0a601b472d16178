package stage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
)

// Bounds of an answer that is looked at, in bytes, and of how long a peer may be
// silent, in seconds; whoever is less patient ends the process.
const (
	mostAnswer  = 10 << 10 // the kubelet's of a probe
	mostSilence = 60
)

// fetchMain speaks to somebody in the container's network namespace, which it was
// started in, and says on its standard output why that did not go well. The
// container's image needs no program for it. There is no net/http in it: that alone
// is twice this whole program.
func fetchMain(parent message.Conn) int {
	var f message.Fetch
	_, err := parent.Expect(message.FetchConfig, &f)
	if err == nil {
		err = fetch(&f)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func fetch(f *message.Fetch) error {
	var to unix.Sockaddr
	family := unix.AF_INET
	switch len(f.IP) {
	case 4:
		to = &unix.SockaddrInet4{Port: f.Port, Addr: [4]byte(f.IP)}
	case 16:
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Port: f.Port, Addr: [16]byte(f.IP)}
	default:
		return errors.New("no address")
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	conn := os.NewFile(uintptr(fd), "connection")
	defer conn.Close()
	limit := unix.Timeval{Sec: mostSilence}
	for _, option := range []int{unix.SO_SNDTIMEO, unix.SO_RCVTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &limit); err != nil {
			return fmt.Errorf("socket: %w", err)
		}
	}
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Connect(fd, to)
	}
	if err != nil {
		return fmt.Errorf("connect to port %d: %w", f.Port, err)
	}
	if len(f.Request) == 0 {
		return nil
	}
	if _, err := conn.Write(f.Request); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	answer, err := io.ReadAll(io.LimitReader(conn, mostAnswer))
	status, ok := statusOf(answer)
	switch {
	case ok && (f.AnyStatus || status >= 200 && status < 400):
		return nil
	case ok:
		return fmt.Errorf("HTTP status %d", status)
	case err != nil:
		return fmt.Errorf("read answer: %w", err)
	}
	return errors.New("what answered does not speak HTTP")
}

// statusOf is that of an answer's first line (RFC 9112, section 4).
func statusOf(answer []byte) (int, bool) {
	line, _, _ := bytes.Cut(answer, []byte("\r\n"))
	version, rest, ok := bytes.Cut(line, []byte(" "))
	code, _, _ := bytes.Cut(rest, []byte(" "))
	if !ok || !bytes.HasPrefix(version, []byte("HTTP/1.")) || len(code) != 3 {
		return 0, false
	}
	n, err := strconv.Atoi(string(code))
	return n, err == nil && n >= 100
}
