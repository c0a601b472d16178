package container

import (
	"net/netip"
	"testing"

	"skiff/storage/container"
	"skiff/storage/network"
)

func TestPortsText(t *testing.T) {
	any4, any6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	tcp := func(ip netip.Addr, host, inside uint16) network.Port {
		return network.Port{Protocol: "tcp", HostIP: ip, Host: host, Container: inside}
	}
	for _, c := range []struct {
		name    string
		exposed []string
		ports   []network.Port
		want    string
	}{
		{"nothing", nil, nil, ""},
		{"exposed neighbours", []string{"8002/tcp", "8000/tcp", "8001/tcp", "53/udp"}, nil, "53/udp, 8000-8002/tcp"},
		{"both families", []string{"80/tcp"}, []network.Port{tcp(any4, 8080, 80), tcp(any6, 8080, 80)}, "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"},
		{"a range on itself", nil, []network.Port{tcp(any4, 8000, 8000), tcp(any4, 8001, 8001)}, "0.0.0.0:8000-8001->8000-8001/tcp"},
		{"exposed and published", []string{"80/tcp", "443/tcp"}, []network.Port{tcp(any4, 8080, 80)}, "443/tcp, 0.0.0.0:8080->80/tcp"},
	} {
		cfg := &container.Config{}
		cfg.Config.ExposedPorts = map[string]struct{}{}
		for _, p := range c.exposed {
			cfg.Config.ExposedPorts[p] = struct{}{}
		}
		if got := portsText(cfg, c.ports, container.Status{State: "running"}); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if got := portsText(cfg, c.ports, container.Status{State: "exited"}); got != "" {
			t.Errorf("%s, ended: got %q", c.name, got)
		}
	}
}
