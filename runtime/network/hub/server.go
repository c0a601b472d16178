package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/runtime/network/usernet"
	"skiff/runtime/network/wire"
	"skiff/runtime/stage/hub"
	"skiff/runtime/stage/message"
	"skiff/storage"
	"skiff/storage/network"
)

const (
	// grace is how long the program waits for its first connection.
	grace = 10 * time.Second
	// linger is how long it waits for the next one after the last: containers
	// that are run one after the other find everything in place.
	linger = time.Second
)

// Hub is the state of the program. What follows mu is guarded by it.
type Hub struct {
	store    *storage.Store
	space    *space
	links    *netlink.Handle // in the namespace
	firewall *firewall
	world    *usernet.Net
	resolver *resolver

	mu      sync.Mutex
	bridges map[string]*bridge // by network id
	members map[string]*member // by container id
	ruins   map[string]network.Attachment
}

// Main serves the socket that it was started with, for the store in args, and
// returns when nobody is connected any more.
func Main(args []string) int {
	if len(args) != 1 {
		return 125
	}
	// A record lock tells who we are: other commands enter our user namespace
	// (rootless/entry.c). It goes with this process, and is not inherited.
	own := unix.Flock_t{Type: unix.F_WRLCK}
	err := unix.FcntlFlock(hub.LockFD, unix.F_SETLK, &own)
	var st *storage.Store
	if err == nil {
		st, err = storage.Open(args[0], os.Getuid())
	}
	var h *Hub
	if err == nil {
		h, err = open(st)
	}
	serve(hub.ListenFD, h, err)
	// The lock goes with the process: the next program waits for it.
	return 0
}

// serve answers connections until the last one has gone. Why the program cannot
// work is told to everybody who asks.
func serve(listen int, h *Hub, failed error) {
	f := os.NewFile(uintptr(listen), "hub.sock")
	l, err := net.FileListener(f)
	if err != nil {
		return
	}
	f.Close()
	u := l.(*net.UnixListener)
	// Its path belongs to whoever holds the lock, not to us.
	u.SetUnlinkOnClose(false)
	var mu sync.Mutex
	clients := 0
	idle := time.NewTimer(grace)
	leave := func() {
		mu.Lock()
		defer mu.Unlock()
		if clients--; clients == 0 {
			idle.Reset(linger)
		}
	}
	go func() {
		for {
			c, err := u.AcceptUnix()
			if err != nil {
				return
			}
			mu.Lock()
			clients++
			mu.Unlock()
			go func() {
				defer leave()
				conn, err := connOf(c)
				if err != nil {
					return
				}
				defer conn.Close()
				if failed != nil {
					_, _, _, _ = conn.Recv()
					_ = conn.SendJSON(message.StepFailed, message.Failure{Text: "network: " + failed.Error(), Code: 125})
					return
				}
				h.client(conn)
			}()
		}
	}()
	for range idle.C {
		mu.Lock()
		last := clients == 0
		if last {
			u.Close() // who comes now is refused, and starts the next program
		}
		mu.Unlock()
		if last {
			return
		}
	}
}

// connOf takes a connection out of the runtime's poller: our messages carry
// descriptors, and a blocked reader is one thread that sleeps.
func connOf(c *net.UnixConn) (message.Conn, error) {
	defer c.Close()
	f, err := c.File()
	if err != nil {
		return message.Conn{FD: -1}, err
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return message.Conn{FD: -1}, err
	}
	return message.Conn{FD: fd}, nil
}

// client serves one connection until it closes.
func (h *Hub) client(conn message.Conn) {
	t, body, fds, err := conn.Recv()
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	if err != nil {
		return
	}
	switch t {
	case message.NetworkHold:
		err = conn.Send(message.NetworkAttached, nil)
	case message.NetworkAttach:
		var m *member
		if m, err = h.attachRequest(body, fds); err == nil {
			defer h.detach(m)
			fds = nil // the member's
			err = conn.Send(message.NetworkAttached, nil, h.space.fd)
		}
	case message.NetworkChange:
		if err = h.changeRequest(body); err == nil {
			err = conn.Send(message.NetworkChanged, nil)
		}
	default:
		err = fmt.Errorf("unknown message %d", t)
	}
	if errors.Is(err, errForeign) {
		os.Exit(0) // the asker sees the end, and starts a program of its own
	}
	if err != nil {
		f := &message.Failure{Code: 125}
		if !errors.As(err, &f) {
			f = &message.Failure{Code: 125, Text: err.Error()}
		}
		_ = conn.SendJSON(message.StepFailed, f)
		return
	}
	awaitEnd(conn)
}

// awaitEnd returns when the other side closes, or dies. It waits without a
// thread: there is one such wait for every container.
func awaitEnd(conn message.Conn) {
	fd, err := unix.FcntlInt(uintptr(conn.FD), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return
	}
	f := os.NewFile(uintptr(fd), "client")
	defer f.Close()
	var b [1]byte
	_, _ = f.Read(b[:])
}

func (h *Hub) attachRequest(body []byte, fds []int) (*member, error) {
	var a wire.Attach
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, err
	}
	if len(fds) != 1 {
		return nil, errors.New("no network namespace came along")
	}
	return h.attach(&a, fds[0])
}

func (h *Hub) changeRequest(body []byte) error {
	var c wire.Change
	if err := json.Unmarshal(body, &c); err != nil {
		return err
	}
	return h.change(&c)
}

// open makes the namespace, or finds the one that a program before us left, and
// what all networks share.
func open(st *storage.Store) (*Hub, error) {
	h := &Hub{store: st, bridges: map[string]*bridge{}, members: map[string]*member{}}
	fd, ruins := findRuins(st)
	h.ruins = ruins
	var err error
	if h.space, err = openSpace(fd); err != nil {
		return nil, err
	}
	if h.links, err = handle(h.space); err != nil {
		return nil, err
	}
	h.resolver = newResolver(h)
	if h.world, err = usernet.Open(h.space.do, h.translate); err != nil {
		return nil, err
	}
	if err := h.prepare(); err != nil {
		return nil, err
	}
	h.firewall, err = newFirewall(h.space, h.world.Port)
	if err != nil {
		return nil, err
	}
	return h, h.restore()
}

// prepare sets up what is there without any network.
func (h *Hub) prepare() error {
	for _, name := range []string{"lo", usernet.Device} {
		link, err := h.links.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		if name == usernet.Device {
			if err := h.links.LinkSetMTU(link, usernet.MTU); err != nil {
				return fmt.Errorf("set up %s: %w", name, err)
			}
		}
		if err := h.links.LinkSetUp(link); err != nil {
			return fmt.Errorf("set up %s: %w", name, err)
		}
	}
	for name, value := range map[string]string{"ipv4/ip_forward": "1", "ipv4/ip_unprivileged_port_start": "0"} {
		if err := h.space.sysctl(name, value); err != nil {
			return fmt.Errorf("set sysctl %s: %w", name, err)
		}
	}
	// Absent where there is no IPv6, or no filter for bridges.
	_ = h.space.sysctl("ipv6/conf/all/forwarding", "1")
	_ = h.space.sysctl("bridge/bridge-nf-call-iptables", "0")
	_ = h.space.sysctl("bridge/bridge-nf-call-ip6tables", "0")
	return h.routes()
}
