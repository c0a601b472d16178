package hub

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/runtime/network/usernet"
	"skiff/storage/network"
)

// bridge is a network that is in use.
type bridge struct {
	network  *network.Network
	link     *netlink.Bridge
	pools    []pool
	resolver []closer
	used     int // endpoints
}

type closer interface{ Close() error }

// handle opens a netlink socket in a namespace. The library could enter it by
// itself, but could not get back: the machine's own is not ours to enter, and a
// thread that stayed would open the host's sockets in the wrong place.
func handle(s *space) (h *netlink.Handle, err error) {
	err = s.do(func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return h, nil
}

// transparentTable is the routing table of packets for transparent sockets.
const transparentTable = 100

// routes sends what is for the world to the device, and what belongs to a
// transparent socket to this namespace itself
// (https://docs.kernel.org/networking/tproxy.html).
func (h *Hub) routes() error {
	lo, err := h.links.LinkByName("lo")
	if err != nil {
		return err
	}
	world, err := h.links.LinkByName(usernet.Device)
	if err != nil {
		return err
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		any := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
		if family == netlink.FAMILY_V6 {
			any = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
		}
		rule := netlink.NewRule()
		rule.Family, rule.Mark, rule.Table, rule.Priority = family, usernet.Mark, transparentTable, 100
		err := h.links.RuleAdd(rule)
		if err == nil || errors.Is(err, unix.EEXIST) {
			err = h.links.RouteReplace(&netlink.Route{
				Table: transparentTable, Dst: any, LinkIndex: lo.Attrs().Index,
				Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST,
			})
		}
		if err == nil {
			err = h.links.RouteReplace(&netlink.Route{Dst: any, LinkIndex: world.Attrs().Index, Scope: netlink.SCOPE_LINK})
		}
		if err != nil && family == netlink.FAMILY_V4 {
			return fmt.Errorf("add route: %w", err)
		}
	}
	return nil
}

// bridgeName is the interface of a network: docker's names, so that what is said
// about them in scripts and options holds.
func bridgeName(n *network.Network) string {
	if name := n.Options["com.docker.network.bridge.name"]; name != "" && len(name) < unix.IFNAMSIZ {
		return name
	}
	return "br-" + n.ID[:12]
}

// useBridge returns the bridge of a network and makes it if it is not there.
// Requires mu.
func (h *Hub) useBridge(n *network.Network) (_ *bridge, err error) {
	if b := h.bridges[n.ID]; b != nil {
		if b.used > 0 || samePools(b.network, n) {
			return b, nil
		}
		h.dropBridge(b) // the default network was given other addresses
	}
	b := &bridge{network: n, link: &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}}
	if b.pools, err = poolsOf(n); err != nil {
		return nil, err
	}
	h.makeRoom(b)
	b.link.Name = bridgeName(n)
	// Given, because the kernel changes it otherwise with every port.
	b.link.HardwareAddr = hardwareAddr(n.ID)
	if mtu := mtuOf(n); mtu > 0 {
		b.link.MTU = mtu
	}
	err = h.links.LinkAdd(b.link)
	if errors.Is(err, unix.EEXIST) {
		var there netlink.Link
		if there, err = h.links.LinkByName(b.link.Name); err == nil {
			b.link.Index = there.Attrs().Index
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make bridge %s: %w", b.link.Name, err)
	}
	for _, p := range b.pools {
		if !p.gateway.IsValid() {
			continue
		}
		addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(p.gateway, p.subnet.Bits())), Flags: unix.IFA_F_NODAD}
		if err := h.links.AddrReplace(b.link, addr); err != nil {
			return nil, errors.Join(fmt.Errorf("address bridge %s: %w", b.link.Name, err), h.links.LinkDel(b.link))
		}
	}
	if err = h.links.LinkSetUp(b.link); err == nil {
		err = h.firewall.addBridge(b.link.Name, n.Internal, icc(n))
	}
	if err == nil {
		err = h.resolver.serve(h.space, b)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up bridge %s: %w", b.link.Name, err), h.links.LinkDel(b.link))
	}
	h.bridges[n.ID] = b
	return b, nil
}

func samePools(a, b *network.Network) bool {
	return slices.EqualFunc(a.IPAM.Config, b.IPAM.Config, func(x, y network.Pool) bool { return x.Subnet == y.Subnet })
}

// idleBridge is how long a bridge stays after its last endpoint: taking one away
// costs the kernel tens of milliseconds in which it does nothing else for us.
const idleBridge = time.Second

// makeRoom takes away bridges of networks that were removed, whose name or
// addresses b has now. Requires mu.
func (h *Hub) makeRoom(b *bridge) {
	for _, other := range h.bridges {
		if other.used > 0 {
			continue
		}
		same := bridgeName(other.network) == bridgeName(b.network)
		for _, p := range b.pools {
			same = same || slices.ContainsFunc(other.pools, func(o pool) bool { return o.subnet.Overlaps(p.subnet) })
		}
		if same {
			h.dropBridge(other)
		}
	}
}

// dropBridge takes a bridge away that nobody uses any more.
// Requires mu.
func (h *Hub) dropBridge(b *bridge) {
	for _, c := range b.resolver {
		_ = c.Close()
	}
	_ = h.firewall.dropBridge(b.link.Name, b.network.Internal, icc(b.network))
	_ = h.links.LinkDel(b.link)
	delete(h.bridges, b.network.ID)
}

// icc: may the containers of the network talk to each other?
func icc(n *network.Network) bool {
	return n.Options["com.docker.network.bridge.enable_icc"] != "false"
}

func mtuOf(n *network.Network) int {
	var mtu int
	_, _ = fmt.Sscan(n.Options["com.docker.network.driver.mtu"], &mtu)
	return mtu
}

// hardwareAddr derives a locally administered address from an id.
func hardwareAddr(id string) net.HardwareAddr {
	a := net.HardwareAddr{0x02, 0x42, 0, 0, 0, 0}
	_, _ = fmt.Sscanf(id[:8], "%02x%02x%02x%02x", &a[2], &a[3], &a[4], &a[5])
	return a
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// vethName is the end of an endpoint's pair on the bridge.
func vethName(e *network.Endpoint) string { return "veth" + e.ID[:10] }

// segmentSize is how many bytes of a TCP stream over IPv4 cross a bridge as one
// packet, where the kernel lets them be more than 64 KiB (BIG TCP, Linux 6.3;
// docs/decisions/0021). Older kernels ignore it.
const segmentSize = 192 << 10

// plug connects the container's namespace to the bridge as e says.
// Requires mu.
func (h *Hub) plug(m *member, b *bridge, e *network.Endpoint) error {
	mac, err := net.ParseMAC(e.MAC)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex, attrs.Flags, attrs.GSOIPv4MaxSize = vethName(e), b.link.Index, net.FlagUp, segmentSize
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerHardwareAddr, veth.PeerNamespace = e.Interface, mac, netlink.NsFd(m.netns)
	if mtu := mtuOf(b.network); mtu > 0 {
		veth.MTU, veth.PeerMTU = mtu, uint32(mtu)
	}
	err = h.links.LinkAdd(veth)
	if errors.Is(err, unix.EEXIST) {
		// Of the container's last start: its namespace is on its way out.
		if old, failed := h.links.LinkByName(attrs.Name); failed == nil {
			_ = h.links.LinkDel(old)
		}
		err = h.links.LinkAdd(veth)
	}
	if err != nil {
		return fmt.Errorf("make interface %s: %w", e.Interface, err)
	}
	err = m.configure(e)
	if err == nil && !icc(b.network) {
		err = h.links.LinkSetIsolated(veth, true)
	}
	if err == nil {
		// Said, not learned: the one before at this address may not be gone yet,
		// and nobody else shall get its frames.
		err = h.links.NeighSet(&netlink.Neigh{
			LinkIndex: veth.Index, Family: unix.AF_BRIDGE, State: netlink.NUD_NOARP, Flags: netlink.NTF_MASTER, HardwareAddr: mac,
		})
	}
	if err == nil {
		err = h.firewall.addOwner(e)
	}
	if err != nil {
		return errors.Join(err, h.links.LinkDel(veth))
	}
	if b.used == 0 {
		// For what this process itself sends, by the published ports. A bridge can no
		// more than its ports, and before the first one not even that.
		_ = h.links.LinkSetGSOIPv4MaxSize(b.link, segmentSize)
	}
	b.used++
	return nil
}

// unplug takes the endpoint's interface away, and the bridge some time after the
// last one. An interface whose container is gone goes with its namespace.
// Requires mu.
func (h *Hub) unplug(e *network.Endpoint, gone bool) {
	b := h.bridges[e.NetworkID]
	if b == nil {
		return
	}
	_ = h.firewall.dropOwner(e)
	if !gone {
		if link, err := h.links.LinkByName(vethName(e)); err == nil {
			_ = h.links.LinkDel(link)
		}
	}
	if b.used--; b.used > 0 {
		return
	}
	time.AfterFunc(idleBridge, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if b.used == 0 && h.bridges[b.network.ID] == b {
			h.dropBridge(b)
		}
	})
}

// configure gives the container's interface its addresses.
func (m *member) configure(e *network.Endpoint) error {
	link, err := m.links.LinkByName(e.Interface)
	if err != nil {
		return fmt.Errorf("find %s: %w", e.Interface, err)
	}
	if !e.Address6.IsValid() && !slices.ContainsFunc(e.LinkLocal, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		// No addresses that nobody gave. Absent where there is no IPv6 at all.
		_ = m.inside.sysctl("ipv6/conf/"+e.Interface+"/disable_ipv6", "1")
	}
	for _, p := range append([]netip.Prefix{e.Address, e.Address6}, e.LinkLocal...) {
		if !p.IsValid() {
			continue
		}
		if err := m.links.AddrReplace(link, &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NODAD}); err != nil {
			return fmt.Errorf("address %s: %w", e.Interface, err)
		}
	}
	// Without it everything works, slower.
	_ = m.links.LinkSetGSOIPv4MaxSize(link, segmentSize)
	if err := m.links.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up %s: %w", e.Interface, err)
	}
	return nil
}

// defaultRoute points the container's way out to the endpoint with the highest
// priority that has one; among equals to the network that comes first by name.
func (m *member) defaultRoute() error {
	var four, six *network.Endpoint
	before := func(a, b *network.Endpoint) bool {
		return b == nil || a.GwPriority > b.GwPriority || a.GwPriority == b.GwPriority && a.Network < b.Network
	}
	for i := range m.attachment.Endpoints {
		e := &m.attachment.Endpoints[i]
		if e.Gateway.IsValid() && before(e, four) {
			four = e
		}
		if e.Gateway6.IsValid() && before(e, six) {
			six = e
		}
	}
	for _, way := range []struct {
		e    *network.Endpoint
		six  bool
		any  netip.Prefix
		from func(*network.Endpoint) netip.Addr
	}{
		{four, false, netip.PrefixFrom(netip.IPv4Unspecified(), 0), func(e *network.Endpoint) netip.Addr { return e.Gateway }},
		{six, true, netip.PrefixFrom(netip.IPv6Unspecified(), 0), func(e *network.Endpoint) netip.Addr { return e.Gateway6 }},
	} {
		if way.e == nil {
			continue
		}
		link, err := m.links.LinkByName(way.e.Interface)
		if err == nil {
			err = m.links.RouteReplace(&netlink.Route{
				Dst: ipNet(way.any), Gw: way.from(way.e).AsSlice(), LinkIndex: link.Attrs().Index,
			})
		}
		if err != nil {
			return fmt.Errorf("set default route: %w", err)
		}
	}
	return nil
}
