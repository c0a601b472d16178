package container

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"skiff/storage/container"
	"skiff/storage/network"
)

// portsText lists the ports of a running container as docker does: published
// ones with the address of this machine, exposed ones alone, neighbours joined
// where both sides have the same numbers: 0.0.0.0:8080->80/tcp, 8000-8002/tcp.
func portsText(cfg *container.Config, published []network.Port, s container.Status) string {
	if !s.Running() || !hasPorts(cfg) {
		return ""
	}
	type span struct {
		host        netip.Addr // not valid: not published
		proto       string
		first, last uint16
	}
	all := slices.Clone(published)
	for p := range cfg.Config.ExposedPorts {
		number, proto, _ := strings.Cut(p, "/")
		n, err := strconv.ParseUint(number, 10, 16)
		taken := slices.ContainsFunc(published, func(o network.Port) bool {
			return uint64(o.Container) == n && o.Protocol == proto
		})
		if err == nil && !taken {
			all = append(all, network.Port{Container: uint16(n), Protocol: proto})
		}
	}
	slices.SortFunc(all, comparePorts)
	var words, moved []string
	var open []*span
	text := func(g *span) string {
		word := strconv.Itoa(int(g.first))
		if g.last != g.first {
			word += "-" + strconv.Itoa(int(g.last))
		}
		if g.host.IsValid() {
			word = net.JoinHostPort(g.host.String(), word) + "->" + word
		}
		return word + "/" + g.proto
	}
	for _, p := range all {
		if p.HostIP.IsValid() && p.Host != p.Container {
			moved = append(moved, fmt.Sprintf("%s->%d/%s", netip.AddrPortFrom(p.HostIP, p.Host), p.Container, p.Protocol))
			continue
		}
		i := slices.IndexFunc(open, func(g *span) bool { return g.host == p.HostIP && g.proto == p.Protocol })
		switch {
		case i < 0:
			open = append(open, &span{p.HostIP, p.Protocol, p.Container, p.Container})
		case p.Container == open[i].last+1:
			open[i].last = p.Container
		default:
			words = append(words, text(open[i]))
			open[i].first, open[i].last = p.Container, p.Container
		}
	}
	for _, g := range open {
		words = append(words, text(g))
	}
	return strings.Join(append(words, moved...), ", ")
}

// comparePorts is docker's order: the container's port, address, port of this
// machine, protocol.
func comparePorts(a, b network.Port) int {
	addr := func(p network.Port) string {
		if !p.HostIP.IsValid() {
			return ""
		}
		return p.HostIP.String()
	}
	for _, c := range []int{
		int(a.Container) - int(b.Container), strings.Compare(addr(a), addr(b)),
		int(a.Host) - int(b.Host), strings.Compare(a.Protocol, b.Protocol),
	} {
		if c != 0 {
			return c
		}
	}
	return 0
}

// hasPorts reports whether docker tells of ports in the container's network.
func hasPorts(cfg *container.Config) bool {
	mode := cfg.Host.NetworkMode
	return mode != "none" && mode != "host" && !strings.HasPrefix(mode, "container:")
}
