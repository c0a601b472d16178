// Package network is what commands ask about networks and say to the network
// program: who is on which network, which ports are published, connect and
// disconnect. The program itself is in hub.
package network

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"skiff/storage/container"
	"skiff/storage/network"
)

// Attachment is how a container is connected now; a zero one when it does not
// run or shares somebody else's network.
func Attachment(c *container.Container, s container.Status) network.Attachment {
	if !s.Running() {
		return network.Attachment{}
	}
	if c.Config.Host.NetworkMode == "pasta" {
		// Its own program has no record; the ports are what was asked for.
		return network.Attachment{Ports: asked(c.Config.Host.PortBindings)}
	}
	// Without the record there is nothing to tell.
	a, _ := network.ReadAttachment(c.Dir())
	return a
}

// asked are ports of the host that were given one by one, as pasta binds them.
func asked(bindings map[string][]container.PortBinding) []network.Port {
	var ports []network.Port
	for _, name := range slices.SortedFunc(maps.Keys(bindings), ComparePorts) {
		number, protocol, _ := strings.Cut(name, "/")
		inside, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			continue
		}
		for _, b := range bindings[name] {
			outside, err := strconv.ParseUint(b.HostPort, 10, 16)
			if err != nil {
				continue
			}
			hosts := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
			if a, err := netip.ParseAddr(b.HostIP); err == nil {
				hosts = []netip.Addr{a}
			}
			for _, h := range hosts {
				ports = append(ports, network.Port{Protocol: protocol, Container: uint16(inside), HostIP: h, Host: uint16(outside)})
			}
		}
	}
	return ports
}

// Published are the ports of a as docker lists them: by "80/tcp", the addresses
// of this machine that they are bound on.
func Published(a *network.Attachment) map[string][]container.PortBinding {
	out := map[string][]container.PortBinding{}
	for _, p := range a.Ports {
		key := strconv.Itoa(int(p.Container)) + "/" + p.Protocol
		out[key] = append(out[key], container.PortBinding{HostIP: p.HostIP.String(), HostPort: strconv.Itoa(int(p.Host))})
	}
	return out
}

// ComparePorts orders "80/tcp" by number, then protocol.
func ComparePorts(a, b string) int {
	na, pa, _ := strings.Cut(a, "/")
	nb, pb, _ := strings.Cut(b, "/")
	ia, _ := strconv.Atoi(na)
	ib, _ := strconv.Atoi(nb)
	if ia != ib {
		return ia - ib
	}
	return strings.Compare(pa, pb)
}
