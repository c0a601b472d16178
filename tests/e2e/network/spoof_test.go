package network_test

import (
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// ethernet puts a header before a payload: to, from, type.
func ethernet(to, from net.HardwareAddr, kind uint16, payload []byte) string {
	frame := append(append([]byte{}, to...), from...)
	frame = append(binary.BigEndian.AppendUint16(frame, kind), payload...)
	for len(frame) < 60 { // the shortest frame
		frame = append(frame, 0)
	}
	return hex.EncodeToString(frame)
}

// arpReply says that an address is at a hardware address (RFC 826).
func arpReply(who net.HardwareAddr, is netip.Addr, to net.HardwareAddr, at netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, 2}
	b = append(append(b, who...), is.AsSlice()...)
	return append(append(b, to...), at.AsSlice()...)
}

// icmp6 is a message with hop limit 255 and a checksum (RFC 4443, 2.3).
func icmp6(from, to netip.Addr, body []byte) []byte {
	sum := uint32(len(body)) + 58
	add := func(b []byte) {
		for i := 0; i+1 < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
	}
	add(from.AsSlice())
	add(to.AsSlice())
	add(body)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(body[2:], ^uint16(sum))
	b := []byte{0x60, 0, 0, 0, 0, byte(len(body)), 58, 255}
	return append(append(append(b, from.AsSlice()...), to.AsSlice()...), body...)
}

// advertisement says that a neighbour's address is at a hardware address (RFC
// 4861, 4.4), and wants to be believed.
func advertisement(from, to, target netip.Addr, at net.HardwareAddr) []byte {
	body := append([]byte{136, 0, 0, 0, 0x60, 0, 0, 0}, target.AsSlice()...)
	return icmp6(from, to, append(append(body, 2, 1), at...))
}

// datagram is UDP over IPv4 with a header checksum and none of its own (RFC 768).
func datagram(from, to netip.AddrPort, words string) []byte {
	b := []byte{0x45, 0, 0, byte(28 + len(words)), 0, 0, 0, 0, 64, 17, 0, 0}
	b = append(append(b, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum+sum>>16))
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(words)))
	return append(append(b, 0, 0), words...)
}

// tools loads an image with busybox and the payload.
func tools(s *harness.Session) string {
	s.T.Helper()
	program, err := os.ReadFile(harness.Payload(s.T))
	if err != nil {
		s.T.Fatal(err)
	}
	return s.Load(harness.Image{
		Name:   "tools:latest",
		Layers: []harness.Layer{harness.Busybox(s.T), {harness.Program("payload", string(program))}},
		Config: map[string]any{"Env": []string{"PATH=/bin"}},
	})
}

// Nobody answers in the resolver's place: a datagram that says to be from the
// gateway, or from anybody else, and comes from a neighbour does not arrive.
func TestNetwork_NobodyAnswersForTheResolver(t *testing.T) {
	s := harness.New(t)
	img := tools(s)
	s.OK("network", "create", "--subnet", "10.77.8.0/24", "lan")
	mac := func(last byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, last} }
	four := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 8, n}) }
	for i, name := range []string{"victim", "thief"} {
		n := byte(i + 2)
		s.OK("run", "-d", "--name", name, "--network", "lan", "--mac-address", mac(n).String(), "--ip", four(n).String(), img, "/payload", "hear", ":4353")
	}
	to := netip.AddrPortFrom(four(2), 4353)
	gateway := net.HardwareAddr{}
	s.Skiff("exec", "thief", "ping", "-c1", "-W3", four(1).String()).Exits(0)
	for _, word := range strings.Fields(s.OK("exec", "thief", "ip", "neigh", "show", four(1).String())) {
		if a, err := net.ParseMAC(word); err == nil {
			gateway = a
		}
	}
	if len(gateway) == 0 {
		t.Fatal("the gateway has no hardware address")
	}
	frames := []string{"/payload", "frame", "eth0"}
	for _, as := range []struct {
		from net.HardwareAddr
		addr netip.Addr
	}{
		{mac(3), four(1)}, {gateway, four(1)}, {mac(3), four(9)}, {mac(3), netip.MustParseAddr("127.0.0.11")}, {mac(3), netip.MustParseAddr("9.9.9.9")},
	} {
		frames = append(frames, ethernet(mac(2), as.from, 0x0800, datagram(netip.AddrPortFrom(as.addr, 53), to, "forged")))
	}
	// The same by the same way under its own address arrives, or none of it proves a thing.
	frames = append(frames, ethernet(mac(2), mac(3), 0x0800, datagram(netip.AddrPortFrom(four(3), 53), to, "honest")))
	s.OK(append([]string{"exec", "thief"}, frames...)...)
	s.Eventually("what was honest to arrive", func() bool { return strings.Contains(s.OK("logs", "victim"), "honest") })
	if heard := s.OK("logs", "victim"); strings.Contains(heard, "forged") {
		t.Errorf("the victim heard\n%s", heard)
	}
	s.OK("rm", "-f", "victim", "thief")
}

// A container with the right to send raw frames, as every one has, does not get
// what is for its neighbour.
func TestNetwork_RawFramesDoNotSpeakForAnother(t *testing.T) {
	s := harness.New(t)
	img := tools(s)
	s.OK("network", "create", "--ipv6", "--subnet", "10.77.9.0/24", "--subnet", "fd79::/64", "lan")
	mac := func(last byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, last} }
	for i, name := range []string{"victim", "thief", "witness"} {
		n := byte(i + 2)
		s.OK("run", "-d", "--name", name, "--network", "lan", "--mac-address", mac(n).String(),
			"--ip", netip.AddrFrom4([4]byte{10, 77, 9, n}).String(), "--ip6", netip.AddrFrom16([16]byte{0xfd, 0x79, 15: n}).String(), img, "sleep", "1000")
	}
	four := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 9, n}) }
	six := func(n byte) netip.Addr { return netip.AddrFrom16([16]byte{0xfd, 0x79, 15: n}) }
	all := net.HardwareAddr{255, 255, 255, 255, 255, 255}
	ping := func(name, addr string) *harness.Result {
		t.Helper()
		return s.Skiff("exec", name, "ping", "-c1", "-W3", addr)
	}
	neighbour := func(addr netip.Addr) string {
		t.Helper()
		return s.OK("exec", "witness", "ip", "neigh", "show", addr.String())
	}
	for _, n := range []byte{2, 3} {
		ping("witness", four(n).String()).Exits(0)
		ping("witness", six(n).String()).Exits(0)
	}
	own := netip.MustParseAddr("fe80::ff:fe00:3")
	router := append([]byte{134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}, append([]byte{1, 1}, mac(3)...)...)
	for name, frame := range map[string]string{
		"ARP":                     ethernet(mac(4), mac(3), 0x0806, arpReply(mac(3), four(2), mac(4), four(4))),
		"ARP for the gateway":     ethernet(all, mac(3), 0x0806, arpReply(mac(3), four(1), all, four(1))),
		"a neighbour's frame":     ethernet(all, mac(2), 0x88b5, []byte("x")),
		"IPv6 from its own":       ethernet(mac(4), mac(3), 0x86dd, advertisement(six(3), six(4), six(2), mac(3))),
		"IPv6 from a link's":      ethernet(mac(4), mac(3), 0x86dd, advertisement(own, six(4), six(2), mac(3))),
		"IPv6 for the gateway":    ethernet(mac(4), mac(3), 0x86dd, advertisement(own, six(4), six(1), mac(3))),
		"a router":                ethernet(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, mac(3), 0x86dd, icmp6(own, netip.MustParseAddr("ff02::1"), router)),
		"a neighbour's IPv6":      ethernet(mac(4), mac(3), 0x86dd, advertisement(six(2), six(4), six(2), mac(3))),
		"a neighbour's all of it": ethernet(mac(4), mac(2), 0x86dd, advertisement(six(2), six(4), six(2), mac(3))),
	} {
		t.Run(name, func(t *testing.T) {
			s := s.In(t)
			s.OK("exec", "thief", "/payload", "frame", "eth0", frame, frame)
			// The thief goes on speaking for itself: what it said before has arrived.
			s.Skiff("exec", "thief", "ping", "-c1", "-W3", four(4).String()).Exits(0)
			for _, addr := range []netip.Addr{four(2), six(2)} {
				s.Skiff("exec", "witness", "ping", "-c1", "-W3", addr.String()).Exits(0)
				if line := neighbour(addr); !strings.Contains(line, mac(2).String()) {
					t.Errorf("the neighbour %s is at %q, want %s", addr, line, mac(2))
				}
			}
			for _, addr := range []netip.Addr{four(1), six(1)} {
				if line := neighbour(addr); strings.Contains(line, mac(3).String()) {
					t.Errorf("the gateway %s is at %q, the thief's", addr, line)
				}
			}
			if routes := s.OK("exec", "witness", "ip", "-6", "route", "show", "default"); strings.Contains(routes, "fe80") {
				t.Errorf("the thief is a router:\n%s", routes)
			}
		})
	}
	// Names are told by the network: a hostname of one's own choice is none.
	s.Skiff("exec", "thief", "nslookup", "victim", "127.0.0.11").Says(four(2).String())
	s.OK("rm", "-f", "victim", "thief", "witness")
}
