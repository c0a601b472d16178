package usernet

import (
	"encoding/binary"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// echoes is one flow of ICMP echo requests: a socket of the kind that
// net.ipv4.ping_group_range permits (icmp(7)).
type echoes struct{ file *os.File }

const (
	echoRequest4 = 8
	echoRequest6 = 128
)

func (n *Net) echoPacket(p *packet, dst netip.Addr) {
	b := p.body
	if len(b) < 8 || p.dst.Is4() && b[0] != echoRequest4 || p.dst.Is6() && b[0] != echoRequest6 {
		return
	}
	id := binary.BigEndian.Uint16(b[4:])
	flow := pair{netip.AddrPortFrom(p.src, id), netip.AddrPortFrom(p.dst, 0)}
	n.mu.Lock()
	e := n.echo[flow]
	if e == nil && len(n.echo) < maxFlows {
		file, err := ping(dst)
		if err != nil {
			n.mu.Unlock()
			n.write(unreachable(p, prohibited))
			return
		}
		e = &echoes{file}
		n.echo[flow] = e
		go n.echoAnswers(flow, e)
	}
	n.mu.Unlock()
	if e == nil {
		return
	}
	_ = e.file.SetReadDeadline(time.Now().Add(idle))
	_, _ = e.file.Write(b) // the kernel puts its own id and checksum in
}

// ping opens a socket for echo requests to one address.
func ping(dst netip.Addr) (*os.File, error) {
	family, proto := unix.AF_INET, unix.IPPROTO_ICMP
	var to unix.Sockaddr = &unix.SockaddrInet4{Addr: as4(dst)}
	if dst.Is6() {
		family, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
		to = &unix.SockaddrInet6{Addr: dst.As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, to); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "ping"), nil
}

func (n *Net) echoAnswers(flow pair, e *echoes) {
	for Receive(e.file, func(data []byte) { n.write(echoReply(flow, data)) }) == nil {
		_ = e.file.SetReadDeadline(time.Now().Add(idle))
	}
	n.mu.Lock()
	delete(n.echo, flow)
	n.mu.Unlock()
	e.file.Close()
}

// echoReply makes the container's answer of the one that the kernel gave us,
// with the container's id.
func echoReply(flow pair, data []byte) []byte {
	if len(data) < 8 {
		return nil
	}
	src, dst := flow.dst.Addr(), flow.src.Addr()
	proto, sum := byte(unix.IPPROTO_ICMP), uint32(0)
	if src.Is6() {
		proto = unix.IPPROTO_ICMPV6
		sum = pseudo(src, dst, proto, len(data))
	}
	raw, b := newPacket(src, dst, proto, len(data))
	copy(b, data)
	binary.BigEndian.PutUint16(b[4:], flow.src.Port())
	b[2], b[3] = 0, 0
	binary.BigEndian.PutUint16(b[2:], checksum(b, sum))
	return raw
}

func as4(a netip.Addr) [4]byte {
	if a = a.Unmap(); a.Is4() {
		return a.As4()
	}
	return [4]byte{}
}
