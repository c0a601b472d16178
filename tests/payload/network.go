package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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
		if proto == "fd" {
			if err := serveGiven(strings.TrimPrefix(addr, ":"), failed); err != nil {
				return err
			}
			continue
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
		go accept(l, failed)
	}
	fmt.Println("serving")
	return <-failed
}

// hear prints each datagram that comes to an address, with who sent it, and answers
// it: hear ADDRESS.
func hear(args []string) error {
	conn, err := net.ListenPacket("udp", args[0])
	if err != nil {
		return err
	}
	fmt.Println("hearing")
	buf := make([]byte, 1<<16)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		fmt.Printf("%s said %s\n", from, buf[:n])
		_, _ = conn.WriteTo([]byte("heard"), from)
	}
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

func accept(l net.Listener, failed chan<- error) {
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
}

// serveGiven serves a listening socket that we were started with, if it is ours
// by sd_listen_fds(3).
func serveGiven(number string, failed chan<- error) error {
	fd, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || fd < 3 || fd >= 3+n {
		return fmt.Errorf("descriptor %d is not for pid %d: LISTEN_PID=%s LISTEN_FDS=%s", fd, os.Getpid(), os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"))
	}
	l, err := net.FileListener(os.NewFile(uintptr(fd), "given"))
	if err != nil {
		return err
	}
	go accept(l, failed)
	return nil
}

// activate listens on an address and becomes PROGRAM, as a service manager would
// start it: activate ADDRESS NAME PROGRAM [ARG...].
func activate(args []string) error {
	if len(args) < 3 {
		return errors.New("usage: activate ADDRESS NAME PROGRAM [ARG...]")
	}
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	if err := unix.Dup2(int(f.Fd()), 3); err != nil {
		return err
	}
	path, err := exec.LookPath(args[2])
	if err != nil {
		return err
	}
	env := append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES="+args[1], fmt.Sprintf("LISTEN_PID=%d", os.Getpid()))
	return unix.Exec(path, args[2:], env)
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

// lookups asks for a name many times and prints the median of what that took:
// lookups COUNT NAME.
func lookups(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: lookups COUNT NAME")
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 1 {
		return fmt.Errorf("%q is no count", args[0])
	}
	took := make([]time.Duration, n)
	for i := range took {
		begin := time.Now()
		if _, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip4", args[1]); err != nil {
			return err
		}
		took[i] = time.Since(begin)
	}
	slices.Sort(took)
	return printed(took[n/2].String())
}

// frame sends Ethernet frames, in hexadecimal, as they are: frame INTERFACE HEX...
func frame(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: frame INTERFACE HEX...")
	}
	ifi, err := net.InterfaceByName(args[0])
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		return err
	}
	for _, text := range args[1:] {
		data, err := hex.DecodeString(text)
		if err != nil {
			return err
		}
		if err := unix.Sendto(fd, data, 0, &unix.SockaddrLinklayer{Ifindex: ifi.Index}); err != nil {
			return err
		}
	}
	return nil
}

// echo gives every client on an address back what it says, as it says it.
func echo(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: echo ADDRESS")
	}
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	fmt.Println("serving")
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		}()
	}
}

// talk says a word to an echo now and then, for ever, on one connection, and
// prints each that comes back.
func talk(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: talk ADDRESS")
	}
	conn, err := net.DialTimeout("tcp", args[0], 5*time.Second)
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		word := fmt.Sprintln("word", n)
		if _, err := conn.Write([]byte(word)); err != nil {
			return err
		}
		back := make([]byte, len(word))
		if _, err := io.ReadFull(conn, back); err != nil {
			return err
		}
		fmt.Print(string(back))
		time.Sleep(20 * time.Millisecond)
	}
}

// segments prints how many bytes of a TCP stream over IPv4 leave an interface as one
// packet, 0 where the kernel does not say: segments INTERFACE.
func segments(args []string) error {
	link, err := net.InterfaceByName(args[0])
	if err != nil {
		return err
	}
	table, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return err
	}
	messages, err := syscall.ParseNetlinkMessage(table)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if m.Header.Type != unix.RTM_NEWLINK || int(binary.NativeEndian.Uint32(m.Data[4:])) != link.Index {
			continue
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return err
		}
		for _, a := range attributes {
			if a.Attr.Type == unix.IFLA_GSO_IPV4_MAX_SIZE {
				return printed(strconv.Itoa(int(binary.NativeEndian.Uint32(a.Value))))
			}
		}
	}
	return printed("0")
}

// send sends its standard input to an address and prints the answer.
func send(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: send ADDRESS")
	}
	conn, err := net.DialTimeout("tcp", args[0], time.Minute)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.Copy(conn, os.Stdin); err != nil {
		return err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, conn)
	return err
}
