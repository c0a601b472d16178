// Package network_test tells, as a user's shell sessions would, how containers
// reach the world, each other, and are reached.
package network_test

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"skiff/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// say sends words to an address from this machine and returns the answer.
func say(t *testing.T, proto, addr, words string) string {
	t.Helper()
	answer, err := trySay(proto, addr, words)
	if err != nil {
		t.Errorf("%s %s: %v", proto, addr, err)
	}
	return answer
}

func trySay(proto, addr, words string) (string, error) {
	conn, err := net.DialTimeout(proto, addr, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, words); err != nil {
		return "", err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		if err := tcp.CloseWrite(); err != nil {
			return "", err
		}
		answer, err := io.ReadAll(conn)
		return string(answer), err
	}
	buf := make([]byte, 1<<16)
	n, err := conn.Read(buf)
	return string(buf[:n]), err
}

// server starts a container that answers on ports, and returns when it does.
func server(s *harness.Session, image, name string, flags, ports []string) {
	s.T.Helper()
	args := append([]string{"run", "-d", "--name", name}, flags...)
	s.OK(append(append(args, image, "serve"), ports...)...)
	s.Eventually(name+" serves", func() bool { return strings.Contains(s.Skiff("logs", name).Stdout, "serving") })
}

// freePort is a port of this machine that nobody has at this moment.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// published is the port of this machine that a port of a container is on.
func published(s *harness.Session, name, port string) int {
	s.T.Helper()
	line, _, _ := strings.Cut(s.OK("port", name, port), "\n")
	_, text, err := net.SplitHostPort(line)
	if err != nil {
		s.T.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		s.T.Fatal(err)
	}
	return n
}

// machine is an address of this machine that is not its loopback's, and a way
// to it from everywhere.
func machine(t *testing.T) string {
	t.Helper()
	conn, err := net.Dial("udp4", "192.0.2.1:9") // nothing is sent
	if err != nil {
		t.Skip("needs an address besides the loopback interface's: ", err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).IP.String()
}

// listen answers on this machine, TCP and UDP on one port, and returns the port.
func listen(t *testing.T, ip string) int {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	p, err := net.ListenPacket("udp", net.JoinHostPort(ip, strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); p.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				said, _ := io.ReadAll(conn)
				fmt.Fprintf(conn, "heard %s", said)
				conn.Close()
			}()
		}
	}()
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = p.WriteTo(fmt.Appendf(nil, "heard %s", buf[:n]), from)
		}
	}()
	return port
}
