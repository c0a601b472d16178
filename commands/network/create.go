package network

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	runtime "skiff/runtime/network"
	"skiff/storage/network"
)

// CreateCommand makes a network.
func CreateCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "Create a network",
		ArgsUsage: "[OPTIONS] NETWORK",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "attachable", Usage: "Enable manual container attachment"},
			flags.TypedList(&cli.StringSliceFlag{Name: "aux-address", Usage: "Auxiliary IPv4 or IPv6 addresses used by Network driver"}, "map"),
			&cli.StringFlag{Name: "driver", Aliases: []string{"d"}, Value: "bridge", Usage: "Driver to manage the Network"},
			flags.TypedList(&cli.StringSliceFlag{Name: "gateway", Usage: "IPv4 or IPv6 Gateway for the master subnet"}, "strings"),
			&cli.BoolFlag{Name: "ignore", Usage: "Leave a network of that name as it is, instead of failing"},
			&cli.BoolFlag{Name: "internal", Usage: "Restrict external access to the network"},
			flags.TypedList(&cli.StringSliceFlag{Name: "ip-range", Usage: "Allocate container ip from a sub-range"}, "strings"),
			&cli.StringFlag{Name: "ipam-driver", Value: "default", Usage: "IP Address Management Driver"},
			flags.TypedList(&cli.StringSliceFlag{Name: "ipam-opt", Usage: "Set IPAM driver specific options"}, "map"),
			&cli.BoolFlag{Name: "ipv4", Value: true, Usage: "Enable or disable IPv4 address assignment"},
			&cli.BoolFlag{Name: "ipv6", Usage: "Enable or disable IPv6 address assignment"},
			&cli.StringSliceFlag{Name: "label", Usage: "Set metadata on a network"},
			flags.TypedList(&cli.StringSliceFlag{Name: "opt", Aliases: []string{"o"}, Usage: "Set driver specific options"}, "map"),
			&cli.StringFlag{Name: "scope", Usage: "Control the network's scope"},
			flags.TypedList(&cli.StringSliceFlag{Name: "subnet", Usage: "Subnet in CIDR format that represents a network segment"}, "strings"),
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 1); err != nil {
				return err
			}
			n, warnings, err := parseCreate(c)
			if err != nil {
				return err
			}
			for _, w := range warnings {
				fmt.Fprintln(e.Err, "WARNING: "+w)
			}
			st, err := e.Store()
			if err != nil {
				return err
			}
			err = runtime.Create(c.Context, st, n)
			if taken := new(runtime.TakenError); c.Bool("ignore") && errors.As(err, &taken) {
				_, err = fmt.Fprintln(e.Out, n.Name)
				return err
			}
			if err != nil {
				return err
			}
			happened(st, n, "create")
			_, err = fmt.Fprintln(e.Out, n.ID)
			return err
		},
	}
}

func parseCreate(c *cli.Context) (n *network.Network, warnings []string, err error) {
	n = &network.Network{
		Name: c.Args().First(), EnableIPv4: c.Bool("ipv4"), EnableIPv6: c.Bool("ipv6"),
		Internal: c.Bool("internal"), Attachable: c.Bool("attachable"), Options: map[string]string{},
		IPAM: network.IPAM{Driver: c.String("ipam-driver"), Options: map[string]string{}},
	}
	switch d := c.String("driver"); d {
	case "bridge":
	case "host", "null":
		return nil, nil, failure.Engine(nil, "only one instance of %q network is allowed", d)
	default:
		return nil, nil, failure.Engine(nil, "could not find plugin %s in v1 plugin registry: plugin not found", d)
	}
	if d := n.IPAM.Driver; d != "default" {
		return nil, nil, failure.Engine(nil, "could not find IPAM plugin %s: plugin not found", d)
	}
	if s := c.String("scope"); s != "" && s != "local" {
		return nil, nil, failure.Engine(nil, "scope %q is not supported: networks are this machine's", s)
	}
	if !n.EnableIPv4 && !n.EnableIPv6 {
		return nil, nil, failure.Engine(nil, "IPv4 or IPv6 must be enabled")
	}
	if n.Labels, err = flags.Labels(nil, c.StringSlice("label")); err != nil {
		return nil, nil, err
	}
	if n.Labels == nil {
		n.Labels = map[string]string{}
	}
	for _, o := range c.StringSlice("opt") {
		key, value, _ := strings.Cut(o, "=")
		n.Options[key] = value
	}
	if warnings, err = checkOptions(n); err != nil {
		return nil, nil, err
	}
	for range c.StringSlice("ipam-opt") {
		warnings = append(warnings, "--ipam-opt has no effect.")
	}
	n.IPAM.Config, err = pools(c.StringSlice("subnet"), c.StringSlice("ip-range"), c.StringSlice("gateway"), c.StringSlice("aux-address"))
	return n, warnings, err
}

const (
	optionMTU         = "com.docker.network.driver.mtu"
	optionBridge      = "com.docker.network.bridge.name"
	optionICC         = "com.docker.network.bridge.enable_icc"
	optionHostBinding = "com.docker.network.bridge.host_binding_ipv4"
	optionMasquerade  = "com.docker.network.bridge.enable_ip_masquerade"
)

// checkOptions refuses values that cannot be and names options that have no
// effect.
func checkOptions(n *network.Network) (warnings []string, err error) {
	for _, key := range slices.Sorted(maps.Keys(n.Options)) {
		value := n.Options[key]
		ok := true
		switch key {
		case optionMTU:
			var mtu int
			_, err := fmt.Sscan(value, &mtu)
			ok = err == nil && mtu >= 68 && mtu <= 65535 // RFC 791
		case optionBridge:
			ok = len(value) > 0 && len(value) < 16 && network.CheckName(value) == nil &&
				value != "lo" && value != "world0" && !strings.HasPrefix(value, "veth") && !strings.HasPrefix(value, "br-")
		case optionICC:
			ok = value == "true" || value == "false"
		case optionHostBinding:
			a, err := netip.ParseAddr(value)
			ok = err == nil && a.Is4()
		case optionMasquerade:
			if value != "true" {
				warnings = append(warnings, "--opt "+key+"="+value+" has no effect: containers always reach the world with this machine's address.")
			}
		default:
			warnings = append(warnings, "--opt "+key+" has no effect.")
		}
		if !ok {
			return nil, failure.Engine(nil, "invalid value for option %s: %q", key, value)
		}
	}
	return warnings, nil
}

// pools joins what the flags say about each subnet.
func pools(subnets, ranges, gateways, aux []string) ([]network.Pool, error) {
	if len(subnets) == 0 {
		if len(ranges)+len(gateways)+len(aux) > 0 {
			return nil, failure.Local("every ip-range or gateway must have a corresponding subnet")
		}
		return nil, nil
	}
	all := make([]network.Pool, len(subnets))
	prefixes := make([]netip.Prefix, len(subnets))
	for i, s := range subnets {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, failure.Local("invalid subnet %s: invalid CIDR address: %s", s, s)
		}
		if p != p.Masked() {
			return nil, failure.Engine(nil, "invalid network config:\ninvalid subnet %s: it should be %s", s, p.Masked())
		}
		if p.Addr().Is4() && p.Bits() > 30 || p.Addr().Is6() && p.Bits() > 126 || p.Bits() == 0 {
			return nil, failure.Engine(nil, "invalid network config:\ninvalid subnet %s: there is no room in it", s)
		}
		for _, other := range prefixes[:i] {
			if other.Overlaps(p) {
				return nil, failure.Local("multiple overlapping subnet configuration is not supported")
			}
		}
		all[i].Subnet, prefixes[i] = p.String(), p
	}
	within := func(a netip.Addr) int {
		return slices.IndexFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	for _, r := range ranges {
		p, err := netip.ParsePrefix(r)
		if err != nil {
			return nil, failure.Local("invalid CIDR address: %s", r)
		}
		i := within(p.Addr())
		if i < 0 || p.Bits() < prefixes[i].Bits() {
			return nil, failure.Local("no matching subnet for range %s", r)
		}
		if all[i].IPRange != "" {
			return nil, failure.Local("cannot configure multiple ranges (%s, %s) on the same subnet (%s)", r, all[i].IPRange, all[i].Subnet)
		}
		all[i].IPRange = p.Masked().String()
	}
	for _, g := range gateways {
		a, err := netip.ParseAddr(g)
		i := -1
		if err == nil {
			i = within(a)
		}
		if i < 0 {
			return nil, failure.Local("no matching subnet for gateway %s", g)
		}
		if all[i].Gateway != "" {
			return nil, failure.Local("cannot configure multiple gateways (%s, %s) for the same subnet (%s)", g, all[i].Gateway, all[i].Subnet)
		}
		all[i].Gateway = a.String()
	}
	for _, x := range aux {
		name, value, ok := strings.Cut(x, "=")
		a, err := netip.ParseAddr(value)
		i := -1
		if ok && err == nil {
			i = within(a)
		}
		if i < 0 {
			return nil, failure.Local("no matching subnet for aux-address %s", value)
		}
		if all[i].Auxiliary == nil {
			all[i].Auxiliary = map[string]string{}
		}
		all[i].Auxiliary[name] = a.String()
	}
	return all, nil
}
