package hub

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/runtime/network/wire"
	"skiff/runtime/stage/message"
	"skiff/storage/network"
)

var errTaken = errors.New("Address already in use") //nolint:staticcheck // docker's words

// member is a connected container.
type member struct {
	wish       *wire.Attach
	netns      int
	links      *netlink.Handle // in the container's namespace
	inside     *space          // a thread there, while the member is being changed
	attachment network.Attachment
	ports      []*publication
	resolver   []closer
}

// attach connects the container with the network namespace netns, which is the
// member's from then on. A container that a program before us connected keeps
// what it has. On error nothing is left.
func (h *Hub) attach(a *wire.Attach, netns int) (_ *member, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.members[a.ID]; old != nil {
		h.forget(old) // its end has not been heard of yet
	}
	m := &member{wish: a, netns: netns}
	m.attachment.Namespace, m.attachment.Hub = inode(netns), inode(h.space.fd)
	inside, err := openSpace(netns)
	if err != nil {
		return nil, h.foreign(err)
	}
	m.inside = inside
	defer m.leave()
	if m.links, err = handle(inside); err != nil {
		return nil, err
	}
	h.members[a.ID] = m
	defer func() {
		if err != nil {
			h.forget(m)
			m.links.Close()
		}
	}()
	ruin, again := h.ruins[a.ID]
	delete(h.ruins, a.ID)
	if again && ruin.Namespace == m.attachment.Namespace {
		// Its interfaces are there, and restore counted them.
		m.attachment.Endpoints = ruin.Endpoints
		if len(ruin.Request) > 0 && json.Unmarshal(ruin.Request, a) == nil {
			m.attachment.Request = ruin.Request
		}
		if err := h.publish(m, ruin.Ports); err != nil {
			return nil, err
		}
	} else {
		if again {
			for i := range ruin.Endpoints {
				h.unplug(&ruin.Endpoints[i], false)
			}
		}
		for i := range a.Endpoints {
			if err := h.connect(m, &a.Endpoints[i]); err != nil {
				return nil, err
			}
		}
		if err := h.publish(m, nil); err != nil {
			return nil, err
		}
	}
	if err := m.defaultRoute(); err != nil {
		return nil, err
	}
	if err := h.resolver.serveInside(m); err != nil {
		return nil, err
	}
	return m, m.record()
}

// errForeign says that a container lives in a user namespace that is not ours,
// so that we have no power over its network.
var errForeign = errors.New("the container is in another user namespace")

// foreign words the failure to enter a container's namespace. A program that has
// nobody else to serve makes room for one in the container's user namespace; the
// asker tries again. Requires mu.
func (h *Hub) foreign(err error) error {
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	if len(h.members) == 0 {
		return errForeign
	}
	return &message.Failure{
		Text: "network: the container was started at the same moment as the first one, in a user namespace of its own", Code: 125,
		Cure: "start it again",
	}
}

// record writes down how the member is connected.
func (m *member) record() error {
	if err := m.writeHosts(); err != nil {
		return err
	}
	return network.WriteAttachment(m.wish.Dir, &m.attachment)
}

// detach takes a container off its networks; it ended, or its monitor did.
func (h *Hub) detach(m *member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.members[m.wish.ID] == m {
		h.forget(m)
	}
	m.links.Close()
	unix.Close(m.netns)
}

// forget undoes attach. Requires mu.
func (h *Hub) forget(m *member) {
	delete(h.members, m.wish.ID)
	for _, p := range m.ports {
		p.close()
	}
	for _, c := range m.resolver {
		_ = c.Close()
	}
	for i := range m.attachment.Endpoints {
		h.unplug(&m.attachment.Endpoints[i], true)
	}
	m.ports, m.resolver, m.attachment.Endpoints = nil, nil, nil
}

// connect gives a member a place on one more network. Requires mu.
func (h *Hub) connect(m *member, w *wire.Endpoint) error {
	n := &w.Network
	for _, e := range m.attachment.Endpoints {
		if e.NetworkID == n.ID {
			return fmt.Errorf("endpoint with name %s already exists in network %s", m.wish.Name, n.Name)
		}
	}
	b, err := h.useBridge(n)
	if err != nil {
		return err
	}
	defer func() {
		if b.used == 0 {
			h.dropBridge(b)
		}
	}()
	e := network.Endpoint{
		Network: n.Name, NetworkID: n.ID, ID: endpointID(m.wish.ID, n.ID), Interface: m.freeInterface(),
		Aliases: w.Aliases, Links: w.Links, GwPriority: w.GwPriority, MAC: w.MAC,
	}
	e.DNSNames = dnsNames(m.wish, w.Aliases)
	if name := w.Options[wire.OptionInterface]; name != "" {
		if m.hasInterface(name) {
			return fmt.Errorf("network %s: the container has an interface %s already", n.Name, name)
		}
		e.Interface = name
	}
	var gateway4, gateway6 netip.Addr
	used := func(a netip.Addr) bool { return h.used(n.ID, a) }
	if e.Address, gateway4, err = choose(b.pools, false, w.Address, used); err != nil {
		return err
	}
	if e.Address6, gateway6, err = choose(b.pools, true, w.Address6, used); err != nil {
		return err
	}
	for _, a := range w.LinkLocal {
		if used(a) {
			return errTaken
		}
		bits := 16 // RFC 3927
		if a.Is6() {
			bits = 64
		}
		e.LinkLocal = append(e.LinkLocal, netip.PrefixFrom(a, bits))
	}
	if !n.Internal {
		e.Gateway, e.Gateway6 = gateway4, gateway6
	}
	if e.MAC == "" {
		e.MAC = macOf(e.Address, e.ID)
	}
	if err := h.plug(m, b, &e); err != nil {
		return err
	}
	if err := m.sysctls(&e, w.Options[wire.OptionSysctls]); err != nil {
		h.unplug(&e, false)
		return err
	}
	m.attachment.Endpoints = append(m.attachment.Endpoints, e)
	return nil
}

// sysctls applies settings of an endpoint's interface.
func (m *member) sysctls(e *network.Endpoint, list string) error {
	for setting := range strings.SplitSeq(list, ",") {
		if setting == "" {
			continue
		}
		key, value, _ := strings.Cut(setting, "=")
		parts := strings.Split(key, ".")
		if len(parts) != 5 || parts[0] != "net" || parts[3] != "IFNAME" ||
			slices.ContainsFunc(parts, func(p string) bool { return p == "" || strings.ContainsAny(p, "/\x00") }) {
			return fmt.Errorf("invalid value for option %s: %q is not of the form net.X.Y.IFNAME.Z=VALUE", wire.OptionSysctls, setting)
		}
		parts[3] = e.Interface
		if err := m.inside.sysctl(strings.Join(parts[1:], "/"), value); err != nil {
			return fmt.Errorf("network %s: set sysctl %s: %w", e.Network, key, err)
		}
	}
	return nil
}

// used reports whether an address of a network is a living endpoint's.
// Requires mu.
func (h *Hub) used(id string, a netip.Addr) bool {
	has := func(list []network.Endpoint) bool {
		return slices.ContainsFunc(list, func(e network.Endpoint) bool {
			return e.NetworkID == id && (e.Address.Addr() == a || e.Address6.Addr() == a ||
				slices.ContainsFunc(e.LinkLocal, func(p netip.Prefix) bool { return p.Addr() == a }))
		})
	}
	for _, m := range h.members {
		if has(m.attachment.Endpoints) {
			return true
		}
	}
	for _, r := range h.ruins {
		if has(r.Endpoints) {
			return true
		}
	}
	return false
}

// endpointID is the same whenever the container is on the network.
func endpointID(container, net string) string {
	sum := sha256.Sum256([]byte(container + net))
	return hex.EncodeToString(sum[:])
}

// macOf derives a hardware address from the IPv4 address, so that a container
// that gets the same address back is found by who remembers it.
func macOf(p netip.Prefix, id string) string {
	if p.IsValid() {
		b := p.Addr().As4()
		return fmt.Sprintf("02:42:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
	}
	return hardwareAddr(id).String()
}

// dnsNames are what the resolver answers to on a network: docker's.
func dnsNames(a *wire.Attach, aliases []string) []string {
	names := []string{a.Name}
	for _, n := range append(slices.Clone(aliases), a.ID[:12], a.Hostname) {
		if n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// freeInterface is the first ethN that no endpoint has.
func (m *member) freeInterface() string {
	for i := 0; ; i++ {
		name := fmt.Sprintf("eth%d", i)
		if !m.hasInterface(name) {
			return name
		}
	}
}

func (m *member) hasInterface(name string) bool {
	return name == "lo" || slices.ContainsFunc(m.attachment.Endpoints, func(e network.Endpoint) bool { return e.Interface == name })
}

// change connects or disconnects a running container.
func (h *Hub) change(c *wire.Change) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.members[c.ID]
	if m == nil {
		return fmt.Errorf("container %.12s is not connected", c.ID)
	}
	if err := m.enter(); err != nil {
		return err
	}
	defer m.leave()
	if c.Connect != nil {
		if err := h.connect(m, c.Connect); err != nil {
			return err
		}
	} else {
		i := slices.IndexFunc(m.attachment.Endpoints, func(e network.Endpoint) bool { return e.NetworkID == c.Disconnect })
		if i < 0 {
			return fmt.Errorf("container %s is not connected to the network %s", m.wish.ID, c.Disconnect)
		}
		h.unplug(&m.attachment.Endpoints[i], false)
		m.attachment.Endpoints = slices.Delete(m.attachment.Endpoints, i, i+1)
	}
	if err := m.defaultRoute(); err != nil {
		return err
	}
	if err := h.resolver.serveInside(m); err != nil {
		return err
	}
	m.rewish(c)
	return m.record()
}

// rewish notes a change for a restart by policy, whose monitor knows the networks
// of the start only.
func (m *member) rewish(c *wire.Change) {
	if c.Connect != nil {
		m.wish.Endpoints = append(m.wish.Endpoints, *c.Connect)
	} else {
		m.wish.Endpoints = slices.DeleteFunc(m.wish.Endpoints, func(e wire.Endpoint) bool { return e.Network.ID == c.Disconnect })
	}
	// Only strings and numbers: it cannot fail.
	m.attachment.Request, _ = json.Marshal(m.wish)
}

// enter puts a thread into the member's namespace, until leave.
func (m *member) enter() error {
	fd, err := unix.FcntlInt(uintptr(m.netns), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	m.inside, err = openSpace(fd)
	return err
}

func (m *member) leave() {
	m.inside.close()
	m.inside = nil
}

// named finds the endpoints that a container may reach under a name, or a name
// with the network's behind, by the networks that it is on. Requires mu.
func (h *Hub) named(asker *member, name string) (found []*network.Endpoint) {
	for i := range asker.attachment.Endpoints {
		on := &asker.attachment.Endpoints[i]
		for _, link := range on.Links {
			if target, alias, ok := strings.Cut(link, ":"); ok && strings.EqualFold(alias, name) {
				name = target
			}
		}
		short, suffix := name, "."+on.Network
		if at := len(name) - len(suffix); at > 0 && strings.EqualFold(name[at:], suffix) {
			short = name[:at]
		}
		for _, m := range h.members {
			for j := range m.attachment.Endpoints {
				e := &m.attachment.Endpoints[j]
				if e.NetworkID == on.NetworkID && slices.ContainsFunc(e.DNSNames, func(n string) bool {
					return strings.EqualFold(n, name) || strings.EqualFold(n, short)
				}) {
					found = append(found, e)
				}
			}
		}
	}
	return found
}

// owner is the member with an address. Requires mu.
func (h *Hub) owner(a netip.Addr) *member {
	for _, m := range h.members {
		for _, e := range m.attachment.Endpoints {
			if e.Address.Addr() == a || e.Address6.Addr() == a {
				return m
			}
		}
	}
	return nil
}

// translate tells which host address a container means, invalid for what it may
// not reach: this machine's loopback interface, and what is nobody's.
func (h *Hub) translate(_, dst netip.Addr) netip.Addr {
	if dst.Is4In6() || dst.IsLoopback() || dst.IsUnspecified() || dst.IsMulticast() || dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return netip.Addr{}
	}
	return dst
}
