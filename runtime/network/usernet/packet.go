package usernet

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// packet is an IP packet with what we need of its header. It aliases the bytes
// that it was parsed from.
type packet struct {
	raw      []byte
	src, dst netip.Addr
	proto    byte
	body     []byte // behind the IP header
}

const (
	header4 = 20
	header6 = 40
)

// parse reads an IPv4 or IPv6 packet that is no fragment: the kernel puts those
// together before it routes them here. IPv6 extension headers are not followed.
func parse(b []byte) (p packet, ok bool) {
	if len(b) < header4 {
		return p, false
	}
	p.raw = b
	switch b[0] >> 4 {
	case 4:
		length, size := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if length < header4 || size < length || size > len(b) || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
			return p, false
		}
		p.src, p.dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		p.proto, p.raw, p.body = b[9], b[:size], b[length:size]
	case 6:
		if len(b) < header6 {
			return p, false
		}
		size := header6 + int(binary.BigEndian.Uint16(b[4:]))
		if size > len(b) {
			return p, false
		}
		p.src, p.dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		p.proto, p.raw, p.body = b[6], b[:size], b[header6:size]
	default:
		return p, false
	}
	return p, true
}

// ports reads the flow of a TCP or UDP packet whose header has at least n bytes.
func (p *packet) ports(n int) (pair, bool) {
	if len(p.body) < n {
		return pair{}, false
	}
	return pair{
		netip.AddrPortFrom(p.src, binary.BigEndian.Uint16(p.body)),
		netip.AddrPortFrom(p.dst, binary.BigEndian.Uint16(p.body[2:])),
	}, true
}

// newPacket returns a packet with an IP header and room for size bytes behind
// it, which begin at body.
func newPacket(src, dst netip.Addr, proto byte, size int) (raw, body []byte) {
	if src.Is4() {
		raw = make([]byte, header4+size)
		raw[0], raw[8], raw[9] = 0x45, 64, proto
		binary.BigEndian.PutUint16(raw[2:], uint16(len(raw)))
		copy(raw[12:], src.AsSlice())
		copy(raw[16:], dst.AsSlice())
		binary.BigEndian.PutUint16(raw[10:], checksum(raw[:header4], 0))
		return raw, raw[header4:]
	}
	raw = make([]byte, header6+size)
	raw[0], raw[6], raw[7] = 0x60, proto, 64
	binary.BigEndian.PutUint16(raw[4:], uint16(size))
	copy(raw[8:], src.AsSlice())
	copy(raw[24:], dst.AsSlice())
	return raw, raw[header6:]
}

// checksum is the Internet's (RFC 1071) over b, continued from sum.
func checksum(b []byte, sum uint32) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
		if sum >= 1<<31 {
			sum = sum&0xffff + sum>>16
		}
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// pseudo is the sum of the header that TCP, UDP and ICMPv6 count in (RFC 9293,
// 3.1; RFC 8200, 8.1).
func pseudo(src, dst netip.Addr, proto byte, size int) uint32 {
	var sum uint32
	for _, a := range [...]netip.Addr{src, dst} {
		b := a.AsSlice()
		for i := 0; i < len(b); i += 2 {
			sum += uint32(b[i])<<8 | uint32(b[i+1])
		}
	}
	return sum + uint32(proto) + uint32(size)
}

const (
	tcpHeader = 20
	tcpFIN    = 1
	tcpSYN    = 2
	tcpRST    = 4
	tcpACK    = 16
)

// reset refuses the TCP packet p (RFC 9293, 3.5.2).
func reset(p *packet) []byte {
	flags := p.body[13]
	if flags&tcpRST != 0 {
		return nil
	}
	raw, b := newPacket(p.dst, p.src, unix.IPPROTO_TCP, tcpHeader)
	copy(b[0:2], p.body[2:4])
	copy(b[2:4], p.body[0:2])
	b[12], b[13] = 5<<4, tcpRST
	if flags&tcpACK != 0 {
		copy(b[4:8], p.body[8:12])
	} else {
		length := uint32(len(p.body) - int(p.body[12]>>4)*4)
		if flags&tcpSYN != 0 {
			length++
		}
		if flags&tcpFIN != 0 {
			length++
		}
		b[13] |= tcpACK
		binary.BigEndian.PutUint32(b[8:], binary.BigEndian.Uint32(p.body[4:])+length)
	}
	binary.BigEndian.PutUint16(b[16:], checksum(b, pseudo(p.dst, p.src, unix.IPPROTO_TCP, tcpHeader)))
	return raw
}

// reason is why something cannot be reached: the code of an ICMP message, IPv4's
// and IPv6's (RFC 792, RFC 4443 section 3.1).
type reason struct{ four, six byte }

var (
	noHost     = reason{1, 3}
	noPort     = reason{3, 4}
	prohibited = reason{13, 1}
)

// unreachable answers p with an ICMP message.
func unreachable(p *packet, why reason) []byte {
	if p.proto == unix.IPPROTO_ICMPV6 || p.dst.IsMulticast() {
		return nil
	}
	quote := p.raw[:min(len(p.raw), 548)]
	proto, kind, code := byte(unix.IPPROTO_ICMP), byte(3), why.four
	if p.dst.Is6() {
		proto, kind, code = unix.IPPROTO_ICMPV6, 1, why.six
	}
	raw, b := newPacket(p.dst, p.src, proto, 8+len(quote))
	b[0], b[1] = kind, code
	copy(b[8:], quote)
	var sum uint32
	if p.dst.Is6() {
		sum = pseudo(p.dst, p.src, proto, len(b))
	}
	binary.BigEndian.PutUint16(b[2:], checksum(b, sum))
	return raw
}

// udp makes a UDP packet.
func udp(from, to netip.AddrPort, data []byte) []byte {
	raw, b := newPacket(from.Addr(), to.Addr(), unix.IPPROTO_UDP, 8+len(data))
	binary.BigEndian.PutUint16(b, from.Port())
	binary.BigEndian.PutUint16(b[2:], to.Port())
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	copy(b[8:], data)
	sum := checksum(b, pseudo(from.Addr(), to.Addr(), unix.IPPROTO_UDP, len(b)))
	if sum == 0 {
		sum = 0xffff // 0 would mean: none (RFC 768)
	}
	binary.BigEndian.PutUint16(b[6:], sum)
	return raw
}
