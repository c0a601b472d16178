// Package network is what commands ask about networks and say to the network
// program: who is on which network, which ports are published, connect and
// disconnect. The program itself is in hub.
package network

import (
	"strconv"
	"strings"

	"skiff/storage/container"
	"skiff/storage/network"
)

// Attachment is how a container is connected now; a zero one when it does not
// run or shares somebody else's network.
func Attachment(c *container.Container, s container.Status) network.Attachment {
	if !s.Running() {
		return network.Attachment{}
	}
	// Without the record there is nothing to tell.
	a, _ := network.ReadAttachment(c.Dir())
	return a
}

// Published are the ports of a as docker lists them: by "80/tcp", the addresses
// of this machine that they are bound on.
func Published(a *network.Attachment) map[string][]container.PortBinding {
	out := map[string][]container.PortBinding{}
	for _, p := range a.Ports {
		key := strconv.Itoa(int(p.Container)) + "/" + p.Protocol
		out[key] = append(out[key], container.PortBinding{HostIP: p.HostIP.String(), HostPort: strconv.Itoa(int(p.Host))})
	}
	return out
}

// ComparePorts orders "80/tcp" by number, then protocol.
func ComparePorts(a, b string) int {
	na, pa, _ := strings.Cut(a, "/")
	nb, pb, _ := strings.Cut(b, "/")
	ia, _ := strconv.Atoi(na)
	ib, _ := strconv.Atoi(nb)
	if ia != ib {
		return ia - ib
	}
	return strings.Compare(pa, pb)
}
