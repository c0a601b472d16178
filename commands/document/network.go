package document

import (
	"net/netip"
	"time"

	runtime "skiff/runtime/network"
	"skiff/storage/network"
)

// Network is docker's inspect document of a network.
type Network struct {
	Name       string
	ID         string `json:"Id"`
	Created    time.Time
	Scope      string
	Driver     string
	EnableIPv4 bool
	EnableIPv6 bool
	IPAM       networkIPAM
	Internal   bool
	Attachable bool
	Ingress    bool
	ConfigFrom struct{ Network string }
	ConfigOnly bool
	Containers map[string]networkMember
	Options    map[string]string
	Labels     map[string]string
}

type networkIPAM struct {
	Driver  string
	Options map[string]string
	Config  []network.Pool
}

type networkMember struct {
	Name        string
	EndpointID  string
	MacAddress  string
	IPv4Address string
	IPv6Address string
}

// OfNetwork describes a network and the running containers on it.
func OfNetwork(n *network.Network, users []runtime.User) Network {
	d := Network{
		Name: n.Name, ID: n.ID, Created: n.Created, Scope: "local", Driver: n.Driver,
		EnableIPv4: n.EnableIPv4, EnableIPv6: n.EnableIPv6, Internal: n.Internal, Attachable: n.Attachable,
		IPAM:       networkIPAM{n.IPAM.Driver, n.IPAM.Options, n.IPAM.Config},
		Containers: map[string]networkMember{}, Options: n.Options, Labels: n.Labels,
	}
	if d.IPAM.Config == nil {
		d.IPAM.Config = []network.Pool{}
	}
	for _, u := range users {
		d.Containers[u.Container.Config.ID] = networkMember{
			Name: u.Container.Config.Name, EndpointID: u.Endpoint.ID, MacAddress: u.Endpoint.MAC,
			IPv4Address: prefixText(u.Endpoint.Address), IPv6Address: prefixText(u.Endpoint.Address6),
		}
	}
	return d
}

func prefixText(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}
