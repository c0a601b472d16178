package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/runtime/embedded"
	rnetwork "skiff/runtime/network"
	"skiff/runtime/network/wire"
	"skiff/runtime/stage/hub"
	"skiff/runtime/stage/message"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/lock"
	snetwork "skiff/storage/network"
)

// network is how a container reaches the world.
type network struct {
	helper      *message.Helper // started beside the container, nil without
	hub         *message.Hub    // the user's networks, nil without
	resolver    string          // address of a name server for the container
	asksFor     bool            // the resolver knows of --dns itself
	addressed   bool            // the hub says what addresses it has
	hostNetwork bool
	held        *lock.Lock // the set of networks, until it was started
}

// release lets networks be removed again.
func (n network) release() { n.held.Release() }

// bridged reports whether a mode puts the container on networks with addresses.
func bridged(mode string) bool {
	switch kind, _, _ := strings.Cut(mode, ":"); kind {
	case "host", "none", "container", "ns", "pasta":
		return false
	}
	return true
}

// hubOf is the network program of a store.
func hubOf(st *storage.Store) (*message.Hub, error) {
	program, err := embedded.Network(st.Cache())
	if err != nil {
		return nil, err
	}
	return &message.Hub{Dir: snetwork.Dir(st), Program: program, Args: []string{st.Dir}}, nil
}

// warmHub starts the network program while the front still works out what to
// ask of it, and keeps it until the returned connection is closed. A failure
// shows again when it is needed.
func warmHub(st *storage.Store) message.Conn {
	if rootless.Await() != nil {
		return message.Conn{FD: -1}
	}
	h, err := hubOf(st)
	if err != nil {
		return message.Conn{FD: -1}
	}
	conn, err := hub.Hold(h)
	if err != nil {
		return message.Conn{FD: -1}
	}
	return conn
}

// chooseNetwork decides how c reaches the world. The caller releases what comes
// back when c was started, or was not.
func chooseNetwork(ctx context.Context, c *container.Container) (network, error) {
	mode := c.Config.Host.NetworkMode
	switch {
	case mode == "host":
		return network{hostNetwork: true}, nil
	case mode == "pasta":
		return pasta(c)
	case strings.HasPrefix(mode, "ns:"):
		if err := checkNamespace(strings.TrimPrefix(mode, "ns:")); err != nil {
			return network{}, err
		}
		return network{}, nil
	case !bridged(mode):
		return network{}, nil
	}
	if onDefault(c) {
		if err := rnetwork.SettleBridge(ctx, c.Store); err != nil {
			return network{}, err
		}
	}
	file, err := snetwork.LockFile(c.Store)
	if err != nil {
		return network{}, err
	}
	held, err := lock.Shared(ctx, file)
	if err != nil {
		return network{}, err
	}
	n, err := onHub(c)
	if err != nil {
		held.Release()
		return network{}, err
	}
	n.held = held
	return n, nil
}

func onDefault(c *container.Container) bool {
	return slices.ContainsFunc(c.Config.Endpoints(), func(e container.Endpoint) bool { return e.Network == snetwork.Bridge })
}

// checkNamespace says early what init would find out late.
func checkNamespace(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		// Not in the kernel's words, which stand for a missing program: 127.
		return fmt.Errorf("network namespace %s does not exist", path)
	}
	if err != nil {
		return fmt.Errorf("network namespace %s: %w", path, err)
	}
	defer unix.Close(fd)
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		return fmt.Errorf("network namespace %s: the file is none", path)
	}
	return nil
}

func onHub(c *container.Container) (network, error) {
	cfg := c.Config
	ask := wire.Attach{
		ID: cfg.ID, Dir: c.Dir(), Name: cfg.Name, Hostname: cfg.Config.Hostname, Domainname: cfg.Config.Domainname,
		Resolvers: cfg.Host.DNS,
	}
	n := network{addressed: true}
	for _, want := range cfg.Endpoints() {
		e, err := WireEndpoint(c.Store, want, cfg.Host.Links)
		if err != nil {
			return n, err
		}
		e.Aliases = slices.Concat(e.Aliases, cfg.ServiceNames())
		if e.Network.Name == snetwork.Bridge {
			if n.resolver == "" {
				n.resolver = e.Network.IPAM.Config[0].Gateway
			}
		} else {
			n.resolver, n.asksFor = "127.0.0.11", true
		}
		ask.Endpoints = append(ask.Endpoints, *e)
	}
	var err error
	if ask.Ports, err = wirePorts(cfg); err != nil {
		return n, err
	}
	if len(ask.Endpoints) > 0 {
		bindTo(ask.Ports, &ask.Endpoints[0].Network)
	}
	if n.hub, err = hubOf(c.Store); err != nil {
		return n, err
	}
	n.hub.Request, err = json.Marshal(ask)
	return n, err
}

// bindTo gives ports without an address the one that the network prefers.
func bindTo(ports []wire.Port, n *snetwork.Network) {
	a, err := netip.ParseAddr(n.Options["com.docker.network.bridge.host_binding_ipv4"])
	if err != nil || a.IsUnspecified() {
		return
	}
	for i := range ports {
		if !ports[i].HostIP.IsValid() {
			ports[i].HostIP = a
		}
	}
}

// NotFoundError says that a network that a container belongs on is not there, in
// docker's words.
type NotFoundError struct{ Name string }

func (e *NotFoundError) Error() string { return "network " + e.Name + " not found" }
func (e *NotFoundError) Unwrap() error { return snetwork.ErrNotFound }

// WireEndpoint finds the network of a wish and words it for the network program.
// links are --link, container:alias.
func WireEndpoint(st *storage.Store, want container.Endpoint, links []string) (*wire.Endpoint, error) {
	n, err := snetwork.Find(st, want.Network)
	if errors.Is(err, snetwork.ErrNotFound) {
		return nil, &NotFoundError{want.Network}
	}
	if err != nil {
		return nil, err
	}
	if n.Driver != "bridge" {
		return nil, fmt.Errorf("network-scoped options are not supported on network %s", n.Name)
	}
	e := &wire.Endpoint{
		Network: *n, MAC: want.MAC, Aliases: want.Aliases, GwPriority: want.GwPriority,
		Links: append(slices.Clone(want.Links), links...),
	}
	for _, a := range []struct {
		text string
		to   *netip.Addr
	}{{want.IPv4, &e.Address}, {want.IPv6, &e.Address6}} {
		if a.text == "" {
			continue
		}
		if *a.to, err = netip.ParseAddr(a.text); err != nil {
			return nil, fmt.Errorf("invalid address %s: %w", a.text, err)
		}
	}
	for _, text := range want.LinkLocal {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("invalid link-local IP address: %s", text)
		}
		e.LinkLocal = append(e.LinkLocal, a)
	}
	e.Options = want.DriverOpts
	return e, nil
}

// wirePorts are the ports to publish; with -P every exposed one that is not
// published already.
func wirePorts(cfg *container.Config) ([]wire.Port, error) {
	bindings := map[string][]container.PortBinding{}
	for port, list := range cfg.Host.PortBindings {
		bindings[port] = list
	}
	if cfg.Host.PublishAllPorts {
		for port := range cfg.Config.ExposedPorts {
			if len(bindings[port]) == 0 {
				bindings[port] = []container.PortBinding{{}}
			}
		}
	}
	var ports []wire.Port
	for _, name := range sortedPorts(bindings) {
		number, proto, _ := strings.Cut(name, "/")
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("invalid port %q", name)
		}
		if proto == "sctp" {
			return nil, fmt.Errorf("publish %s: SCTP is not supported", name)
		}
		for _, b := range bindings[name] {
			p := wire.Port{Protocol: proto, Container: uint16(n)}
			if b.HostIP != "" {
				if p.HostIP, err = netip.ParseAddr(b.HostIP); err != nil {
					return nil, fmt.Errorf("invalid IP address: %s", b.HostIP)
				}
			}
			if p.First, p.Last, err = hostPorts(b.HostPort); err != nil {
				return nil, fmt.Errorf("invalid hostPort: %s", b.HostPort)
			}
			ports = append(ports, p)
		}
	}
	return ports, nil
}

func hostPorts(s string) (first, last uint16, err error) {
	if s == "" {
		return 0, 0, nil
	}
	low, high, span := strings.Cut(s, "-")
	if !span {
		high = low
	}
	a, err := strconv.ParseUint(low, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	b, err := strconv.ParseUint(high, 10, 16)
	return uint16(a), uint16(b), err
}

// sortedPorts orders ports by number, then protocol: fixed ports before chosen
// ones is not needed, since the kernel never chooses one that is asked for.
func sortedPorts[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		na, pa, _ := strings.Cut(a, "/")
		nb, pb, _ := strings.Cut(b, "/")
		ia, _ := strconv.Atoi(na)
		ib, _ := strconv.Atoi(nb)
		if ia != ib {
			return ia - ib
		}
		return strings.Compare(pa, pb)
	})
	return names
}

// hostAddress is the address of this machine that containers reach it by: that
// of its way to the world. Its loopback interface is not theirs to reach.
func hostAddress() (string, error) {
	for _, to := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} { // nothing is sent
		if conn, err := net.Dial("udp", to); err == nil {
			defer conn.Close()
			return conn.LocalAddr().(*net.UDPAddr).IP.String(), nil
		}
	}
	return "", errors.New("unable to derive the IP value for host-gateway: this machine has no way to the world")
}

// pasta connects a container that is on no network of ours by a program of its
// own: no neighbours and no names, the machine's own addresses.
func pasta(c *container.Container) (network, error) {
	path := lookPath("pasta")
	switch {
	case path == "":
		return network{}, errors.New("network pasta: the program is not installed")
	case !rootless.Rootless():
		return network{}, errors.New("network pasta: not for root, whom pasta does not serve")
	}
	ports, err := wirePorts(c.Config)
	if err != nil {
		return network{}, err
	}
	tcp, udp := []string{}, []string{}
	for _, p := range ports {
		spec := fmt.Sprintf("%d:%d", p.First, p.Container)
		if p.First == 0 || p.First != p.Last {
			return network{}, fmt.Errorf("network pasta: port %d needs one port of the host", p.Container)
		}
		if p.HostIP.IsValid() && !p.HostIP.IsUnspecified() {
			spec = p.HostIP.String() + "/" + spec
		}
		if p.Protocol == "udp" {
			udp = append(udp, "-u", spec)
		} else {
			tcp = append(tcp, "-t", spec)
		}
	}
	if len(tcp) == 0 {
		tcp = []string{"-t", "none"}
	}
	if len(udp) == 0 {
		udp = []string{"-u", "none"}
	}
	netns, ready := filepath.Join(c.Dir(), "netns"), filepath.Join(c.Dir(), "network.ready")
	args := append(append([]string{"--config-net", "--foreground", "--quiet", "--pid", ready}, tcp...), udp...)
	args = append(args, "-T", "none", "-U", "none",
		"--no-map-gw", "--dns-forward", "169.254.1.1", "--netns-only", "--netns", netns)
	return network{resolver: "169.254.1.1", helper: &message.Helper{Path: path, Netns: netns, Ready: ready, Args: args}}, nil
}

// lookPath is exec.LookPath that answers with an empty path.
func lookPath(name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return path
}

// CheckEndpoint refuses addresses that the network can never give, in docker's
// words, before anything is made.
func CheckEndpoint(e *wire.Endpoint) error {
	for _, a := range []netip.Addr{e.Address, e.Address6} {
		if !a.IsValid() {
			continue
		}
		if e.Network.Name == snetwork.Bridge {
			return errors.New("user specified IP address is supported on user defined networks only")
		}
		if !e.Network.Configured {
			return errors.New("invalid config for network " + e.Network.Name + ": invalid endpoint settings:\n" +
				"user specified IP address is supported only when connecting to networks with user configured subnets")
		}
		fits := func(p snetwork.Pool) bool {
			prefix, err := netip.ParsePrefix(p.Subnet)
			return err == nil && prefix.Contains(a)
		}
		if !slices.ContainsFunc(e.Network.IPAM.Config, fits) {
			return fmt.Errorf("invalid config for network %s: invalid endpoint settings:\n"+
				"no configured subnet contains IP address %s", e.Network.Name, a)
		}
	}
	return nil
}
