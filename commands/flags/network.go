package flags

import (
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/failure"
	"skiff/runtime/network/wire"
	"skiff/storage/container"
)

// NetworkFlags are the flags about a container's network and names.
func NetworkFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "add-host", Usage: "Add a custom host-to-IP mapping (host:ip)"},
		&cli.StringSliceFlag{Name: "dns", Usage: "Set custom DNS servers"},
		&cli.StringSliceFlag{Name: "dns-option", Aliases: []string{"dns-opt"}, Usage: "Set DNS options"},
		&cli.StringSliceFlag{Name: "dns-search", Usage: "Set custom DNS search domains"},
		&cli.StringFlag{Name: "domainname", Usage: "Container NIS domain name"},
		&cli.StringSliceFlag{Name: "expose", Usage: "Expose a port or a range of ports"},
		&cli.StringFlag{Name: "hostname", Aliases: []string{"h"}, Usage: "Container host name"},
		&cli.StringFlag{Name: "ip", Usage: "IPv4 address (e.g., 172.30.100.104)"},
		&cli.StringFlag{Name: "ip6", Usage: "IPv6 address (e.g., 2001:db8::33)"},
		&cli.StringSliceFlag{Name: "link", Usage: "Add link to another container"},
		&cli.StringSliceFlag{Name: "link-local-ip", Usage: "Container IPv4/IPv6 link-local addresses"},
		&cli.StringFlag{Name: "mac-address", Usage: "Container MAC address (e.g., 92:d0:c6:0a:29:33)"},
		TypedList(&cli.StringSliceFlag{Name: "network", Aliases: []string{"net"}, Usage: "Connect a container to a network"}, "network"),
		&cli.StringSliceFlag{Name: "network-alias", Aliases: []string{"net-alias"}, Usage: "Add network-scoped alias for the container"},
		&cli.StringSliceFlag{Name: "publish", Aliases: []string{"p"}, Usage: "Publish a container's port(s) to the host"},
		&cli.BoolFlag{Name: "publish-all", Aliases: []string{"P"}, Usage: "Publish all exposed ports to random ports"},
	}
}

// Network fills what p and h say about network, names and ports, and returns the
// networks with addresses that were asked for, in order.
func Network(c *cli.Context, p *container.Process, h *container.Host) (endpoints []container.Endpoint, warnings []string, err error) {
	if h.NetworkMode, endpoints, err = networks(c); err != nil {
		return nil, nil, err
	}
	for _, e := range endpoints {
		for _, key := range slices.Sorted(maps.Keys(e.DriverOpts)) {
			if w, _ := AddDriverOption(&container.Endpoint{}, key+"="+e.DriverOpts[key]); w != "" {
				warnings = append(warnings, w)
			}
		}
	}
	p.Hostname, p.Domainname = c.String("hostname"), c.String("domainname")
	for _, name := range []string{p.Hostname, p.Domainname} {
		if name != "" && !ValidHostname(name) {
			return nil, nil, fmt.Errorf("invalid hostname format: %q", name)
		}
	}
	if err := resolver(c, h); err != nil {
		return nil, nil, err
	}
	for _, l := range c.StringSlice("link") {
		if _, _, err := parseLink(l); err != nil {
			return nil, nil, &failure.Value{Flag: "link", Value: l, Err: err}
		}
		h.Links = append(h.Links, l)
	}
	for _, e := range c.StringSlice("expose") {
		ports, err := portRange(e)
		if err != nil {
			return nil, nil, fmt.Errorf("invalid range format for --expose: %w", err)
		}
		p.ExposedPorts = expose(p.ExposedPorts, ports)
	}
	if err := publish(c, p, h); err != nil {
		return nil, nil, err
	}
	if err := conflicts(c, h); err != nil {
		return nil, nil, err
	}
	if (len(h.PortBindings) > 0 || h.PublishAllPorts) && h.NetworkMode == "host" {
		warnings = append(warnings, "Published ports are discarded when using host network mode")
	}
	return endpoints, warnings, nil
}

func publish(c *cli.Context, p *container.Process, h *container.Host) error {
	for _, s := range c.StringSlice("publish") {
		bindings, err := ParsePublish(s)
		if err != nil {
			return err
		}
		if h.PortBindings == nil {
			h.PortBindings = map[string][]container.PortBinding{}
		}
		for _, b := range bindings {
			p.ExposedPorts = expose(p.ExposedPorts, []string{b.Port})
			if !slices.Contains(h.PortBindings[b.Port], b.PortBinding) {
				h.PortBindings[b.Port] = append(h.PortBindings[b.Port], b.PortBinding)
			}
		}
	}
	h.PublishAllPorts = c.Bool("publish-all")
	return nil
}

// conflicts refuses what a network namespace of somebody else's cannot give.
func conflicts(c *cli.Context, h *container.Host) error {
	kind, _, _ := strings.Cut(h.NetworkMode, ":")
	if kind == "host" && len(h.Links) > 0 {
		return errors.New("conflicting options: host type networking can't be used with links. This would result in undefined behavior")
	}
	if kind != "container" {
		return nil
	}
	for _, no := range []struct{ flag, text string }{
		{"link", "conflicting options: container type network can't be used with links. This would result in undefined behavior"},
		{"dns", "conflicting options: dns and the network mode"},
		{"add-host", "conflicting options: custom host-to-IP mapping and the network mode"},
		{"mac-address", "conflicting options: mac-address and the network mode"},
		{"publish", "conflicting options: port publishing and the container type network mode"},
		{"publish-all", "conflicting options: port publishing and the container type network mode"},
		{"expose", "conflicting options: port exposing and the container type network mode"},
	} {
		if c.IsSet(no.flag) {
			return errors.New(no.text)
		}
	}
	return nil
}

// parseLink reads name[:alias].
func parseLink(s string) (name, alias string, err error) {
	name, alias, ok := strings.Cut(s, ":")
	if !ok {
		alias = name
	}
	if name == "" || alias == "" || strings.Contains(alias, ":") {
		return "", "", fmt.Errorf("bad format for links: %s", s)
	}
	if !ValidHostname(alias) {
		return "", "", fmt.Errorf("%q is not a host name", alias)
	}
	return name, alias, nil
}

// networks reads --network and what belongs to the first of them. The mode is
// its name, or the kind of a namespace that has no networks of ours.
func networks(c *cli.Context) (mode string, endpoints []container.Endpoint, err error) {
	values := c.StringSlice("network")
	if len(values) == 0 {
		values = []string{"default"}
	}
	for _, v := range values {
		e, err := parseNetwork(v)
		if err != nil {
			return "", nil, &failure.Value{Flag: "network", Value: v, Err: err}
		}
		if slices.ContainsFunc(endpoints, func(o container.Endpoint) bool { return o.Network == e.Network }) {
			return "", nil, fmt.Errorf("network %q is specified multiple times", e.Network)
		}
		endpoints = append(endpoints, e)
	}
	mode = endpoints[0].Network
	if err := firstNetwork(c, &endpoints[0]); err != nil {
		return "", nil, err
	}
	for _, e := range endpoints {
		kind, ref, isRef := strings.Cut(e.Network, ":")
		switch {
		case kind == "container" && ref == "":
			return "", nil, errors.New("--net: invalid net mode: invalid container format container:<name|id>")
		case kind == "ns" && ref == "":
			return "", nil, errors.New("--net: invalid net mode: ns:<path> needs a path")
		case isRef && kind != "container" && kind != "ns":
			return "", nil, fmt.Errorf("invalid network name: %q", e.Network)
		case hasNone(e.Network):
			if len(endpoints) > 1 {
				return "", nil, errors.New("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
			}
			if err := plainOnly(e); err != nil {
				return "", nil, err
			}
			return mode, nil, nil
		}
	}
	if e := endpoints[0]; len(endpoints) == 1 && isDefault(mode) && e.GwPriority == 0 && e.MAC == "" && len(e.Aliases) == 0 && e.IPv4 == "" && e.IPv6 == "" && len(e.LinkLocal) == 0 && len(e.DriverOpts) == 0 {
		return mode, nil, nil
	}
	for i := range endpoints {
		if isDefault(endpoints[i].Network) {
			if err := plainOnly(endpoints[i]); err != nil {
				return "", nil, err
			}
			endpoints[i].Network = "bridge"
		}
	}
	return mode, endpoints, nil
}

// hasNone: networks with addresses of ours do not exist in this mode.
func hasNone(mode string) bool {
	kind, _, _ := strings.Cut(mode, ":")
	return slices.Contains([]string{"host", "none", "container", "ns", "pasta"}, kind)
}

func isDefault(name string) bool { return name == "default" || name == "bridge" || name == "usernet" }

// plainOnly refuses what only a network of the user's own can give.
func plainOnly(e container.Endpoint) error {
	name := e.Network
	if isDefault(name) {
		name = "bridge"
	}
	switch {
	case e.IPv4 != "" || e.IPv6 != "" || len(e.LinkLocal) > 0 && hasNone(name):
		return failure.Engine(nil, "invalid config for network %s: invalid endpoint settings:\n"+
			"user specified IP address is supported on user defined networks only", name)
	case len(e.Aliases) > 0:
		return failure.Engine(nil, "invalid config for network %s: invalid endpoint settings:\n"+
			"network-scoped aliases are only supported for user-defined networks", name)
	}
	return nil
}

// firstNetwork adds the flags that say something about the first network.
func firstNetwork(c *cli.Context, e *container.Endpoint) error {
	for _, f := range []struct {
		flag string
		six  bool
		to   *string
	}{{"ip", false, &e.IPv4}, {"ip6", true, &e.IPv6}} {
		if !c.IsSet(f.flag) {
			continue
		}
		if *f.to != "" {
			return fmt.Errorf("conflicting options: cannot specify both --%s and per-network %s address", f.flag, map[bool]string{false: "IPv4", true: "IPv6"}[f.six])
		}
		if err := setAddress(f.to, c.String(f.flag), f.six); err != nil {
			return err
		}
	}
	if c.IsSet("mac-address") {
		if e.MAC != "" {
			return errors.New("conflicting options: cannot specify both --mac-address and per-network MAC address")
		}
		if err := setMAC(e, c.String("mac-address")); err != nil {
			return err
		}
	}
	if c.IsSet("network-alias") {
		if len(e.Aliases) > 0 {
			return errors.New("conflicting options: cannot specify both --network-alias and per-network alias")
		}
		for _, a := range c.StringSlice("network-alias") {
			if err := AddAlias(e, a); err != nil {
				return err
			}
		}
	}
	if c.IsSet("link-local-ip") {
		if len(e.LinkLocal) > 0 {
			return errors.New("conflicting options: cannot specify both --link-local-ip and per-network link-local IP addresses")
		}
		for _, a := range c.StringSlice("link-local-ip") {
			if err := AddLinkLocal(e, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// AddLinkLocal gives an endpoint one more address, a link-local one.
func AddLinkLocal(e *container.Endpoint, value string) error {
	a, err := netip.ParseAddr(value)
	if err != nil || !a.IsLinkLocalUnicast() || a.Zone() != "" || a.Is4In6() {
		return failure.Engine(nil, "invalid link-local IP address: %s", value)
	}
	e.LinkLocal = append(e.LinkLocal, a.String())
	return nil
}

// AddDriverOption takes KEY=VALUE about an endpoint. What nothing knows has no
// effect, which the warning says.
func AddDriverOption(e *container.Endpoint, option string) (warning string, err error) {
	key, value, ok := strings.Cut(option, "=")
	if !ok || key == "" {
		return "", fmt.Errorf("invalid key value pair format in driver options: %s", option)
	}
	switch key {
	case wire.OptionInterface:
		if value == "" || len(value) > 15 || value == "." || value == ".." || value == "all" || value == "default" ||
			strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == ':' || r == '%' }) {
			return "", failure.Engine(nil, "invalid value for option %s: %q is no interface's name", key, value)
		}
	case wire.OptionSysctls:
	default:
		warning = "driver option " + key + " has no effect."
	}
	if e.DriverOpts == nil {
		e.DriverOpts = map[string]string{}
	}
	e.DriverOpts[key] = value
	return warning, nil
}

func setAddress(to *string, value string, six bool) error {
	a, err := netip.ParseAddr(value)
	if err != nil || a.Is6() != six || a.Zone() != "" {
		return fmt.Errorf("invalid IPv%d address: %s", map[bool]int{false: 4, true: 6}[six], value)
	}
	*to = a.String()
	return nil
}

func setMAC(e *container.Endpoint, value string) error {
	mac, err := net.ParseMAC(value)
	if err != nil || len(mac) != 6 || mac[0]&1 != 0 {
		return fmt.Errorf("%s is not a valid mac address", value)
	}
	e.MAC = mac.String()
	return nil
}

// AddAlias gives an endpoint one more name.
func AddAlias(e *container.Endpoint, name string) error {
	if !ValidHostname(name) {
		return fmt.Errorf("invalid network alias %q: it is not a host name", name)
	}
	e.Aliases = append(e.Aliases, name)
	return nil
}

// SetEndpointAddress takes the value of --ip or --ip6 of `network connect`.
func SetEndpointAddress(e *container.Endpoint, value string, six bool) error {
	if six {
		return setAddress(&e.IPv6, value, true)
	}
	return setAddress(&e.IPv4, value, false)
}

// parseNetwork reads one --network: a name, or name=x with options behind.
func parseNetwork(v string) (e container.Endpoint, err error) {
	if !strings.Contains(v, "=") {
		e.Network = v
		if v == "" {
			return e, errors.New("invalid network name: empty")
		}
		return e, nil
	}
	fields, err := csv.NewReader(strings.NewReader(v)).Read()
	if err != nil {
		return e, err
	}
	for _, field := range fields {
		key, value, ok := strings.Cut(strings.TrimSpace(field), "=")
		if !ok || key == "" {
			return e, fmt.Errorf("invalid field %s", field)
		}
		switch strings.ToLower(key) {
		case "name":
			e.Network = value
		case "alias":
			err = AddAlias(&e, value)
		case "ip":
			err = setAddress(&e.IPv4, value, false)
		case "ip6":
			err = setAddress(&e.IPv6, value, true)
		case "mac-address":
			err = setMAC(&e, value)
		case "gw-priority":
			e.GwPriority, err = strconv.Atoi(value)
			if err != nil {
				err = fmt.Errorf("invalid gw-priority: %s", value)
			}
		case "link-local-ip":
			err = AddLinkLocal(&e, value)
		case "driver-opt":
			_, err = AddDriverOption(&e, value)
		default:
			err = fmt.Errorf("invalid field key %s", key)
		}
		if err != nil {
			return e, err
		}
	}
	if e.Network == "" {
		return e, errors.New("network name/id is not specified")
	}
	return e, nil
}

func resolver(c *cli.Context, h *container.Host) error {
	for _, a := range c.StringSlice("dns") {
		if _, err := netip.ParseAddr(a); err != nil {
			return &failure.Value{Flag: "dns", Value: a, Err: fmt.Errorf("IP address is not correctly formatted: %s", a)}
		}
		h.DNS = append(h.DNS, a)
	}
	for _, d := range c.StringSlice("dns-search") {
		if d != "." && !ValidHostname(strings.TrimSuffix(d, ".")) {
			return &failure.Value{Flag: "dns-search", Value: d, Err: fmt.Errorf("%s is not a valid domain", d)}
		}
		h.DNSSearch = append(h.DNSSearch, d)
	}
	for _, o := range c.StringSlice("dns-option") {
		if strings.ContainsFunc(o, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return &failure.Value{Flag: "dns-option", Value: o, Err: fmt.Errorf("%s is not a valid option", o)}
		}
		h.DNSOptions = append(h.DNSOptions, o)
	}
	for _, a := range c.StringSlice("add-host") {
		entry, err := ParseExtraHost(a)
		if err != nil {
			return &failure.Value{Flag: "add-host", Value: a, Err: err}
		}
		h.ExtraHosts = append(h.ExtraHosts, entry)
	}
	return nil
}

// ParseExtraHost reads the value of --add-host, host:ip or host=ip, and returns
// it as host:ip.
func ParseExtraHost(s string) (string, error) {
	i := strings.IndexAny(s, ":=")
	if i < 1 {
		return "", fmt.Errorf("bad format for add-host: %q", s)
	}
	host, addr := s[:i], s[i+1:]
	if !ValidHostname(host) {
		return "", fmt.Errorf("bad format for add-host: %q", s)
	}
	if addr == "host-gateway" {
		return host + ":" + addr, nil
	}
	if strings.HasPrefix(addr, "[") && strings.HasSuffix(addr, "]") {
		addr = addr[1 : len(addr)-1]
	}
	if _, err := netip.ParseAddr(addr); err != nil {
		return "", fmt.Errorf("invalid IP address in add-host: %q", addr)
	}
	return host + ":" + addr, nil
}

// ValidHostname reports whether name is a host name in the sense of RFC 1123:
// labels of letters, digits and inner hyphens (underscores are tolerated, as
// docker does), 253 bytes at most. Nothing in it can end a line of /etc/hosts.
func ValidHostname(name string) bool {
	if len(name) > 253 {
		return false
	}
	for _, label := range strings.Split(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

func expose(have map[string]struct{}, ports []string) map[string]struct{} {
	if have == nil {
		have = map[string]struct{}{}
	}
	for _, p := range ports {
		have[p] = struct{}{}
	}
	return have
}

// Binding publishes one port of the container.
type Binding struct {
	Port string // "80/tcp"
	container.PortBinding
}

// ParsePublish reads the value of -p: [[ip:][hostport[-range]]:]port[-range][/proto].
func ParsePublish(s string) ([]Binding, error) {
	rest, host, ip := s, "", ""
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		rest, host = rest[i+1:], rest[:i]
		if i := strings.LastIndexByte(host, ':'); i >= 0 {
			host, ip = host[i+1:], host[:i]
		}
	}
	if ip != "" {
		bare := strings.TrimSuffix(strings.TrimPrefix(ip, "["), "]")
		if _, err := netip.ParseAddr(bare); err != nil {
			return nil, fmt.Errorf("invalid IP address: %s", ip)
		}
		ip = bare
	}
	ports, err := portRange(rest)
	if err != nil {
		return nil, err
	}
	bindings := make([]Binding, len(ports))
	var first, last uint16
	if host != "" {
		if first, last, err = parseRange(host); err != nil {
			return nil, fmt.Errorf("invalid hostPort: %s", host)
		}
		// One port may take any of a range; several need as many.
		if n := int(last-first) + 1; n != len(ports) && len(ports) != 1 {
			return nil, fmt.Errorf("invalid ranges specified for container and host Ports: %s and %s", rest, host)
		}
	}
	for i, p := range ports {
		bindings[i] = Binding{Port: p, PortBinding: container.PortBinding{HostIP: ip}}
		switch {
		case host == "":
		case len(ports) == 1 && last != first:
			bindings[i].HostPort = host
		default:
			bindings[i].HostPort = strconv.Itoa(int(first) + i)
		}
	}
	return bindings, nil
}

// ParsePort reads one port[/proto] and returns it as "80/tcp".
func ParsePort(s string) (string, error) {
	ports, err := portRange(s)
	if err == nil && len(ports) != 1 {
		err = errors.New("one port, not a range")
	}
	if err != nil {
		return "", err
	}
	return ports[0], nil
}

// portRange reads port[-port][/proto] and returns each as "80/tcp".
func portRange(s string) ([]string, error) {
	span, proto, ok := strings.Cut(s, "/")
	if !ok {
		proto = "tcp"
	}
	proto = strings.ToLower(proto)
	if proto != "tcp" && proto != "udp" && proto != "sctp" {
		return nil, fmt.Errorf("invalid proto: %s", proto)
	}
	first, last, err := parseRange(span)
	if err != nil {
		return nil, fmt.Errorf("invalid containerPort: %s", span)
	}
	var ports []string
	for p := int(first); p <= int(last); p++ {
		ports = append(ports, strconv.Itoa(p)+"/"+proto)
	}
	return ports, nil
}

func parseRange(s string) (first, last uint16, err error) {
	low, high, span := strings.Cut(s, "-")
	a, err := strconv.ParseUint(low, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	b := a
	if span {
		if b, err = strconv.ParseUint(high, 10, 16); err != nil {
			return 0, 0, err
		}
	}
	if b < a {
		return 0, 0, errors.New("the range is empty")
	}
	return uint16(a), uint16(b), nil
}
