package hub

import (
	"fmt"
	"net/netip"

	"skiff/storage/network"
)

// pool is one range of a network's addresses.
type pool struct {
	subnet  netip.Prefix
	within  netip.Prefix // what is given out: the subnet or --ip-range
	gateway netip.Addr
	taken   map[netip.Addr]bool // auxiliary addresses
}

func poolsOf(n *network.Network) ([]pool, error) {
	var pools []pool
	for _, c := range n.IPAM.Config {
		p := pool{taken: map[netip.Addr]bool{}}
		var err error
		if p.subnet, err = netip.ParsePrefix(c.Subnet); err != nil {
			return nil, fmt.Errorf("network %s: %w", n.Name, err)
		}
		p.subnet = p.subnet.Masked()
		p.within = p.subnet
		if c.IPRange != "" {
			if p.within, err = netip.ParsePrefix(c.IPRange); err != nil {
				return nil, fmt.Errorf("network %s: %w", n.Name, err)
			}
		}
		if c.Gateway != "" {
			if p.gateway, err = netip.ParseAddr(c.Gateway); err != nil {
				return nil, fmt.Errorf("network %s: %w", n.Name, err)
			}
		}
		for _, a := range c.Auxiliary {
			if addr, err := netip.ParseAddr(a); err == nil {
				p.taken[addr] = true
			}
		}
		pools = append(pools, p)
	}
	return pools, nil
}

// choose takes the wanted address of a family, or the lowest free one. It
// returns an invalid prefix where the network has none of that family.
func choose(pools []pool, six bool, want netip.Addr, used func(netip.Addr) bool) (netip.Prefix, netip.Addr, error) {
	for _, p := range pools {
		if p.subnet.Addr().Is6() != six || want.IsValid() && !p.subnet.Contains(want) {
			continue
		}
		if want.IsValid() {
			if want == p.gateway || p.taken[want] || used(want) {
				return netip.Prefix{}, netip.Addr{}, errTaken
			}
			return netip.PrefixFrom(want, p.subnet.Bits()), p.gateway, nil
		}
		last := broadcast(p.subnet)
		for a := p.within.Masked().Addr(); p.within.Contains(a); a = a.Next() {
			if a == p.subnet.Addr() || a == last && !six || a == p.gateway || p.taken[a] || used(a) {
				continue
			}
			return netip.PrefixFrom(a, p.subnet.Bits()), p.gateway, nil
		}
		return netip.Prefix{}, netip.Addr{}, fmt.Errorf("no available IPv%d addresses on this network's address pools", map[bool]int{false: 4, true: 6}[six])
	}
	if want.IsValid() {
		return netip.Prefix{}, netip.Addr{}, fmt.Errorf("invalid address %s: It does not belong to any of this network's subnets", want)
	}
	return netip.Prefix{}, netip.Addr{}, nil
}

// broadcast is the last address of an IPv4 prefix.
func broadcast(p netip.Prefix) netip.Addr {
	if !p.Addr().Is4() {
		return netip.Addr{}
	}
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}
