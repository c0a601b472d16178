// Package wire is what commands and the network program say to each other, as
// the bodies of messages whose types are in skiff/runtime/stage/message.
package wire

import (
	"net/netip"

	"skiff/storage/network"
)

// Attach asks to connect a container: the body of NetworkAttach.
type Attach struct {
	ID   string // of the container
	Dir  string // its directory
	Name string
	// Hostname and Domainname are what /etc/hosts says of its own address.
	Hostname, Domainname string
	Endpoints            []Endpoint
	Ports                []Port
	// Resolvers are asked about names that are no container's; empty: this
	// machine's own.
	Resolvers []string
}

// Endpoint is a wish for a place on one network. Addresses that are not valid
// are chosen.
type Endpoint struct {
	Network    network.Network
	Address    netip.Addr
	Address6   netip.Addr
	MAC        string
	Aliases    []string
	Links      []string // container:alias
	GwPriority int
	LinkLocal  []netip.Addr // besides
	// Options are docker's of an endpoint (OptionInterface, OptionSysctls).
	Options map[string]string
}

// What can be said about one endpoint, by docker's names.
const (
	// OptionInterface is the interface's name in the container.
	OptionInterface = "com.docker.network.endpoint.ifname"
	// OptionSysctls are settings of the interface, net.ipv4.conf.IFNAME.x=1, with
	// commas between.
	OptionSysctls = "com.docker.network.endpoint.sysctls"
)

// Port is a wish to publish a port of the container. An invalid HostIP stands
// for all addresses, IPv4 and IPv6; First and Last are a range to take one of,
// 0 any.
type Port struct {
	Protocol    string // tcp or udp
	Container   uint16
	HostIP      netip.Addr
	First, Last uint16
}

// Change asks to connect a running container to another network, or to
// disconnect it: the body of NetworkChange.
type Change struct {
	ID         string // of the container
	Connect    *Endpoint
	Disconnect string // id of the network
}
