package usernet

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// idle is how long a flow without a packet is remembered: docker's.
	idle = 90 * time.Second
	// maxFlows bounds what containers can make us remember.
	maxFlows = 8192
)

// buffers for one packet each, lent out only while there is one.
var buffers = sync.Pool{New: func() any { b := make([]byte, 1<<16); return &b }}

// datagrams is one UDP flow: a socket outside, connected.
type datagrams struct{ conn *net.UDPConn }

func (n *Net) udpPacket(p *packet, dst netip.Addr) {
	flow, ok := p.ports(8)
	if !ok || p.dst.IsMulticast() {
		return
	}
	n.mu.Lock()
	d := n.datagram[flow]
	if d == nil && len(n.datagram) < maxFlows {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(dst, flow.dst.Port())))
		if err != nil {
			n.mu.Unlock()
			n.write(unreachable(p, noHost))
			return
		}
		d = &datagrams{conn}
		n.datagram[flow] = d
		quote := packet{raw: append([]byte(nil), p.raw[:min(len(p.raw), 64)]...), src: p.src, dst: p.dst, proto: p.proto}
		go n.udpAnswers(flow, d, &quote)
	}
	n.mu.Unlock()
	if d == nil {
		return
	}
	_ = d.conn.SetReadDeadline(time.Now().Add(idle))
	_, _ = d.conn.Write(p.body[8:]) // a refusal comes back with the answers
}

func (n *Net) udpAnswers(flow pair, d *datagrams, quote *packet) {
	for {
		err := Receive(d.conn, func(data []byte) { n.write(udp(flow.dst, flow.src, data)) })
		if errors.Is(err, unix.ECONNREFUSED) {
			n.write(unreachable(quote, noPort))
			continue
		}
		if err != nil {
			break
		}
		_ = d.conn.SetReadDeadline(time.Now().Add(idle))
	}
	n.mu.Lock()
	delete(n.datagram, flow)
	n.mu.Unlock()
	d.conn.Close()
}

// Receive waits for one datagram and shows it to f. It holds a buffer only while
// there is something in it.
func Receive(conn syscall.Conn, f func(data []byte)) error {
	return ReceiveFrom(conn, func(data []byte, _ netip.AddrPort) { f(data) })
}

// ReceiveFrom is Receive that also tells f who sent it, IPv4 as IPv4.
func ReceiveFrom(conn syscall.Conn, f func(data []byte, from netip.AddrPort)) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		buf := buffers.Get().(*[]byte)
		defer buffers.Put(buf)
		n, from, err := unix.Recvfrom(int(fd), *buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return false
		}
		if failed = err; err == nil {
			f((*buf)[:n], addrOf(from))
		}
		return true
	})
	return errors.Join(err, failed)
}

func addrOf(s unix.Sockaddr) netip.AddrPort {
	switch s := s.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		a := netip.AddrFrom16(s.Addr).Unmap()
		if s.ZoneId != 0 {
			a = a.WithZone(strconv.Itoa(int(s.ZoneId)))
		}
		return netip.AddrPortFrom(a, uint16(s.Port))
	}
	return netip.AddrPort{}
}
