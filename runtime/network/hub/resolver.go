package hub

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"skiff/runtime/network/usernet"
	"skiff/storage/network"
)

// Inside is where the resolver answers within a container that is on a network
// of the user's own: docker's address.
var Inside = netip.AddrFrom4([4]byte{127, 0, 0, 11})

const (
	answerTTL = 600 // seconds, docker's
	// askPatience bounds the wait for one of the machine's name servers.
	askPatience = 3 * time.Second
	// headStart is how long one is waited for before the next is asked as well.
	headStart = time.Second
	// lateFor is how long one that was late is asked last.
	lateFor = time.Minute
)

// resolver answers containers: with addresses of the containers that they may
// reach, and for all other names with what this machine's name servers say.
type resolver struct {
	hub     *Hub
	mu      sync.Mutex
	servers []string
	read    time.Time            // modification time of the file they are from
	late    map[string]time.Time // when it last was
}

func newResolver(h *Hub) *resolver { return &resolver{hub: h, late: map[string]time.Time{}} }

// serve answers at the bridge's own addresses.
func (r *resolver) serve(s *space, b *bridge) error {
	for _, p := range b.pools {
		if !p.gateway.IsValid() {
			continue
		}
		at := netip.AddrPortFrom(p.gateway, 53)
		var udp *net.UDPConn
		var tcp *net.TCPListener
		err := s.do(func() (err error) {
			udp, tcp, err = listenBoth(at)
			return err
		})
		if err != nil {
			return err
		}
		b.resolver = append(b.resolver, udp, tcp)
		who := func(a netip.Addr) *member { return r.hub.owner(a) }
		go r.answerUDP(udp, who)
		go r.answerTCP(tcp, who)
	}
	return nil
}

// serveInside answers within a container that is on a network of the user's own.
// m must have been entered. Requires the hub's mu.
func (r *resolver) serveInside(m *member) error {
	wanted := false
	for _, e := range m.attachment.Endpoints {
		wanted = wanted || e.Network != network.Bridge
	}
	if !wanted || m.resolver != nil {
		return nil
	}
	var udp *net.UDPConn
	var tcp *net.TCPListener
	err := m.inside.do(func() (err error) {
		udp, tcp, err = listenBoth(netip.AddrPortFrom(Inside, 0))
		return err
	})
	if err != nil {
		return err
	}
	m.resolver = []closer{udp, tcp}
	if err := redirect(m.inside, Inside, uint16(udp.LocalAddr().(*net.UDPAddr).Port), uint16(tcp.Addr().(*net.TCPAddr).Port)); err != nil {
		return err
	}
	who := func(netip.Addr) *member { return m }
	go r.answerUDP(udp, who)
	go r.answerTCP(tcp, who)
	return nil
}

func listenBoth(at netip.AddrPort) (*net.UDPConn, *net.TCPListener, error) {
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, nil, err
	}
	tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		udp.Close()
		return nil, nil, err
	}
	return udp, tcp, nil
}

func (r *resolver) answerUDP(conn *net.UDPConn, who func(netip.Addr) *member) {
	for {
		err := usernet.ReceiveFrom(conn, func(data []byte, from netip.AddrPort) {
			query := bytes.Clone(data)
			go func() {
				if answer := r.answer(query, who, from.Addr(), "udp"); answer != nil {
					_, _ = conn.WriteToUDPAddrPort(answer, from)
				}
			}()
		})
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

func (r *resolver) answerTCP(l *net.TCPListener, who func(netip.Addr) *member) {
	for {
		conn, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors
			continue
		}
		go func() {
			defer conn.Close()
			from := unmap(conn.RemoteAddr().(*net.TCPAddr).AddrPort()).Addr()
			for {
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				query, err := readTCP(conn)
				if err != nil {
					return
				}
				answer := r.answer(query, who, from, "tcp")
				if answer == nil || writeTCP(conn, answer) != nil {
					return
				}
			}
		}()
	}
}

func readTCP(c net.Conn) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(head[:]))
	_, err := io.ReadFull(c, b)
	return b, err
}

func writeTCP(c net.Conn, b []byte) error {
	_, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	return err
}

// answer returns the answer to a query, nil for what is none.
func (r *resolver) answer(query []byte, who func(netip.Addr) *member, from netip.Addr, proto string) []byte {
	var q dns.Msg
	if q.Unpack(query) != nil || q.Response || len(q.Question) != 1 {
		return nil
	}
	reply, m := r.known(&q, who, from)
	if m == nil {
		return nil // nobody's address
	}
	if reply == nil {
		if answer := r.forward(query, m, proto); answer != nil {
			return answer
		}
		reply = new(dns.Msg)
		reply.SetRcode(&q, dns.RcodeServerFailure)
	}
	packed, err := reply.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// known answers what the hub itself knows, nil else.
func (r *resolver) known(q *dns.Msg, who func(netip.Addr) *member, from netip.Addr) (*dns.Msg, *member) {
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	m := who(from)
	if m == nil {
		return nil, nil
	}
	question := q.Question[0]
	if question.Qclass != dns.ClassINET {
		return nil, m
	}
	head := dns.RR_Header{Name: question.Name, Class: dns.ClassINET, Ttl: answerTTL}
	reply := new(dns.Msg)
	reply.SetReply(q)
	reply.RecursionAvailable = true
	if question.Qtype == dns.TypePTR {
		name := r.hub.reverse(m, question.Name)
		if name == "" {
			return nil, m
		}
		head.Rrtype = dns.TypePTR
		reply.Answer = []dns.RR{&dns.PTR{Hdr: head, Ptr: dns.Fqdn(name)}}
		return reply, m
	}
	found := r.hub.named(m, strings.TrimSuffix(question.Name, "."))
	if len(found) == 0 {
		return nil, m
	}
	for _, e := range found {
		if a := e.Address.Addr(); question.Qtype == dns.TypeA && a.IsValid() {
			head.Rrtype = dns.TypeA
			reply.Answer = append(reply.Answer, &dns.A{Hdr: head, A: a.AsSlice()})
		}
		if a := e.Address6.Addr(); question.Qtype == dns.TypeAAAA && a.IsValid() {
			head.Rrtype = dns.TypeAAAA
			reply.Answer = append(reply.Answer, &dns.AAAA{Hdr: head, AAAA: a.AsSlice()})
		}
	}
	rand.Shuffle(len(reply.Answer), func(i, j int) { reply.Answer[i], reply.Answer[j] = reply.Answer[j], reply.Answer[i] })
	return reply, m
}

// reverse is the name of a neighbour, as "web.net". Requires mu.
func (h *Hub) reverse(asker *member, arpa string) string {
	for _, m := range h.members {
		for _, e := range m.attachment.Endpoints {
			for _, p := range []netip.Prefix{e.Address, e.Address6} {
				if !p.IsValid() {
					continue
				}
				if name, err := dns.ReverseAddr(p.Addr().String()); err != nil || !strings.EqualFold(name, arpa) {
					continue
				}
				for _, own := range asker.attachment.Endpoints {
					if own.NetworkID == e.NetworkID {
						return m.wish.Name + "." + e.Network
					}
				}
			}
		}
	}
	return ""
}

// forward asks the machine's name servers, each with a start on the next; nil
// when none answers, or the container may not ask.
func (r *resolver) forward(query []byte, m *member, proto string) []byte {
	servers := m.wish.Resolvers
	if len(servers) == 0 {
		servers = r.machine()
	}
	if !r.outward(m) {
		return nil
	}
	list := r.order(servers)
	list = append(list, list...) // what is lost is asked for again
	answers := make(chan answered, len(list))
	var refused []byte
	turn := time.NewTimer(0)
	defer turn.Stop()
	waiting := false // for the one that was asked last
	for next, pending := 0, 0; next < len(list) || pending > 0; {
		select {
		case <-turn.C:
			if waiting {
				r.note(list[next-1], true)
			}
			waiting = false
			if next == len(list) {
				continue
			}
			server := list[next]
			next, pending = next+1, pending+1
			go func() { answers <- answered{server, ask(query, server, proto)} }()
			waiting = true
			turn.Reset(headStart)
		case a := <-answers:
			pending--
			if a.data != nil {
				r.note(a.server, false)
				if code := a.data[3] & 0xf; code != dns.RcodeServerFailure && code != dns.RcodeRefused {
					return a.data
				}
				refused = a.data
			}
			if next < len(list) {
				waiting = false
				turn.Reset(0)
			}
		}
	}
	return refused
}

type answered struct {
	server string
	data   []byte // nil without an answer
}

// order puts servers that were late lately behind the others.
func (r *resolver) order(servers []string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list, late []string
	for _, s := range servers {
		if when, was := r.late[s]; was && time.Since(when) < lateFor {
			late = append(late, s)
		} else {
			list = append(list, s)
		}
	}
	return append(list, late...)
}

// note remembers whether a server was late.
func (r *resolver) note(server string, late bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if late {
		r.late[server] = time.Now()
	} else {
		delete(r.late, server)
	}
}

// outward: is the container on a network with a way out? Names of the world
// would be a way out, too (CVE-2024-29018).
func (r *resolver) outward(m *member) bool {
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	for _, e := range m.attachment.Endpoints {
		if e.Gateway.IsValid() || e.Gateway6.IsValid() {
			return true
		}
	}
	return false
}

func ask(query []byte, server, proto string) []byte {
	conn, err := net.DialTimeout(proto, net.JoinHostPort(server, "53"), askPatience)
	if err != nil {
		return nil
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(askPatience))
	if proto == "tcp" {
		if writeTCP(conn, query) != nil {
			return nil
		}
		answer, err := readTCP(conn)
		if err != nil {
			return nil
		}
		return answer
	}
	if _, err := conn.Write(query); err != nil {
		return nil
	}
	buf := make([]byte, dns.MaxMsgSize)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil
		}
		if n >= 12 && buf[0] == query[0] && buf[1] == query[1] {
			return buf[:n]
		}
	}
}

// machine returns this machine's name servers as they are now.
func (r *resolver) machine() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	const file = "/etc/resolv.conf"
	info, err := os.Stat(file)
	if err != nil || !info.ModTime().Equal(r.read) {
		data, _ := os.ReadFile(file)
		r.servers = nil
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
				r.servers = append(r.servers, f[1])
			}
		}
		if len(r.servers) == 0 {
			r.servers = []string{"127.0.0.1"} // resolv.conf(5)
		}
		if err == nil {
			r.read = info.ModTime()
		}
	}
	return r.servers
}
