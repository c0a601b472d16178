package usernet

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// dialPatience is the kernel's own for a connection (tcp_syn_retries).
	dialPatience = 130 * time.Second
	// acceptPatience bounds how long a connection may wait for the container's
	// side, which asked for it and is a few microseconds away.
	acceptPatience = 10 * time.Second
)

// Transparent lets a socket use addresses that are not this machine's.
func Transparent(fd int, six bool) error {
	if six {
		return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1)
}

// listen opens the transparent listeners, both on one port of the loopback
// interface, where nothing but TPROXY reaches them. six is nil without IPv6.
func (n *Net) listen() (four, six net.Listener, err error) {
	open := func(network, address string, v6 bool) (net.Listener, error) {
		c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
			var err error
			return errors.Join(raw.Control(func(fd uintptr) { err = Transparent(int(fd), v6) }), err)
		}}
		return c.Listen(context.Background(), network, address)
	}
	if four, err = open("tcp4", "127.0.0.1:0", false); err != nil {
		return nil, nil, err
	}
	n.Port = uint16(four.Addr().(*net.TCPAddr).Port)
	// Without IPv6 there is nothing to wait for.
	six, err = open("tcp6", "[::1]:"+strconv.Itoa(int(n.Port)), true)
	if err != nil {
		six = nil
	}
	return four, six, nil
}

// tcpPacket handles a packet of a connection that the kernel has no socket for.
func (n *Net) tcpPacket(p *packet, dst netip.Addr) {
	flow, ok := p.ports(tcpHeader)
	if !ok {
		return
	}
	if p.body[13]&(tcpSYN|tcpACK|tcpRST|tcpFIN) != tcpSYN {
		n.write(reset(p)) // of a connection that died with a process before us
		return
	}
	n.mu.Lock()
	waiting := n.dialing[flow]
	n.dialing[flow] = true
	n.mu.Unlock()
	if waiting {
		return // said again, because we take long
	}
	first := packet{raw: bytes.Clone(p.raw), src: p.src, dst: p.dst, proto: p.proto}
	first.body = first.raw[len(p.raw)-len(p.body):]
	go n.dial(flow, netip.AddrPortFrom(dst, flow.dst.Port()), &first)
}

// dial connects outside, and lets the kernel have the first packet then.
func (n *Net) dial(flow pair, to netip.AddrPort, first *packet) {
	d := net.Dialer{Timeout: dialPatience, KeepAlive: -1}
	conn, err := d.Dial("tcp", to.String())
	if err != nil {
		n.mu.Lock()
		delete(n.dialing, flow)
		n.mu.Unlock()
		switch {
		case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ECONNRESET):
			n.write(reset(first))
		default:
			n.write(unreachable(first, noHost))
		}
		return
	}
	n.mu.Lock()
	n.tcp[flow] = conn.(*net.TCPConn)
	n.mu.Unlock()
	n.write(first.raw)
	time.AfterFunc(acceptPatience, func() {
		if conn := n.take(flow); conn != nil {
			conn.Close()
		}
	})
}

// take returns the connection outside that belongs to a flow, once.
func (n *Net) take(flow pair) *net.TCPConn {
	n.mu.Lock()
	defer n.mu.Unlock()
	conn := n.tcp[flow]
	delete(n.tcp, flow)
	delete(n.dialing, flow)
	return conn
}

// accept joins the container's connections to those outside.
func (n *Net) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors
			continue
		}
		inside := conn.(*net.TCPConn)
		flow := pair{addrPort(inside.RemoteAddr()), addrPort(inside.LocalAddr())}
		outside := n.take(flow)
		if outside == nil {
			inside.Close() // nobody asked us for this one
			continue
		}
		go Join(inside, outside)
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Join copies between two connections until both directions have ended, each
// end passed on, and closes them. The kernel moves the bytes (splice(2)).
func Join(a, b *net.TCPConn) {
	done := make(chan struct{})
	go func() {
		pump(a, b)
		close(done)
	}()
	pump(b, a)
	<-done
	a.Close()
	b.Close()
}

func pump(to, from *net.TCPConn) {
	if _, err := to.ReadFrom(from); err != nil {
		// Broken rather than ended: the other side shall see that.
		_ = to.SetLinger(0)
		_ = from.SetLinger(0)
		to.Close()
		from.Close()
		return
	}
	_ = to.CloseWrite()
	_ = from.CloseRead()
}
