package hub

import (
	"net/netip"
	"strings"
	"testing"

	"skiff/storage/network"
)

func TestChoose_LowestFreeOrWished(t *testing.T) {
	pools, err := poolsOf(&network.Network{IPAM: network.IPAM{Config: []network.Pool{
		{Subnet: "10.0.0.0/29", Gateway: "10.0.0.1", Auxiliary: map[string]string{"printer": "10.0.0.2"}},
		{Subnet: "fd00::/64", Gateway: "fd00::1"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	taken := map[string]bool{"10.0.0.3": true}
	used := func(a netip.Addr) bool { return taken[a.String()] }
	for _, c := range []struct {
		name, wish string
		six        bool
		want       string // an address, or what the error says
	}{
		{"the lowest that is nobody's", "", false, "10.0.0.4/29"},
		{"IPv6", "", true, "fd00::2/64"},
		{"a wish", "10.0.0.6", false, "10.0.0.6/29"},
		{"a neighbour's", "10.0.0.3", false, "already in use"},
		{"the gateway's", "10.0.0.1", false, "already in use"},
		{"a reserved one", "10.0.0.2", false, "already in use"},
		{"one from elsewhere", "10.1.0.1", false, "does not belong"},
	} {
		var wish netip.Addr
		if c.wish != "" {
			wish = netip.MustParseAddr(c.wish)
		}
		p, _, err := choose(pools, c.six, wish, used)
		got := p.String()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	for _, a := range []string{"4", "5", "6"} {
		taken["10.0.0."+a] = true
	}
	if _, _, err := choose(pools, false, netip.Addr{}, used); err == nil || !strings.Contains(err.Error(), "no available IPv4 addresses") {
		t.Errorf("a full network: %v", err)
	}
	if p, _, err := choose(pools[:1], true, netip.Addr{}, used); err != nil || p.IsValid() {
		t.Errorf("a family that the network has not: %v, %v", p, err)
	}
}

func TestHostsText_KeepsWhatIsNotOurs(t *testing.T) {
	at := func(s string) []network.Endpoint { return []network.Endpoint{{Address: netip.MustParsePrefix(s)}} }
	const own = "127.0.0.1\tlocalhost\n10.0.0.9\tfriend\n"
	first := hostsText(own, nil, at("172.17.0.2/16"), "web")
	if want := own + "172.17.0.2\tweb\n"; first != want {
		t.Errorf("first start: got %q, want %q", first, want)
	}
	second := hostsText(first+"10.0.0.10\tadded by the container", at("172.17.0.2/16"), at("172.17.0.5/16"), "web")
	if want := own + "10.0.0.10\tadded by the container\n172.17.0.5\tweb\n"; second != want {
		t.Errorf("second start: got %q, want %q", second, want)
	}
}
