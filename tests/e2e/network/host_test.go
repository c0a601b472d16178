package network_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	goruntime "runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"skiff/tests/harness"
)

// host is a machine of its own as far as the network goes: a namespace that
// containers run on, with a wire of 1280 bytes to another with somebody else,
// who is also the router to a third.
type host struct{ here, there, far string }

func newHost(t *testing.T) host {
	t.Helper()
	harness.Requires(t, harness.Root, harness.CommandNamed("ip"), harness.CommandNamed("nsenter"))
	name := fmt.Sprintf("skiff%d", os.Getpid())
	h := host{name + "h", name + "t", name + "f"}
	run := func(line string) {
		t.Helper()
		if out, err := exec.Command("sh", "-ec", line).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	t.Cleanup(func() {
		_ = exec.Command("ip", "netns", "del", h.here).Run()
		_ = exec.Command("ip", "netns", "del", h.there).Run()
		_ = exec.Command("ip", "netns", "del", h.far).Run()
	})
	run(strings.NewReplacer("HERE", h.here, "THERE", h.there, "FAR", h.far).Replace(`
		ip netns add HERE; ip netns add THERE; ip netns add FAR
		ip link add up0 netns HERE mtu 1280 type veth peer name up0 netns THERE mtu 1280
		ip link add up1 netns THERE type veth peer name up0 netns FAR
		ip -n THERE link set up1 up; ip -n THERE addr add 10.200.8.1/24 dev up1; ip -n FAR addr add 10.200.8.2/24 dev up0
		ip netns exec THERE sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
		for ns in HERE THERE FAR; do ip -n $ns link set lo up; ip -n $ns link set up0 up; done
		ip -n HERE addr add 10.200.7.1/24 dev up0; ip -n THERE addr add 10.200.7.2/24 dev up0
		ip -n HERE addr add fd07::1/64 dev up0 nodad; ip -n THERE addr add fd07::2/64 dev up0 nodad
		ip -n HERE route add 10.200.8.0/24 via 10.200.7.2; ip -n FAR route add default via 10.200.8.1
		ip netns exec HERE sh -c 'echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range'`))
	return h
}

// in runs f on a thread in a network namespace.
func in(t *testing.T, name string, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		goruntime.LockOSThread() // and never unlock
		ns, err := os.Open("/run/netns/" + name)
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			ns.Close()
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestHost_AddressesMTUAndFamilies(t *testing.T) {
	h := newHost(t)
	s := harness.New(t)
	img := s.LoadPayload()
	s.InNetwork("/run/netns/" + h.here)
	s.OK("network", "create", "--ipv6", "--subnet", "fd77::/64", "--subnet", "10.77.7.0/24", "six")
	server(s, img, "web", []string{"--network", "six", "-p", "8080:80", "-p", "8080:80/udp"}, []string{"tcp:80", "udp:80"})
	server(s, img, "four", []string{"-p", "8081:80"}, []string{"tcp:80"})
	long := strings.Repeat("x", 60_000)
	var port, six int
	in(t, h.there, func() {
		for addr, own := range map[string]string{"10.200.7.1:8080": "10.200.7.2:", "[fd07::1]:8080": "[fd07::2]:"} {
			if got := say(t, "tcp", addr, long); !strings.HasPrefix(got, own) || !strings.HasSuffix(got, long) {
				t.Errorf("%s: the server saw %.40q and %d bytes, want %s and all", addr, got, len(got), own)
			}
			if got := say(t, "udp", addr, "x"); !strings.HasPrefix(got, own) {
				t.Errorf("udp %s: the server saw %.40q, want %s", addr, got, own)
			}
		}
		if got := say(t, "tcp", "[fd07::1]:8081", "x"); !strings.HasPrefix(got, "172.17.0.1:") {
			t.Errorf("a client of another family than the container's: the server saw %.40q, want the gateway", got)
		}
		port = listen(t, "10.200.7.2")
		six = listen(t, "fd07::2")
	})
	s.Skiff("exec", "web", "/payload", "say", "tcp", fmt.Sprintf("10.200.7.2:%d", port), long).Exits(0).Prints("heard " + long)
	s.Skiff("exec", "web", "/payload", "say", "udp", fmt.Sprintf("10.200.7.2:%d", port), "x").Exits(0).Prints("heard x")
	s.Skiff("exec", "web", "/payload", "say", "tcp", fmt.Sprintf("[fd07::2]:%d", six), long).Exits(0).Prints("heard " + long)
	s.Skiff("exec", "web", "/payload", "say", "udp", fmt.Sprintf("[fd07::2]:%d", six), "x").Exits(0).Prints("heard x")
	s.Skiff("run", "--rm", "--network", "six", img, "lookup", "web").Exits(0).Prints("10.77.7.2 fd77::2")
	s.Skiff("run", "--rm", "--network", "six", img, "say", "tcp", "[fd77::2]:80", "x").Exits(0)
	busybox := s.LoadBusybox()
	s.Skiff("run", "--rm", busybox, "ping", "-c1", "-W3", "10.200.7.2").Exits(0)
	s.Skiff("run", "--rm", "--network", "six", busybox, "ping", "-c1", "-W3", "fd07::2").Exits(0)
}

// The machine's name servers are asked from the machine: also those that only
// its own loopback interface knows, and the next one when one is silent.
func TestHost_NameServersOnTheLoopbackInterface(t *testing.T) {
	h := newHost(t)
	s := harness.New(t)
	img := s.LoadPayload()
	var silent net.PacketConn
	var asked atomic.Int32
	in(t, h.here, func() {
		var err error
		if silent, err = net.ListenPacket("udp", "127.0.0.51:53"); err != nil {
			t.Error(err)
			return
		}
		go func() {
			for {
				if _, _, err := silent.ReadFrom(make([]byte, 512)); err != nil {
					return
				}
				asked.Add(1)
			}
		}()
		conn, err := net.ListenPacket("udp", "127.0.0.53:53")
		if err != nil {
			t.Error(err)
			return
		}
		answers := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg)
			m.SetReply(q)
			if q.Question[0].Qtype == dns.TypeA && q.Question[0].Name == "far.example." {
				rr, _ := dns.NewRR("far.example. 60 IN A 10.200.7.2")
				m.Answer = append(m.Answer, rr)
			}
			_ = w.WriteMsg(m)
		})}
		go func() { _ = answers.ActivateAndServe() }()
		t.Cleanup(func() { _ = answers.Shutdown() })
	})
	t.Cleanup(func() { silent.Close() })
	list := s.WriteFile("resolv.conf", "nameserver 127.0.0.51\nnameserver 127.0.0.53\n")
	s.InMountNamespace("mount --bind " + list + " /etc/resolv.conf")
	s.InNetwork("/run/netns/" + h.here)
	s.OK("network", "create", "n")
	s.OK("network", "create", "--internal", "closed")
	server(s, img, "keeper", nil, []string{"tcp:80"}) // the program lives on
	s.Skiff("run", "--rm", img, "lookup", "far.example").Exits(0).Prints("10.200.7.2")
	s.Eventually("the first server was asked", func() bool { return asked.Load() > 0 })
	before := asked.Load()
	s.Skiff("run", "--rm", "--network", "n", img, "lookup", "far.example").Exits(0).Prints("10.200.7.2")
	s.Skiff("run", "--rm", "--network", "n", "--dns", "127.0.0.53", img, "lookup", "far.example").Exits(0).Prints("10.200.7.2")
	s.Skiff("run", "--rm", "--network", "closed", img, "lookup", "far.example").Exits(1)
	if n := asked.Load(); n != before {
		t.Errorf("the silent server was asked %d times more, after it was late", n-before)
	}
}

// Two users have the same addresses and never meet.
func TestHost_TwoUsersWithTheSameSubnet(t *testing.T) {
	one, two := harness.New(t), harness.New(t)
	img := one.LoadPayload()
	two.LoadPayload()
	for i, s := range []*harness.Session{one, two} {
		s.OK("network", "create", "--subnet", "10.77.8.0/24", "same")
		server(s, img, fmt.Sprintf("web%d", i), []string{"--network", "same", "--ip", "10.77.8.8"}, []string{"tcp:80"})
	}
	one.Skiff("run", "--rm", "--network", "same", img, "lookup", "web0").Exits(0).Prints("10.77.8.8")
	one.Skiff("run", "--rm", "--network", "same", img, "lookup", "web1").Exits(1)
	two.OK("rm", "-f", "web1")
	one.Skiff("run", "--rm", "--network", "same", img, "say", "tcp", "10.77.8.8:80", "x").Exits(0)
	two.Skiff("run", "--rm", "--network", "same", img, "say", "tcp", "10.77.8.8:80", "x").Exits(1)
	one.OK("rm", "-f", "web0")
}

// Where the machine has a way to, containers shall get to: their own networks
// are elsewhere.
func TestHost_NetworksKeepOffItsRoutes(t *testing.T) {
	h := newHost(t)
	s := harness.New(t)
	img := s.LoadPayload()
	s.InNetwork("/run/netns/" + h.here)
	run := func(line string) {
		t.Helper()
		if out, err := exec.Command("sh", "-ec", line).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	server(s, img, "early", nil, []string{"tcp:80"})
	run("ip -n " + h.there + " addr add 172.17.0.2/16 dev up0")
	run("ip -n " + h.there + " route add 172.18.0.0/16 via 10.200.7.1")
	for _, to := range []string{"172.17.0.0/16", "172.19.0.0/20"} {
		run("ip -n " + h.here + " route add " + to + " dev up0")
	}
	subnet := func(name string) string {
		t.Helper()
		return s.OK("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", name)
	}
	// Not while somebody is on it.
	s.Skiff("run", "--rm", img, "say", "tcp", "early:80", "x").Exits(0)
	harness.Equal(t, "the subnet under a running container", subnet("bridge"), "172.17.0.0/16")
	s.OK("rm", "-f", "early")
	var port int
	in(t, h.there, func() { port = listen(t, "172.17.0.2") })
	s.Skiff("run", "--rm", img, "say", "tcp", fmt.Sprintf("172.17.0.2:%d", port), "far").Exits(0).Prints("heard far")
	harness.Equal(t, "the subnet of the default network", subnet("bridge"), "172.18.0.0/16")
	s.OK("network", "create", "own")
	harness.Equal(t, "the next of docker's pools", subnet("own"), "172.20.0.0/16")
	server(s, img, "web", nil, []string{"tcp:80"})
	harness.Equal(t, "an address there", s.Inspect("web", "{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}}"), "172.18.0.2 172.18.0.1")
	s.Skiff("run", "--rm", img, "say", "tcp", "web:80", "x").Exits(0)
}

// The network program starts from a home on which nothing may be executed.
func TestHost_StoreMountedNoexec(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.New(t)
	img := s.LoadPayload()
	s.InMountNamespace(fmt.Sprintf("mount --bind %[1]s %[1]s; mount -o remount,bind,noexec,nosuid %[1]s", s.Home()))
	s.OK("network", "create", "n")
	server(s, img, "web", []string{"--network", "n"}, []string{"tcp:80"})
	s.Skiff("run", "--rm", "--network", "n", img, "say", "tcp", "web:80", "x").Exits(0)
	for _, pid := range programs(s) {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err != nil || !strings.Contains(exe, "memfd:") {
			t.Errorf("the network program is %q, %v: not from memory", exe, err)
		}
	}
	s.OK("rm", "-f", "web")
}

// A client behind a router, whose wire is wider than the next one, and that
// loses packets: all arrives, and its address is seen.
func TestHost_BehindARouterWithLoss(t *testing.T) {
	h := newHost(t)
	s := harness.New(t)
	img := s.LoadPayload()
	s.InNetwork("/run/netns/" + h.here)
	in(t, h.there, func() {
		if err := lose(20); err != nil {
			t.Skip("lose packets: ", err)
		}
	})
	server(s, img, "web", []string{"-p", "8080:80"}, []string{"tcp:80"})
	long := strings.Repeat("0123456789abcdef", 16_000)
	var port int
	in(t, h.far, func() {
		conn, err := net.Dial("tcp", "10.200.7.1:8080")
		if err != nil {
			t.Errorf("from behind the router: %v", err)
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute)) // retransmissions wait
		go func() {
			_, _ = conn.Write([]byte(long))
			_ = conn.(*net.TCPConn).CloseWrite()
		}()
		got, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(got), "10.200.8.2:") || !strings.HasSuffix(string(got), long) {
			t.Errorf("the server saw %.40q and %d bytes (%v), want 10.200.8.2: and all of %d", got, len(got), err, len(long))
		}
		port = listen(t, "10.200.8.2")
	})
	s.Shell(fmt.Sprintf("head -c 256000 /dev/zero | tr '\\0' x | skiff exec -i web /payload send 10.200.8.2:%d | wc -c", port)).
		Exits(0).Prints(fmt.Sprint(256000 + len("heard ")))
	s.OK("rm", "-f", "web")
}

// lose drops one of n packets that are forwarded in this network namespace, at
// random. Not every kernel has netem.
func lose(n uint32) error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := conn.AddTable(&nftables.Table{Name: "loss", Family: nftables.TableFamilyIPv4})
	chain := conn.AddChain(&nftables.Chain{
		Name: "forward", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
	})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Numgen{Register: unix.NFT_REG_1, Modulus: n, Type: unix.NFT_NG_RANDOM},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{0, 0, 0, 0}},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
	return conn.Flush()
}
