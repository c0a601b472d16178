package hub

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"skiff/runtime/network/usernet"
	"skiff/storage/network"
)

// firewall is the rules of the namespace with the bridges: what is routed
// between which interfaces, what belongs to transparent sockets, and who may say
// which address. The sets are all that changes.
type firewall struct {
	conn *nftables.Conn
	// pairs are the interfaces that packets are routed between.
	pairs *nftables.Set
	// Interface, hardware address and address of each endpoint, IPv4 and IPv6;
	// nil where the kernel does not filter on bridges.
	owners4, owners6 *nftables.Set
	macs             *nftables.Set // interface and hardware address, nil likewise
	failed           error         // before the next flush
}

// Registers of four bytes (nf_tables.h); an interface's name takes four.
const (
	reg0 = unix.NFT_REG32_00
	reg4 = unix.NFT_REG32_00 + 4
	reg6 = unix.NFT_REG32_00 + 6
)

// newFirewall makes the rules anew. port is where transparent listeners wait.
func newFirewall(s *space, port uint16) (*firewall, error) {
	conn, err := openTables(s)
	if err != nil {
		return nil, err
	}
	f := &firewall{conn: conn}
	f.routed(port)
	if err := f.flush(); err != nil {
		return nil, fmt.Errorf("%w (the kernel needs CONFIG_NF_TABLES, NFT_TPROXY and NFT_SOCKET)", err)
	}
	f.bridged()
	if f.flush() != nil {
		f.owners4, f.owners6, f.macs = nil, nil, nil // no filtering on bridges in this kernel
	}
	return f, nil
}

// openTables opens a netlink socket in a namespace; see handle.
func openTables(s *space) (conn *nftables.Conn, err error) {
	err = s.do(func() (err error) {
		conn, err = nftables.New(nftables.AsLasting())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	return conn, nil
}

// table makes an empty table, whether there was one or not.
func (f *firewall) table(name string, family nftables.TableFamily) *nftables.Table {
	t := &nftables.Table{Name: name, Family: family}
	f.conn.AddTable(t)
	f.conn.DelTable(t)
	return f.conn.AddTable(t)
}

func (f *firewall) routed(port uint16) {
	t := f.table("skiff", nftables.TableFamilyINet)
	mangle := f.conn.AddChain(&nftables.Chain{
		Name: "prerouting", Table: t, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle,
	})
	mark := []expr.Any{
		&expr.Immediate{Register: unix.NFT_REG_1, Data: binaryutil.NativeEndian.PutUint32(usernet.Mark)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: unix.NFT_REG_1},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
	// A connection that package usernet hands back: its first packet.
	for _, way := range []struct {
		proto byte
		to    netip.Addr
	}{{unix.NFPROTO_IPV4, netip.AddrFrom4([4]byte{127, 0, 0, 1})}, {unix.NFPROTO_IPV6, netip.IPv6Loopback()}} {
		f.rule(t, mangle,
			when(expr.MetaKeyIIFNAME, ifname(usernet.Device)),
			when(expr.MetaKeyNFPROTO, []byte{way.proto}),
			when(expr.MetaKeyL4PROTO, []byte{unix.IPPROTO_TCP}),
			[]expr.Any{
				&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
				&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 1, Mask: []byte{0x16}, Xor: []byte{0}},
				&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{0x02}}, // SYN, not ACK, not RST
				&expr.Immediate{Register: unix.NFT_REG_1, Data: way.to.AsSlice()},
				&expr.Immediate{Register: unix.NFT_REG_2, Data: binaryutil.BigEndian.PutUint16(port)},
				&expr.TProxy{Family: way.proto, TableFamily: unix.NFPROTO_INET, RegAddr: unix.NFT_REG_1, RegPort: unix.NFT_REG_2},
			}, mark)
	}
	// What belongs to a transparent socket: those connections from then on, and
	// published ports, whose sockets have their clients' addresses.
	for _, proto := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		f.rule(t, mangle, when(expr.MetaKeyL4PROTO, []byte{proto}), []expr.Any{
			&expr.Socket{Key: expr.SocketKeyTransparent, Register: unix.NFT_REG_1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{1}},
		}, mark)
	}
	f.pairs = &nftables.Set{
		Table: t, Name: "pairs", Concatenation: true,
		KeyType: nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeIFName),
	}
	f.fail(f.conn.AddSet(f.pairs, nil))
	drop := nftables.ChainPolicyDrop
	forward := f.conn.AddChain(&nftables.Chain{
		Name: "forward", Table: t, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &drop,
	})
	f.rule(t, forward, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg0},
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg4},
		&expr.Lookup{SourceRegister: reg0, SetName: f.pairs.Name, SetID: f.pairs.ID},
		&expr.Verdict{Kind: expr.VerdictAccept},
	})
}

// bridged lets an endpoint say no other addresses than its own, in Ethernet, ARP,
// neighbour discovery and IP, and not say that it is a router.
func (f *firewall) bridged() {
	t := f.table("skiff", nftables.TableFamilyBridge)
	f.owners4 = &nftables.Set{
		Table: t, Name: "owners4", Concatenation: true,
		KeyType: nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeEtherAddr, nftables.TypeIPAddr),
	}
	f.owners6 = &nftables.Set{
		Table: t, Name: "owners6", Concatenation: true,
		KeyType: nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeEtherAddr, nftables.TypeIP6Addr),
	}
	f.macs = &nftables.Set{
		Table: t, Name: "macs", Concatenation: true,
		KeyType: nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeEtherAddr),
	}
	f.fail(f.conn.AddSet(f.macs, nil))
	f.fail(f.conn.AddSet(f.owners4, nil))
	f.fail(f.conn.AddSet(f.owners6, nil))
	chain := f.conn.AddChain(&nftables.Chain{
		Name: "prerouting", Table: t, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(-300),
	})
	guard := func(ethertype uint16, set *nftables.Set, hw *expr.Payload, addr *expr.Payload, except ...expr.Any) {
		hw.DestRegister, hw.Len = reg4, 6
		addr.DestRegister = reg6
		body := append(except,
			&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg0}, hw, addr,
			&expr.Lookup{SourceRegister: reg0, SetName: set.Name, SetID: set.ID, Invert: true},
			&expr.Verdict{Kind: expr.VerdictDrop})
		f.rule(t, chain, when(expr.MetaKeyPROTOCOL, binaryutil.BigEndian.PutUint16(ethertype)), body)
	}
	link := func(offset uint32) *expr.Payload {
		return &expr.Payload{Base: expr.PayloadBaseLLHeader, Offset: offset}
	}
	inside := func(offset, length uint32) *expr.Payload {
		return &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length}
	}
	// Nearly all frames are IPv4 of their owner's: one rule for those.
	ip := when(expr.MetaKeyPROTOCOL, binaryutil.BigEndian.PutUint16(unix.ETH_P_IP))
	hw, addr := link(6), inside(12, 4)
	hw.DestRegister, hw.Len, addr.DestRegister = reg4, 6, reg6
	f.rule(t, chain, ip, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg0}, hw, addr,
		&expr.Lookup{SourceRegister: reg0, SetName: f.owners4.Name, SetID: f.owners4.ID},
		&expr.Verdict{Kind: expr.VerdictAccept},
	})
	f.rule(t, chain, ip, []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}})
	// Whatever it speaks: the bridge would learn a neighbour's address from it, and
	// bring it what is for the neighbour.
	f.rule(t, chain, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg0},
		&expr.Payload{DestRegister: reg4, Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6},
		&expr.Lookup{SourceRegister: reg0, SetName: f.macs.Name, SetID: f.macs.ID, Invert: true},
		&expr.Verdict{Kind: expr.VerdictDrop},
	})
	guard(unix.ETH_P_ARP, f.owners4, inside(8, 6), inside(14, 4))
	// Link-local addresses are not given by us, and neighbours are found with
	// them: fe80::/10, and :: while one is being tested.
	guard(unix.ETH_P_IPV6, f.owners6, link(6), inside(8, 16),
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseNetworkHeader, Offset: 8, Len: 2},
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 2, Mask: []byte{0xff, 0xc0}, Xor: []byte{0, 0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: []byte{0xfe, 0x80}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: []byte{0, 0}},
	)
	f.neighbours(t, chain)
}

// neighbours drops what a router would say (CVE-2020-13401), and advertisements
// (RFC 4861, 4.4) of addresses that are not the endpoint's.
func (f *firewall) neighbours(t *nftables.Table, chain *nftables.Chain) {
	icmp := func(kind byte) []expr.Any {
		return append(append(when(expr.MetaKeyPROTOCOL, binaryutil.BigEndian.PutUint16(unix.ETH_P_IPV6)),
			when(expr.MetaKeyL4PROTO, []byte{unix.IPPROTO_ICMPV6})...),
			&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseTransportHeader, Len: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{kind}})
	}
	for _, kind := range []byte{routerAdvertisement, redirectMessage} {
		f.rule(t, chain, icmp(kind), []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}})
	}
	target := func(offset, length uint32) *expr.Payload {
		return &expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseTransportHeader, Offset: 8 + offset, Len: length}
	}
	set := *target(0, 16)
	set.DestRegister = reg6
	f.rule(t, chain, icmp(neighborAdvertisement), []expr.Any{
		target(0, 2),
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 2, Mask: []byte{0xff, 0xc0}, Xor: []byte{0, 0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: []byte{0xfe, 0x80}},
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg0},
		&expr.Payload{DestRegister: reg4, Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6},
		&set,
		&expr.Lookup{SourceRegister: reg0, SetName: f.owners6.Name, SetID: f.owners6.ID, Invert: true},
		&expr.Verdict{Kind: expr.VerdictDrop},
	})
}

// Types of ICMPv6 messages (RFC 4861, 4).
const (
	routerAdvertisement   = 134
	neighborAdvertisement = 136
	redirectMessage       = 137
)

// flush sends what was said since the last time, all or nothing.
func (f *firewall) flush() error {
	if err := errors.Join(f.failed, f.conn.Flush()); err != nil {
		f.failed = nil
		return fmt.Errorf("nftables: %w", err)
	}
	return nil
}

func (f *firewall) fail(err error) { f.failed = errors.Join(f.failed, err) }

func (f *firewall) rule(t *nftables.Table, c *nftables.Chain, parts ...[]expr.Any) {
	r := &nftables.Rule{Table: t, Chain: c}
	for _, p := range parts {
		r.Exprs = append(r.Exprs, p...)
	}
	f.conn.AddRule(r)
}

// when compares one property of a packet.
func when(key expr.MetaKey, value []byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: unix.NFT_REG_1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: value},
	}
}

// ifname is an interface's name as the kernel compares it.
func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

func pairKeys(name string, internal, icc bool) []nftables.SetElement {
	pair := func(a, b string) nftables.SetElement {
		return nftables.SetElement{Key: append(ifname(a), ifname(b)...)}
	}
	var all []nftables.SetElement
	if icc {
		all = append(all, pair(name, name))
	}
	if !internal {
		all = append(all, pair(name, usernet.Device), pair(usernet.Device, name))
	}
	return all
}

func (f *firewall) addBridge(name string, internal, icc bool) error {
	return f.change(f.pairs, pairKeys(name, internal, icc), f.conn.SetAddElements)
}

func (f *firewall) dropBridge(name string, internal, icc bool) error {
	return f.change(f.pairs, pairKeys(name, internal, icc), f.conn.SetDeleteElements)
}

func (f *firewall) change(s *nftables.Set, keys []nftables.SetElement, how func(*nftables.Set, []nftables.SetElement) error) error {
	if s == nil || len(keys) == 0 {
		return nil
	}
	f.fail(how(s, keys))
	return f.flush()
}

func ownerKey(e *network.Endpoint, p netip.Prefix) []nftables.SetElement {
	mac, err := net.ParseMAC(e.MAC)
	if err != nil || !p.IsValid() {
		return nil
	}
	key := append(ifname(vethName(e)), mac...)
	key = append(key, 0, 0) // registers are of four bytes
	return []nftables.SetElement{{Key: append(key, p.Addr().AsSlice()...)}}
}

// macKey is an endpoint's interface with its hardware address.
func macKey(e *network.Endpoint) []nftables.SetElement {
	mac, err := net.ParseMAC(e.MAC)
	if err != nil {
		return nil
	}
	return []nftables.SetElement{{Key: append(append(ifname(vethName(e)), mac...), 0, 0)}}
}

func (f *firewall) addOwner(e *network.Endpoint) error {
	return f.own(e, f.conn.SetAddElements)
}

func (f *firewall) dropOwner(e *network.Endpoint) error {
	return f.own(e, f.conn.SetDeleteElements)
}

// own changes what an endpoint may say. Link-local addresses of IPv6 need no
// leave.
func (f *firewall) own(e *network.Endpoint, how func(*nftables.Set, []nftables.SetElement) error) error {
	four := ownerKey(e, e.Address)
	for _, p := range e.LinkLocal {
		if p.Addr().Is4() {
			four = append(four, ownerKey(e, p)...)
		}
	}
	return errors.Join(f.change(f.macs, macKey(e), how), f.change(f.owners4, four, how), f.change(f.owners6, ownerKey(e, e.Address6), how))
}

// redirect sends what a container asks of the resolver's address to the two
// ports where ours waits, in the container's own namespace. It writes the ports
// itself, there and back: a rule for NAT would have every packet of the container
// tracked, which costs a tenth of what it sends to a neighbour.
func redirect(s *space, to netip.Addr, udp, tcp uint16) error {
	conn, err := openTables(s)
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseLasting() }()
	f := &firewall{conn: conn}
	t := f.table("skiff", nftables.TableFamilyIPv4)
	// Before anything of the container's own looks at them.
	before := nftables.ChainPriorityRef(-310)
	there := conn.AddChain(&nftables.Chain{
		Name: "output", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput, Priority: before,
	})
	back := conn.AddChain(&nftables.Chain{
		Name: "input", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: before,
	})
	// Offsets of both addresses in IPv4's header and both ports in the transport's.
	const (
		source, destination         = 12, 16
		sourcePort, destinationPort = 0, 2
		udpChecksum, tcpChecksum    = 6, 16
	)
	rewrite := func(c *nftables.Chain, proto byte, address, at uint32, from, port uint16) {
		sum := uint32(tcpChecksum)
		if proto == unix.IPPROTO_UDP {
			sum = udpChecksum
		}
		f.rule(t, c, when(expr.MetaKeyL4PROTO, []byte{proto}), []expr.Any{
			&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseNetworkHeader, Offset: address, Len: 4},
			&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: to.AsSlice()},
			&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseTransportHeader, Offset: at, Len: 2},
			&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: binary.BigEndian.AppendUint16(nil, from)},
			&expr.Immediate{Register: unix.NFT_REG_1, Data: binary.BigEndian.AppendUint16(nil, port)},
			&expr.Payload{
				OperationType: expr.PayloadWrite, SourceRegister: unix.NFT_REG_1,
				Base: expr.PayloadBaseTransportHeader, Offset: at, Len: 2,
				CsumType: expr.CsumTypeInet, CsumOffset: sum,
			},
		})
	}
	for proto, port := range map[byte]uint16{unix.IPPROTO_UDP: udp, unix.IPPROTO_TCP: tcp} {
		rewrite(there, proto, destination, destinationPort, 53, port)
		rewrite(back, proto, source, sourcePort, port, 53)
	}
	return f.flush()
}
