// Package usernet is the way out of the network namespace that containers are
// on, without any privilege outside of it: what leaves the namespace for the
// world arrives here through a TUN device, and is said again with ordinary
// sockets of the host. Answers go back with the addresses that the container
// expects.
//
// TCP is the kernel's on both sides. Of a connection only the first packet comes
// through the device: it is held until the host's socket is connected, so that
// a refusal is a refusal, and then given back to the kernel, which accepts it at
// a transparent socket (TPROXY, https://docs.kernel.org/networking/tproxy.html).
// The bytes then go from socket to socket by splice(2) and are never seen here.
// UDP and ICMP echo are translated packet by packet.
//
// Start reading at Open and read.
package usernet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Device is the name of the TUN device, MTU its largest packet in bytes, Mark
// the mark of packets that belong to a transparent socket.
const (
	Device = "world0"
	MTU    = 65520
	Mark   = 1
)

// Net is the way out. Its fields are guarded by mu unless they never change.
type Net struct {
	tun      *os.File
	Port     uint16 // where the transparent listeners wait, IPv4 and IPv6
	allowed  func(src, dst netip.Addr) netip.Addr
	mu       sync.Mutex
	tcp      map[pair]*net.TCPConn // connected outside, not yet accepted inside
	dialing  map[pair]bool
	datagram map[pair]*datagrams
	echo     map[pair]*echoes
	// Packets to write are made here, one at a time.
	out sync.Mutex
}

// pair is a flow as the container sees it.
type pair struct{ src, dst netip.AddrPort }

// Open makes the device in the namespace that within runs functions in, and
// serves it until the process ends. translate tells which address of the host's
// world a destination stands for; an invalid answer refuses it.
func Open(within func(func() error) error, translate func(src, dst netip.Addr) netip.Addr) (*Net, error) {
	n := &Net{
		allowed: translate, tcp: map[pair]*net.TCPConn{}, dialing: map[pair]bool{},
		datagram: map[pair]*datagrams{}, echo: map[pair]*echoes{},
	}
	if err := within(n.openDevice); err != nil {
		return nil, err
	}
	var four, six net.Listener
	err := within(func() (err error) {
		four, six, err = n.listen()
		return err
	})
	if err != nil {
		n.tun.Close()
		return nil, fmt.Errorf("listen for connections: %w", err)
	}
	go n.accept(four)
	if six != nil {
		go n.accept(six)
	}
	go n.read()
	return n, nil
}

func (n *Net) openDevice() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(Device)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("make device %s: %w", Device, err)
	}
	n.tun = os.NewFile(uintptr(fd), Device)
	return nil
}

// read takes packets from the device until it is closed.
func (n *Net) read() {
	buf := make([]byte, 1<<16)
	for {
		size, err := n.tun.Read(buf)
		if err != nil {
			if errors.Is(err, os.ErrClosed) {
				return
			}
			continue
		}
		p, ok := parse(buf[:size])
		if !ok {
			continue
		}
		dst := n.allowed(p.src, p.dst)
		if !dst.IsValid() {
			n.write(unreachable(&p, prohibited))
			continue
		}
		switch p.proto {
		case unix.IPPROTO_TCP:
			n.tcpPacket(&p, dst)
		case unix.IPPROTO_UDP:
			n.udpPacket(&p, dst)
		case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
			n.echoPacket(&p, dst)
		}
	}
}

// write sends a packet into the namespace. One that does not fit is lost, as
// packets are.
func (n *Net) write(packet []byte) {
	if len(packet) == 0 {
		return
	}
	n.out.Lock()
	defer n.out.Unlock()
	_, _ = n.tun.Write(packet)
}
