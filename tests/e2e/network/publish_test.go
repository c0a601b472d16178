package network_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestPublish_EveryForm(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	fixed, local, span := freePort(t), freePort(t), freePort(t)
	server(s, img, "web", []string{
		"-p", fmt.Sprintf("%d:80", fixed), "-p", fmt.Sprintf("127.0.0.1:%d:81", local), "-p", "82",
		"-p", fmt.Sprintf("%d-%d:83", span, span+20), "-p", fmt.Sprintf("%d:53/udp", fixed), "-P", "--expose", "90",
	}, []string{"tcp:80", "tcp:81", "tcp:82", "tcp:83", "tcp:90", "udp:53"})
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		if got := say(t, "tcp", fmt.Sprintf("%s:%d", host, fixed), "hello"); !strings.HasSuffix(got, " said hello") {
			t.Errorf("tcp %s: got %q", host, got)
		}
		if got := say(t, "udp", fmt.Sprintf("%s:%d", host, fixed), "hello"); !strings.HasSuffix(got, " said hello") {
			t.Errorf("udp %s: got %q", host, got)
		}
	}
	for _, port := range []string{"82", "83", "90/tcp"} {
		say(t, "tcp", fmt.Sprintf("127.0.0.1:%d", published(s, "web", port)), "x")
	}
	if n := published(s, "web", "83"); n < span || n > span+20 {
		t.Errorf("83 is on %d, not between %d and %d", n, span, span+20)
	}
	if ip := machine(t); true {
		if got, want := say(t, "tcp", fmt.Sprintf("%s:%d", ip, fixed), "x"), ip+":"; !strings.HasPrefix(got, want) {
			t.Errorf("the server saw %q, want the client's own address %s", got, ip)
		}
		if got, want := say(t, "udp", fmt.Sprintf("%s:%d", ip, fixed), "x"), ip+":"; !strings.HasPrefix(got, want) {
			t.Errorf("the server saw %q, want the client's own address %s", got, ip)
		}
		if _, err := trySay("tcp", fmt.Sprintf("%s:%d", ip, local), "x"); err == nil {
			t.Error("a port on 127.0.0.1 answers on another address")
		}
	}
	s.Skiff("port", "web", "81").Exits(0).Prints(fmt.Sprintf("127.0.0.1:%d", local))
	s.Skiff("port", "web").Exits(0).Says(fmt.Sprintf("80/tcp -> 0.0.0.0:%d\n80/tcp -> [::]:%d\n81/tcp -> 127.0.0.1:%d\n", fixed, fixed, local))
	s.Skiff("port", "web", "99").Exits(1).Complains("no public port '99' published for web")
	s.Skiff("ps", "--format", "{{.Ports}}").Exits(0).Says(fmt.Sprintf("0.0.0.0:%d->80/tcp, [::]:%d->80/tcp", fixed, fixed))
	s.Skiff("inspect", "-f", `{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}} {{json (index .HostConfig.PortBindings "81/tcp")}}`, "web").
		Exits(0).Prints(fmt.Sprintf(`%d [{"HostIp":"127.0.0.1","HostPort":"%d"}]`, fixed, local))

	s.OK("restart", "-t", "0", "web")
	s.Eventually("the port is back", func() bool {
		_, err := trySay("tcp", fmt.Sprintf("127.0.0.1:%d", fixed), "x")
		return err == nil
	})
	s.OK("stop", "-t", "0", "web")
	s.Skiff("port", "web").Exits(0).Silent()
	if l, err := net.Listen("tcp", fmt.Sprintf("0.0.0.0:%d", fixed)); err != nil {
		t.Errorf("the port of a stopped container is not free: %v", err)
	} else {
		l.Close()
	}
}

func TestPublish_Refuses(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	port := freePort(t)
	server(s, img, "web", []string{"-p", fmt.Sprintf("%d:80", port)}, []string{"tcp:80"})
	taken, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	other := taken.Addr().(*net.TCPAddr).Port
	for _, c := range []struct{ name, flags, want string }{
		{"a port of another container's", fmt.Sprintf("-p %d:80", port), fmt.Sprintf("Bind for 0.0.0.0:%d failed: port is already allocated", port)},
		{"a port of another program's", fmt.Sprintf("-p %d:80", other), "bind: address already in use"},
		{"an address that is not this machine's", "-p 198.51.100.7:8080:80", "cannot assign requested address"},
		{"a privileged port", "-p 81:80", "cannot expose privileged port 81"},
		{"no port", "-p 70000:80", "invalid hostPort: 70000"},
		{"no address", "-p 300.1.1.1:80:80", "invalid IP address: 300.1.1.1"},
		{"ranges of two lengths", "-p 8000-8002:80-81", "invalid ranges specified for container and host Ports"},
		{"no protocol", "-p 80:80/icmp", "invalid proto: icmp"},
		{"SCTP", "-p 8080:80/sctp", "SCTP is not supported"},
	} {
		s.Shell("skiff run --rm " + c.flags + " " + img + " id").Exits(125).Complains(c.want)
	}
	s.Skiff("ps", "-aq").Exits(0).PrintsMatch("^[0-9a-f]{12}$")
	if got := say(t, "tcp", fmt.Sprintf("127.0.0.1:%d", port), "still"); !strings.HasSuffix(got, "said still") {
		t.Errorf("the first container's port: got %q", got)
	}
}
