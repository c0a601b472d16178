package usernet

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

var (
	four = [2]netip.Addr{netip.MustParseAddr("172.17.0.2"), netip.MustParseAddr("192.0.2.1")}
	six  = [2]netip.Addr{netip.MustParseAddr("fd77::2"), netip.MustParseAddr("2001:db8::1")}
)

// right reports whether a checksum over b and its pseudo header is right: the
// sum with the checksum in place is all ones (RFC 1071).
func right(p *packet) bool {
	return checksum(p.body, pseudo(p.src, p.dst, p.proto, len(p.body))) == 0
}

func TestUDP_IsReadBack(t *testing.T) {
	for _, a := range [][2]netip.Addr{four, six} {
		for _, data := range []string{"", "odd", "even"} {
			from, to := netip.AddrPortFrom(a[0], 53), netip.AddrPortFrom(a[1], 40000)
			p, ok := parse(udp(from, to, []byte(data)))
			flow, isFlow := p.ports(8)
			if !ok || !isFlow || flow != (pair{from, to}) || string(p.body[8:]) != data || !right(&p) {
				t.Errorf("%s %q: got %+v, flow %v, sum right: %t", a[0], data, p, flow, right(&p))
			}
		}
	}
}

func TestReset_RefusesWhatWasSent(t *testing.T) {
	for _, c := range []struct {
		name      string
		flags     byte
		data      int
		wantFlags byte
		seq, ack  uint32
	}{
		{"a first packet", tcpSYN, 0, tcpRST | tcpACK, 0, 1001},
		{"data of a connection that is gone", tcpACK, 10, tcpRST, 7777, 0},
		{"an end without acknowledgement", tcpFIN, 3, tcpRST | tcpACK, 0, 1004},
	} {
		for _, a := range [][2]netip.Addr{four, six} {
			raw, b := newPacket(a[0], a[1], unix.IPPROTO_TCP, tcpHeader+c.data)
			binary.BigEndian.PutUint16(b, 40000)
			binary.BigEndian.PutUint16(b[2:], 80)
			binary.BigEndian.PutUint32(b[4:], 1000)
			binary.BigEndian.PutUint32(b[8:], 7777)
			b[12], b[13] = 5<<4, c.flags
			in, ok := parse(raw)
			if !ok {
				t.Fatalf("%s: not parsed", c.name)
			}
			p, ok := parse(reset(&in))
			if !ok || p.src != a[1] || p.dst != a[0] || !right(&p) {
				t.Fatalf("%s: got %+v", c.name, p)
			}
			seq, ack := binary.BigEndian.Uint32(p.body[4:]), binary.BigEndian.Uint32(p.body[8:])
			if p.body[13] != c.wantFlags || seq != c.seq || ack != c.ack {
				t.Errorf("%s: flags %x, sequence %d, acknowledgement %d, want %x, %d, %d", c.name, p.body[13], seq, ack, c.wantFlags, c.seq, c.ack)
			}
		}
	}
	raw, b := newPacket(four[0], four[1], unix.IPPROTO_TCP, tcpHeader)
	b[12], b[13] = 5<<4, tcpRST
	if p, _ := parse(raw); reset(&p) != nil {
		t.Error("a reset is answered with a reset")
	}
}

func TestUnreachable_QuotesThePacket(t *testing.T) {
	in, _ := parse(udp(netip.AddrPortFrom(four[0], 1), netip.AddrPortFrom(four[1], 2), []byte("x")))
	p, ok := parse(unreachable(&in, noPort))
	if !ok || p.proto != unix.IPPROTO_ICMP || p.body[0] != 3 || p.body[1] != 3 || string(p.body[8:]) != string(in.raw) || checksum(p.body, 0) != 0 {
		t.Errorf("IPv4: got %+v", p)
	}
	in, _ = parse(udp(netip.AddrPortFrom(six[0], 1), netip.AddrPortFrom(six[1], 2), []byte("x")))
	p, ok = parse(unreachable(&in, noPort))
	if !ok || p.proto != unix.IPPROTO_ICMPV6 || p.body[0] != 1 || p.body[1] != 4 || !right(&p) {
		t.Errorf("IPv6: got %+v", p)
	}
}

func TestParse_RefusesWhatIsNoPacket(t *testing.T) {
	good := udp(netip.AddrPortFrom(four[0], 1), netip.AddrPortFrom(four[1], 2), []byte("x"))
	change := func(at int, to byte) []byte {
		b := append([]byte(nil), good...)
		b[at] = to
		return b
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "half a header": good[:10], "another version": change(0, 0x55), "a header that is too long": change(0, 0x4f),
		"a length beyond the end": change(3, 200), "a fragment": change(7, 1), "a first fragment": change(6, 0x20),
	} {
		if p, ok := parse(b); ok && name != "a header that is too long" || ok && len(p.body) > len(b) {
			t.Errorf("%s: parsed as %+v", name, p)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(udp(netip.AddrPortFrom(four[0], 1), netip.AddrPortFrom(four[1], 2), []byte("x")))
	f.Add(udp(netip.AddrPortFrom(six[0], 1), netip.AddrPortFrom(six[1], 2), []byte("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := parse(b)
		if !ok {
			return
		}
		if len(p.raw) > len(b) || len(p.body) > len(p.raw) {
			t.Errorf("longer than what came: %+v", p)
		}
		if _, ok := p.ports(tcpHeader); ok {
			reset(&p)
		}
		unreachable(&p, noHost)
		echoReply(pair{netip.AddrPortFrom(p.src, 1), netip.AddrPortFrom(p.dst, 0)}, p.body)
	})
}
