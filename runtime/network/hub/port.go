package hub

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"skiff/runtime/network/usernet"
	"skiff/runtime/network/wire"
	"skiff/runtime/stage/message"
	"skiff/storage/network"
)

// publication is one published port: a socket of the host's, whose clients are
// said again to the container with their own addresses.
type publication struct {
	hub    *Hub
	port   network.Port
	target func(six bool) netip.AddrPort // where the container is now, for a client of that family
	tcp    *net.TCPListener
	udp    *net.UDPConn
	mu     sync.Mutex
	flows  map[netip.AddrPort]*net.UDPConn // by client; nil once closed
}

// publish opens the member's ports: those of before, else what it wishes.
// Requires mu. On error the caller forgets the member, and its ports with it.
func (h *Hub) publish(m *member, before []network.Port) error {
	for _, p := range before {
		if _, err := h.open(m, &wire.Port{Protocol: p.Protocol, Container: p.Container, First: p.Host, Last: p.Host}, p.HostIP); err != nil {
			return err
		}
	}
	if before != nil {
		return nil
	}
	for i := range m.wish.Ports {
		w := &m.wish.Ports[i]
		if err := h.publishOne(m, w); err != nil {
			return fmt.Errorf("driver failed programming external connectivity on endpoint %s (%s): %w", m.wish.Name, m.endpoint(), err)
		}
	}
	return nil
}

// endpoint names what docker names in a message about ports.
func (m *member) endpoint() string {
	if len(m.attachment.Endpoints) == 0 {
		return m.wish.ID
	}
	return m.attachment.Endpoints[0].ID
}

func (h *Hub) publishOne(m *member, w *wire.Port) error {
	if w.HostIP.IsValid() {
		_, err := h.open(m, w, w.HostIP)
		return err
	}
	// Both families on one port; a machine without IPv6 has only one.
	four, six := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	for try := 0; ; try++ {
		first, err := h.open(m, w, four)
		if err != nil {
			return err
		}
		second := *w
		second.First, second.Last = first.port.Host, first.port.Host
		_, err = h.open(m, &second, six)
		switch {
		case err == nil, errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EADDRNOTAVAIL):
			return nil
		case errors.Is(err, unix.EADDRINUSE) && w.First != w.Last || w.First == 0 && try < 16:
			first.close()
			m.ports = m.ports[:len(m.ports)-1]
			m.attachment.Ports = m.attachment.Ports[:len(m.attachment.Ports)-1]
			if w.First != 0 {
				next := *w
				if next.First = first.port.Host + 1; next.First > next.Last || next.First == 0 {
					return err
				}
				w = &next
			}
		default:
			return err
		}
	}
}

// open binds the first free port of w's range on one address.
func (h *Hub) open(m *member, w *wire.Port, on netip.Addr) (*publication, error) {
	p := &publication{hub: h, port: network.Port{Protocol: w.Protocol, Container: w.Container, HostIP: on}}
	p.target = func(six bool) netip.AddrPort { return h.targetOf(m, w.Container, six) }
	var err error
	for port := int(w.First); port <= int(w.Last); port++ {
		if err = p.bind(netip.AddrPortFrom(on, uint16(port))); err == nil || !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	if err != nil {
		return nil, h.explain(m, w, on, err)
	}
	m.ports = append(m.ports, p)
	m.attachment.Ports = append(m.attachment.Ports, p.port)
	return p, nil
}

// explain words in docker's way why a port cannot be had.
func (h *Hub) explain(m *member, w *wire.Port, on netip.Addr, err error) error {
	at := net.JoinHostPort(on.String(), strconv.Itoa(int(w.First)))
	switch {
	case errors.Is(err, unix.EADDRINUSE) && h.published(w, on):
		return fmt.Errorf("Bind for %s failed: port is already allocated", at) //nolint:staticcheck // docker's words
	case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM):
		low := "1024"
		if data, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil {
			low = string(data[:len(data)-1])
		}
		return &message.Failure{
			Text: fmt.Sprintf("driver failed programming external connectivity on endpoint %s (%s): cannot expose privileged port %d: "+
				"ports below %s are root's", m.wish.Name, m.endpoint(), w.First, low),
			Code: 125,
			Cure: fmt.Sprintf("choose a port from %s on, or let root run `sysctl net.ipv4.ip_unprivileged_port_start=%d`", low, w.First),
		}
	}
	to := h.targetOf(m, w.Container, on.Is6())
	return fmt.Errorf("failed to bind host port for %s:%s/%s: %w", at, to, w.Protocol, err)
}

// published: is it another container of ours that has the port? Requires mu.
func (h *Hub) published(w *wire.Port, on netip.Addr) bool {
	for _, m := range h.members {
		for _, p := range m.attachment.Ports {
			if p.Host == w.First && p.Protocol == w.Protocol && (p.HostIP == on || p.HostIP.IsUnspecified() || on.IsUnspecified()) {
				return true
			}
		}
	}
	return false
}

// targetOf is the member's address for published ports: on the first network
// that has a way to the outside, else on any, of the client's family if it has
// one of that. Requires mu.
func (h *Hub) targetOf(m *member, port uint16, six bool) netip.AddrPort {
	var found netip.Addr
	for _, e := range m.attachment.Endpoints {
		addr, other := e.Address.Addr(), e.Address6.Addr()
		if six && other.IsValid() || !addr.IsValid() {
			addr = other
		}
		outward := e.Gateway.IsValid() || e.Gateway6.IsValid()
		if addr.IsValid() && (!found.IsValid() || outward) {
			found = addr
			if outward {
				break
			}
		}
	}
	return netip.AddrPortFrom(found, port)
}

// bind opens the host's socket and serves it.
func (p *publication) bind(at netip.AddrPort) error {
	family := "4"
	if at.Addr().Is6() {
		family = "6"
	}
	if p.port.Protocol == "udp" {
		conn, err := net.ListenUDP("udp"+family, net.UDPAddrFromAddrPort(at))
		if err != nil {
			return err
		}
		p.udp, p.flows = conn, map[netip.AddrPort]*net.UDPConn{}
		p.port.Host = uint16(conn.LocalAddr().(*net.UDPAddr).Port)
		go p.serveUDP()
		return nil
	}
	l, err := net.ListenTCP("tcp"+family, net.TCPAddrFromAddrPort(at))
	if err != nil {
		return err
	}
	p.tcp = l
	p.port.Host = uint16(l.Addr().(*net.TCPAddr).Port)
	go p.serveTCP()
	return nil
}

// close gives the port back. Connections that are open stay until they end.
func (p *publication) close() {
	if p.tcp != nil {
		p.tcp.Close()
	}
	if p.udp != nil {
		p.udp.Close()
		p.mu.Lock()
		for _, c := range p.flows {
			c.Close()
		}
		p.flows = nil
		p.mu.Unlock()
	}
}

// to is where the container is now; invalid when it is on no network.
func (p *publication) to(client netip.AddrPort) netip.AddrPort {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	return p.target(client.Addr().Is6())
}

func (p *publication) serveTCP() {
	for {
		client, err := p.tcp.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors
			continue
		}
		go func() {
			from := unmap(client.RemoteAddr().(*net.TCPAddr).AddrPort())
			conn, err := p.hub.dial(unix.SOCK_STREAM, from, p.to(from))
			if err != nil {
				_ = client.SetLinger(0) // refused, not ended
				client.Close()
				return
			}
			usernet.Join(client, conn.(*net.TCPConn))
		}()
	}
}

func (p *publication) serveUDP() {
	for {
		err := usernet.ReceiveFrom(p.udp, func(data []byte, from netip.AddrPort) {
			if c := p.flow(from); c != nil {
				_ = c.SetReadDeadline(time.Now().Add(udpIdle))
				_, _ = c.Write(data)
			}
		})
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

const (
	udpIdle  = 90 * time.Second // docker's
	maxFlows = 4096             // a published port
)

// flow is the socket that speaks to the container for a client; nil where there
// can be none, and the datagram is lost.
func (p *publication) flow(client netip.AddrPort) *net.UDPConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.flows[client]; c != nil || p.flows == nil || len(p.flows) >= maxFlows {
		return c
	}
	conn, err := p.hub.dial(unix.SOCK_DGRAM, client, p.to(client))
	if err != nil {
		return nil
	}
	c := conn.(*net.UDPConn)
	p.flows[client] = c
	go func() {
		for {
			err := usernet.Receive(c, func(data []byte) { _, _ = p.udp.WriteToUDPAddrPort(data, client) })
			if errors.Is(err, unix.ECONNREFUSED) {
				continue
			}
			if err != nil {
				break
			}
			_ = c.SetReadDeadline(time.Now().Add(udpIdle))
		}
		p.mu.Lock()
		delete(p.flows, client)
		p.mu.Unlock()
		c.Close()
	}()
	return c
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// dialPatience bounds a connection to a container, which is on this machine.
const dialPatience = 30 * time.Second

// dial connects to a container from the namespace with the bridges, with the
// client's own address where the way back can be told by it: not for this
// machine's loopback addresses, other families, or a neighbour of the container.
func (h *Hub) dial(kind int, client, to netip.AddrPort) (net.Conn, error) {
	if !to.Addr().IsValid() {
		return nil, unix.EHOSTUNREACH
	}
	if h.mayKeep(client, to) {
		conn, err := h.connectFrom(kind, client, to)
		if err == nil || !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return conn, err
		}
	}
	return h.connectFrom(kind, netip.AddrPort{}, to)
}

func (h *Hub) mayKeep(client, to netip.AddrPort) bool {
	a := client.Addr()
	if a.Is4() != to.Addr().Is4() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.Zone() != "" {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, b := range h.bridges {
		for _, p := range b.pools {
			if p.subnet.Contains(a) {
				return false
			}
		}
	}
	return true
}

func (h *Hub) connectFrom(kind int, from, to netip.AddrPort) (net.Conn, error) {
	six := to.Addr().Is6()
	family := unix.AF_INET
	if six {
		family = unix.AF_INET6
	}
	var fd int
	err := h.space.do(func() (err error) {
		fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "to container")
	defer f.Close()
	if from.IsValid() {
		err = errors.Join(
			usernet.Transparent(fd, six),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
		if err == nil {
			err = unix.Bind(fd, sockaddr(from))
		}
	}
	if err == nil {
		err = unix.Connect(fd, sockaddr(to))
	}
	if errors.Is(err, unix.EINPROGRESS) {
		err = awaitConnect(f)
	}
	if err != nil {
		return nil, err
	}
	return net.FileConn(f)
}

// awaitConnect waits for a connection that is under way.
func awaitConnect(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if err := f.SetDeadline(time.Now().Add(dialPatience)); err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		// Asked first: what the poller knows may be older than the connection.
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if n, err := unix.Poll(p, 0); n == 0 || err != nil {
			return false
		}
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if failed = err; err == nil && code != 0 {
			failed = unix.Errno(code)
		}
		return true
	})
	return errors.Join(err, failed)
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}
