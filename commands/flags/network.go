package flags

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/failure"
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

// Network fills what p and h say about network, names and ports. Networks of
// the user's own and published ports do not exist yet: the first are refused,
// the second kept and warned of.
func Network(c *cli.Context, p *container.Process, h *container.Host) (warnings []string, err error) {
	if h.NetworkMode, err = networkMode(c.StringSlice("network")); err != nil {
		return nil, err
	}
	for _, name := range []string{"ip", "ip6", "link", "link-local-ip", "network-alias"} {
		if c.IsSet(name) {
			return nil, fmt.Errorf("--%s: %w", name, errUserNetwork)
		}
	}
	if c.IsSet("mac-address") {
		warnings = append(warnings, "--mac-address is not supported and has no effect.")
	}
	p.Hostname, p.Domainname = c.String("hostname"), c.String("domainname")
	for _, name := range []string{p.Hostname, p.Domainname} {
		if name != "" && !ValidHostname(name) {
			return nil, fmt.Errorf("invalid hostname format: %q", name)
		}
	}
	if err := resolver(c, h); err != nil {
		return nil, err
	}
	for _, e := range c.StringSlice("expose") {
		ports, err := portRange(e)
		if err != nil {
			return nil, fmt.Errorf("invalid range format for --expose: %w", err)
		}
		p.ExposedPorts = expose(p.ExposedPorts, ports)
	}
	for _, s := range c.StringSlice("publish") {
		bindings, err := ParsePublish(s)
		if err != nil {
			return nil, fmt.Errorf("invalid publish opts format (should be name=value but got '%s'): %w", s, err)
		}
		if h.PortBindings == nil {
			h.PortBindings = map[string][]container.PortBinding{}
		}
		for _, b := range bindings {
			p.ExposedPorts = expose(p.ExposedPorts, []string{b.Port})
			h.PortBindings[b.Port] = append(h.PortBindings[b.Port], b.PortBinding)
		}
	}
	h.PublishAllPorts = c.Bool("publish-all")
	if len(h.PortBindings) > 0 || h.PublishAllPorts {
		if h.NetworkMode == "host" {
			warnings = append(warnings, "Published ports are discarded when using host network mode")
		} else {
			warnings = append(warnings, "Publishing ports is not supported yet; the ports are kept in the configuration only.")
		}
	}
	return warnings, nil
}

var errUserNetwork = errors.New("only networks of the user's own support it, and there are none yet")

// networkMode takes the last --network; the long form name=x counts as x.
func networkMode(values []string) (string, error) {
	mode := "default"
	for _, v := range values {
		for _, field := range strings.Split(v, ",") {
			key, value, long := strings.Cut(field, "=")
			switch {
			case !long && v == field:
				mode = v
			case key == "name":
				mode = value
			default:
				return "", fmt.Errorf("--network %s: %w", v, errUserNetwork)
			}
		}
	}
	switch kind, ref, _ := strings.Cut(mode, ":"); {
	case mode == "":
		return "", errors.New("invalid network name: empty")
	case kind == "container" && ref == "":
		return "", errors.New("--net: invalid net mode: invalid container format container:<name|id>")
	}
	if len(values) > 1 {
		return "", fmt.Errorf("several networks: %w", errUserNetwork)
	}
	return mode, nil
}

func resolver(c *cli.Context, h *container.Host) error {
	for _, a := range c.StringSlice("dns") {
		if _, err := netip.ParseAddr(a); err != nil {
			return &failure.Value{Flag: "dns", Value: a, Err: fmt.Errorf("%s is not an ip address", a)}
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
