package network

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"skiff/storage"
	"skiff/storage/lock"
	"skiff/storage/network"
)

// ErrOverlap says that a subnet is another network's, in docker's words.
var ErrOverlap = errors.New("invalid pool request: Pool overlaps with other one on this address space")

// TakenError says that there is a network of that name, in docker's words.
type TakenError struct{ Name string }

func (e *TakenError) Error() string { return "network with name " + e.Name + " already exists" }

// PredefinedError says that a name is one of a network that is always there, in
// docker's words.
type PredefinedError struct{ Name string }

func (e *PredefinedError) Error() string {
	return "operation is not permitted on predefined " + e.Name + " network"
}

// Create makes a network. Pools without a subnet, or none, are filled; what is
// said about addresses is checked against the other networks. On error nothing
// is made.
func Create(ctx context.Context, st *storage.Store, n *network.Network) error {
	if err := network.CheckName(n.Name); err != nil {
		return err
	}
	if network.Builtin(n.Name) {
		return &PredefinedError{n.Name}
	}
	held, err := exclusive(ctx, st)
	if err != nil {
		return err
	}
	defer held.Release()
	all, err := network.List(st)
	if err != nil {
		return err
	}
	for _, other := range all {
		if other.Name == n.Name {
			return &TakenError{n.Name}
		}
		if b := n.Options[bridgeOption]; b != "" && b == other.Options[bridgeOption] {
			return fmt.Errorf("cannot create network %s: conflicts with network %s: networks have same bridge name", n.Name, other.Name)
		}
	}
	taken := prefixes(all)
	n.Configured = len(n.IPAM.Config) > 0
	if err := fill(n, taken); err != nil {
		return err
	}
	n.ID, n.Created, n.Driver = network.NewID(), time.Now(), "bridge"
	return network.Save(st, n)
}

const bridgeOption = "com.docker.network.bridge.name"

func exclusive(ctx context.Context, st *storage.Store) (*lock.Lock, error) {
	file, err := network.LockFile(st)
	if err != nil {
		return nil, err
	}
	return lock.Exclusive(ctx, file)
}

// prefixes are the subnets of networks.
func prefixes(all []*network.Network) (taken []netip.Prefix) {
	for _, n := range all {
		for _, c := range n.IPAM.Config {
			if p, err := netip.ParsePrefix(c.Subnet); err == nil {
				taken = append(taken, p)
			}
		}
	}
	return taken
}

// fill checks the pools that were asked for and adds what is missing: a subnet
// of each family that the network has, and gateways.
func fill(n *network.Network, taken []netip.Prefix) error {
	has := map[bool]bool{}
	for i := range n.IPAM.Config {
		p, err := netip.ParsePrefix(n.IPAM.Config[i].Subnet)
		if err != nil {
			return fmt.Errorf("invalid subnet %s: %w", n.IPAM.Config[i].Subnet, err)
		}
		if p.Addr().Is6() && !n.EnableIPv6 {
			return errors.New("IPv6 subnet on a network without IPv6: add --ipv6")
		}
		if overlaps(p, taken) {
			return ErrOverlap
		}
		taken = append(taken, p)
		has[p.Addr().Is6()] = true
	}
	if n.EnableIPv4 && !has[false] {
		p, err := free(append(taken, routes()...))
		if err != nil {
			return err
		}
		n.IPAM.Config = append(n.IPAM.Config, network.Pool{Subnet: p.String()})
	}
	if n.EnableIPv6 && !has[true] {
		// RFC 4193: a random one is nobody else's.
		var b [16]byte
		rand.Read(b[:7])
		b[0] = 0xfd
		n.IPAM.Config = append(n.IPAM.Config, network.Pool{Subnet: netip.PrefixFrom(netip.AddrFrom16(b), 64).Masked().String()})
	}
	for i := range n.IPAM.Config {
		c := &n.IPAM.Config[i]
		if c.Gateway == "" {
			c.Gateway = netip.MustParsePrefix(c.Subnet).Masked().Addr().Next().String()
		}
	}
	return nil
}

func overlaps(p netip.Prefix, taken []netip.Prefix) bool {
	for _, t := range taken {
		if p.Overlaps(t) {
			return true
		}
	}
	return false
}

// free returns the first subnet of docker's default pools that nobody has.
func free(taken []netip.Prefix) (netip.Prefix, error) {
	for i := 18; i < 32; i++ {
		if p := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(i), 0, 0}), 16); !overlaps(p, taken) {
			return p, nil
		}
	}
	for i := 0; i < 256; i += 16 {
		if p := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(i), 0}), 20); !overlaps(p, taken) {
			return p, nil
		}
	}
	return netip.Prefix{}, errors.New("all predefined address pools have been fully subnetted")
}

// routes are the subnets that this machine has a way to (proc(5), net/route):
// containers shall be able to reach them.
func routes() (all []netip.Prefix) {
	data, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return nil
	}
	word := func(s string) [4]byte {
		n, _ := strconv.ParseUint(s, 16, 32)
		return [4]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)} // in this machine's order, which is little endian
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 8 || f[0] == "Iface" || f[1] == "00000000" {
			continue
		}
		bits := 0
		for _, b := range word(f[7]) {
			for ; b&0x80 != 0; b <<= 1 {
				bits++
			}
		}
		all = append(all, netip.PrefixFrom(netip.AddrFrom4(word(f[1])), bits))
	}
	return all
}

// SettleBridge moves the default network to other addresses of docker's pools
// when this machine has a way to those that it has, and nobody is on it: what
// containers shall reach must not look like their neighbour.
func SettleBridge(ctx context.Context, st *storage.Store) error {
	there := routes()
	clash := func() (bool, error) {
		n, err := network.Find(st, network.Bridge)
		return err == nil && overlaps(netip.MustParsePrefix(n.IPAM.Config[0].Subnet), there), err
	}
	if wrong, err := clash(); !wrong {
		return err
	}
	held, err := exclusive(ctx, st)
	if err != nil {
		return err
	}
	defer held.Release()
	if wrong, err := clash(); !wrong {
		return err // somebody was faster
	}
	users, err := Users(st)
	if err != nil {
		return err
	}
	all, err := network.List(st)
	if err != nil {
		return err
	}
	for _, n := range all {
		if n.Name == network.Bridge && len(users[n.ID]) > 0 {
			return nil // not under their feet
		}
	}
	p, err := free(append(prefixes(all), there...))
	if err != nil {
		return nil //nolint:nilerr // nothing better: it stays, and works but for those ways
	}
	return network.SetBridge(st, p)
}

// InUseError says that running containers are on a network, in docker's words.
type InUseError struct {
	Name  string
	Users []User
}

func (e *InUseError) Error() string {
	var who []string
	for _, u := range e.Users {
		who = append(who, fmt.Sprintf("name:%q id:%q", u.Container.Config.Name, u.Endpoint.ID[:12]))
	}
	return fmt.Sprintf("error while removing network: network %s has active endpoints (%s)", e.Name, strings.Join(who, ", "))
}

// BuiltinError says that a network is always there, in docker's words.
type BuiltinError struct{ Name string }

func (e *BuiltinError) Error() string {
	return e.Name + " is a pre-defined network and cannot be removed"
}

// Remove deletes the network that ref names, unless a running container is on
// it.
func Remove(ctx context.Context, st *storage.Store, ref string) (*network.Network, error) {
	held, err := exclusive(ctx, st)
	if err != nil {
		return nil, err
	}
	defer held.Release()
	n, err := network.Find(st, ref)
	if err != nil {
		return nil, err
	}
	if network.Builtin(n.Name) {
		return nil, &BuiltinError{n.Name}
	}
	users, err := Users(st)
	if err != nil {
		return nil, err
	}
	if len(users[n.ID]) > 0 {
		return nil, &InUseError{n.Name, users[n.ID]}
	}
	return n, network.Remove(st, n)
}
