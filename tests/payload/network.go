package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strings"
	"time"
)

// serve answers on addresses like tcp:80 and udp::53 with the address of who
// asked and what it said, until it is ended.
func serve(args []string) error {
	failed := make(chan error, len(args))
	for _, a := range args {
		proto, addr, ok := strings.Cut(a, ":")
		if !ok {
			return errors.New("usage: serve PROTO:ADDRESS...")
		}
		if !strings.Contains(addr, ":") {
			addr = ":" + addr
		}
		if proto == "udp" {
			conn, err := net.ListenPacket(proto, addr)
			if err != nil {
				return err
			}
			go func() {
				buf := make([]byte, 1<<16)
				for {
					n, from, err := conn.ReadFrom(buf)
					if err != nil {
						failed <- err
						return
					}
					_, _ = conn.WriteTo(fmt.Appendf(nil, "%s said %s", from, buf[:n]), from)
				}
			}()
			continue
		}
		l, err := net.Listen(proto, addr)
		if err != nil {
			return err
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					failed <- err
					return
				}
				go func() {
					defer conn.Close()
					said, _ := io.ReadAll(conn)
					fmt.Fprintf(conn, "%s said %s", conn.RemoteAddr(), said)
				}()
			}
		}()
	}
	fmt.Println("serving")
	return <-failed
}

// notify tells the service manager at NOTIFY_SOCKET words, one a line.
func notify(args []string) error {
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = fmt.Fprint(conn, strings.Join(args, "\n"))
	return err
}

// say sends words to PROTO ADDRESS and prints the answer.
func say(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: say PROTO ADDRESS [WORD...]")
	}
	conn, err := net.DialTimeout(args[0], args[1], 3*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := fmt.Fprint(conn, strings.Join(args[2:], " ")); err != nil {
		return err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		if err := tcp.CloseWrite(); err != nil {
			return err
		}
		answer, err := io.ReadAll(conn)
		if err != nil {
			return err
		}
		return printed(string(answer))
	}
	buf := make([]byte, 1<<16)
	n, err := conn.Read(buf)
	if err != nil {
		return err
	}
	return printed(string(buf[:n]))
}

// lookup prints the addresses of names, each name's sorted on a line.
func lookup(names []string) error {
	for _, name := range names {
		addrs, err := net.LookupHost(name)
		if err != nil {
			return err
		}
		sort.Strings(addrs)
		if err := printed(strings.Join(addrs, " ")); err != nil {
			return err
		}
	}
	return nil
}
