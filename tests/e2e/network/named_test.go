package network_test

import (
	"fmt"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestNetwork_CreateListInspectRemove(t *testing.T) {
	s := harness.New(t)
	s.Skiff("network", "create", "front").Exits(0).PrintsMatch("^[0-9a-f]{64}$")
	s.OK("network", "create", "--subnet", "10.77.1.0/24", "--gateway", "10.77.1.254", "--ip-range", "10.77.1.128/25", "--internal",
		"--label", "tier=back", "-o", "com.docker.network.driver.mtu=1280", "--aux-address", "printer=10.77.1.128", "back")
	s.Skiff("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}").Exits(0).
		Prints("back bridge local\nbridge bridge local\nfront bridge local\nhost host local\nnone null local")
	s.Skiff("network", "ls").Exits(0).PrintsMatch(`(?s)^NETWORK ID +NAME +DRIVER +SCOPE\n.*`)
	s.Skiff("network", "ls", "-q", "--filter", "type=custom", "--filter", "label=tier").Exits(0).PrintsMatch("^[0-9a-f]{12}$")
	s.Skiff("network", "inspect", "-f", `{{(index .IPAM.Config 0).Subnet}} {{(index .IPAM.Config 0).Gateway}} {{.Internal}} {{.Labels.tier}}`, "back").
		Exits(0).Prints("10.77.1.0/24 10.77.1.254 true back")
	s.Skiff("inspect", "-f", "{{.Driver}} {{(index .IPAM.Config 0).Gateway}}", "bridge").Exits(0).Prints("bridge 172.17.0.1")
	id := s.OK("network", "inspect", "-f", "{{.Id}}", "front")
	s.Skiff("network", "inspect", "-f", "{{.Name}}", id[:8]).Exits(0).Prints("front")
	for line, want := range map[string]string{
		"create front":                                           "network with name front already exists",
		"create bridge":                                          "operation is not permitted on predefined bridge network",
		"create --subnet 10.77.0.0/16 x":                         "invalid pool request: Pool overlaps with other one on this address space",
		"create --subnet 10.78.0.1/16 x":                         "invalid subnet 10.78.0.1/16: it should be 10.78.0.0/16",
		"create --subnet 10.78.0.0 x":                            "invalid subnet 10.78.0.0: invalid CIDR address: 10.78.0.0",
		"create --gateway 10.78.0.1 x":                           "every ip-range or gateway must have a corresponding subnet",
		"create --subnet 10.78.0.0/16 --gateway 1.2.3.4 x":       "no matching subnet for gateway 1.2.3.4",
		"create --subnet 10.78.0.0/16 --ip-range 10.79.0.0/24 x": "no matching subnet for range 10.79.0.0/24",
		"create -d overlay x":                                    "could not find plugin overlay in v1 plugin registry: plugin not found",
		"create -d host x":                                       `only one instance of "host" network is allowed`,
		"create ../../x":                                         `invalid network name "../../x"`,
		"create -o com.docker.network.driver.mtu=9 x":            `invalid value for option com.docker.network.driver.mtu: "9"`,
		"create -o com.docker.network.bridge.name=lo x":          "invalid value for option com.docker.network.bridge.name",
		"rm bridge":               "bridge is a pre-defined network and cannot be removed",
		"rm nosuch":               "network nosuch not found",
		"inspect nosuch":          "network nosuch not found",
		"connect nosuch x":        "network nosuch not found",
		"connect front nosuch":    "No such container: nosuch",
		"disconnect front nosuch": "No such container: nosuch",
	} {
		s.Shell("skiff network " + line).Exits(1).Complains(want)
	}
	s.Skiff("network", "rm", "-f", "nosuch").Exits(0).Silent()
	s.Skiff("network", "rm", "front", "nosuch", "back").Exits(1).Prints("front\nback").Complains("network nosuch not found")
	s.OK("network", "create", "again")
	s.Skiff("network", "prune", "-f").Exits(0).Prints("Deleted Networks:\nagain\n")
	s.Skiff("network", "prune", "-f").Exits(0).Silent()
}

func TestNetwork_NamesAddressesIsolation(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	s.OK("network", "create", "--subnet", "10.77.2.0/24", "n1")
	s.OK("network", "create", "--subnet", "10.77.3.0/24", "n2")
	s.OK("network", "create", "--subnet", "10.77.4.0/24", "--internal", "inner")
	port := freePort(t)
	server(s, img, "web", []string{
		"--network", "n1", "--ip", "10.77.2.20", "--mac-address", "02:00:00:00:00:20", "--network-alias", "www", "-p", fmt.Sprintf("%d:80", port),
	}, []string{"tcp:80"})
	server(s, img, "db", []string{"--network", "name=n1,alias=data", "--network", "inner"}, []string{"tcp:80"})
	run := func(network string, args ...string) *harness.Result {
		t.Helper()
		return s.Skiff(append([]string{"run", "--rm", "--network", network, img}, args...)...)
	}
	harness.Equal(t, "the wished address", s.Inspect("web", "{{.NetworkSettings.Networks.n1.IPAddress}} {{.NetworkSettings.Networks.n1.MacAddress}} {{.NetworkSettings.Networks.n1.Aliases}}"),
		"10.77.2.20 02:00:00:00:00:20 [www]")
	run("n1", "lookup", "web", "www", "WWW", s.Inspect("web", "{{.Id}}")[:12]).Exits(0).Prints(strings.Repeat("10.77.2.20\n", 3) + "10.77.2.20")
	run("n1", "lookup", "web.n1", "WWW.N1").Exits(0).Prints("10.77.2.20\n10.77.2.20")
	run("n1", "lookup", "web.n2").Exits(1)
	s.Skiff("run", "--rm", "--network", "n1", "--dns-option", "use-vc", img, "lookup", "web").Exits(0).Prints("10.77.2.20") // over TCP
	run("n1", "say", "tcp", "data:80", "x").Exits(0)
	s.Skiff("exec", "db", "/payload", "say", "tcp", "web:80", "x").Exits(0)
	// Networks do not see each other: not by name, not by address.
	run("n2", "lookup", "web").Exits(1)
	run("n2", "say", "tcp", "10.77.2.20:80", "x").Exits(1)
	// Nor is there a way out of an internal one, not even by names.
	address := s.Inspect("db", "{{.NetworkSettings.Networks.inner.IPAddress}}")
	run("inner", "say", "tcp", address+":80", "x").Exits(0)
	ip := machine(t)
	outside := listen(t, ip)
	run("inner", "say", "tcp", fmt.Sprintf("%s:%d", ip, outside), "x").Exits(1)
	run("inner", "say", "udp", fmt.Sprintf("%s:%d", ip, outside), "x").Exits(1)
	run("n2", "say", "tcp", fmt.Sprintf("%s:%d", ip, outside), "x").Exits(0).Prints("heard x")
	if got := say(t, "tcp", fmt.Sprintf("%s:%d", ip, port), "x"); !strings.HasPrefix(got, ip+":") {
		t.Errorf("through the published port the server saw %q, want %s", got, ip)
	}
	// What can be said about each network, docker's long form.
	s.Skiff("run", "-d", "--name", "opts", "--network",
		`name=n1,ip=10.77.2.30,mac-address=02:00:00:00:00:30,alias=o,link-local-ip=169.254.7.7,driver-opt=com.docker.network.endpoint.ifname=left,`+
			`"driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.IFNAME.arp_ignore=1"`,
		"--network", "name=n2,driver-opt=nosuch=1", img, "sleep", "1000").Exits(0).Complains("WARNING: driver option nosuch has no effect.")
	s.Skiff("exec", "opts", "/payload", "cat", "/proc/sys/net/ipv4/conf/left/log_martians", "/proc/sys/net/ipv4/conf/left/arp_ignore",
		"/sys/class/net/left/address").Exits(0).Prints("1\n1\n02:00:00:00:00:30")
	harness.Equal(t, "what inspect says", s.Inspect("opts", `{{with .NetworkSettings.Networks.n1}}{{.IPAddress}} {{json .IPAMConfig}} {{len .DriverOpts}}{{end}}`),
		`10.77.2.30 {"IPv4Address":"10.77.2.30","LinkLocalIPs":["169.254.7.7"]} 2`)
	server(s, img, "plain", nil, []string{"tcp:80"})
	s.OK("network", "connect", "--link-local-ip", "169.254.7.8", "--driver-opt", "com.docker.network.endpoint.ifname=right", "n1", "plain")
	s.Skiff("exec", "opts", "/payload", "say", "tcp", "169.254.7.8:80", "x").Exits(0).PrintsMatch(`169\.254\.7\.7:\d+ said x`)
	s.OK("rm", "-f", "opts", "plain")
	// Links are names of the one who has them.
	s.Skiff("run", "--rm", "--network", "n1", "--link", "web:site", img, "lookup", "site").Exits(0).Prints("10.77.2.20")
	for flags, want := range map[string]string{
		"--network n1 --ip 10.77.2.20":                                        "Address already in use",
		"--network n1 --ip 10.77.2.1":                                         "Address already in use",
		"--network n1 --ip 10.99.0.1":                                         "no configured subnet contains IP address 10.99.0.1",
		"--network n1 --ip 1.2.3":                                             "invalid IPv4 address: 1.2.3",
		"--network n1 --link-local-ip 10.0.0.1":                               "invalid link-local IP address: 10.0.0.1",
		"--network name=n1,driver-opt=x":                                      "invalid key value pair format in driver options: x",
		"--network name=n1,driver-opt=com.docker.network.endpoint.ifname=a/b": "is no interface's name",
		"--network name=n1,driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.all.x=1": "is not of the form net.X.Y.IFNAME.Z=VALUE",
		"--network name=n1,driver-opt=com.docker.network.endpoint.ifname=lo":                     "has an interface lo already",
	} {
		s.Shell("skiff run --rm " + flags + " " + img + " id").Exits(125).Complains(want)
	}
	s.Skiff("network", "rm", "n1").Exits(1).Complains("error while removing network: network n1 has active endpoints (")
	s.Skiff("network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{.IPv4Address}};{{end}}", "inner").Exits(0).Prints("db " + address + "/24;")
	s.Skiff("ps", "--filter", "network=inner", "--format", "{{.Names}} {{.Networks}}").Exits(0).Prints("db inner,n1")
	// A stopped container does not hold a network, and says what it misses.
	s.OK("stop", "-t", "0", "web", "db")
	s.OK("network", "rm", "n1")
	s.Skiff("start", "web").Exits(1).Complains("network n1 not found")
}

// TCP crosses a bridge in larger packets than the wire has, where the kernel lets it.
func TestNetwork_LargeSegments(t *testing.T) {
	s := harness.New(t)
	got := s.OK("run", "--rm", tools(s), "/payload", "segments", "eth0")
	if got == "0" {
		t.Skip("this kernel (before 6.3) has no packets of more than 64 KiB")
	}
	harness.Equal(t, "bytes in a packet", got, "196608")
}

func TestNetwork_ConnectWhileRunning(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	s.OK("network", "create", "--subnet", "10.77.5.0/24", "late")
	server(s, img, "web", nil, []string{"tcp:80"})
	s.OK("network", "connect", "--ip", "10.77.5.9", "--alias", "site", "late", "web")
	run := func(args ...string) *harness.Result {
		t.Helper()
		return s.Skiff(append([]string{"run", "--rm", "--network", "late", img}, args...)...)
	}
	run("lookup", "site").Exits(0).Prints("10.77.5.9")
	run("say", "tcp", "web:80", "x").Exits(0)
	harness.Equal(t, "networks", s.Inspect("web", "{{range $name, $e := .NetworkSettings.Networks}}{{$name}} {{end}}"), "bridge late ")
	s.Skiff("network", "connect", "late", "web").Exits(1).Complains("endpoint with name web already exists in network late")
	s.OK("restart", "-t", "0", "web")
	run("lookup", "site").Exits(0).Prints("10.77.5.9")
	s.OK("network", "disconnect", "late", "web")
	run("lookup", "site").Exits(1)
	run("say", "tcp", "10.77.5.9:80", "x").Exits(1)
	s.Skiff("network", "disconnect", "late", "web").Exits(1).Complains("is not connected to the network late")
	s.OK("network", "disconnect", "bridge", "web")
	s.Skiff("exec", "web", "/payload", "cat", "/proc/net/dev").Exits(0)
	if out := s.Skiff("exec", "web", "/payload", "cat", "/proc/net/dev").Stdout; strings.Contains(out, "eth") {
		t.Errorf("a container on no network has interfaces:\n%s", out)
	}
	s.OK("network", "connect", "bridge", "web")
	s.Skiff("run", "--rm", img, "say", "tcp", "web:80", "x").Exits(0)

	// A restart by policy finds the networks of now, each time.
	s.OK("run", "-d", "--name", "again", "--restart", "always", img, "sleep", "1000")
	s.OK("network", "connect", "--alias", "once-more", "late", "again")
	s.OK("network", "disconnect", "bridge", "again")
	for n := 1; n < 3; n++ {
		s.Shell("kill -9 $(skiff inspect -f '{{.State.Pid}}' again)").Exits(0)
		s.Eventually("it was started again", func() bool {
			return s.Inspect("again", "{{.RestartCount}} {{.State.Running}}") == fmt.Sprint(n, " true")
		})
		s.Eventually("it is on its network again", func() bool {
			return s.Skiff("run", "--rm", "--network", "late", img, "lookup", "once-more").Code == 0
		})
		s.Skiff("run", "--rm", img, "lookup", "again").Exits(1)
	}
	s.OK("rm", "-f", "again")

	s.OK("create", "--name", "idle", img, "id")
	s.OK("network", "connect", "late", "idle")
	harness.Equal(t, "networks of a stopped one", s.Inspect("idle", "{{range $name, $e := .NetworkSettings.Networks}}{{$name}} {{end}}"), "bridge late ")
	s.OK("create", "--name", "alone", "--network", "none", img, "id")
	s.Skiff("network", "connect", "late", "alone").Exits(1).Complains("private (none) mode")
	s.OK("create", "--name", "open", "--network", "host", img, "id")
	s.Skiff("network", "connect", "late", "open").Exits(1).Complains("container sharing network namespace with another container or host")
	s.Skiff("network", "connect", "host", "web").Exits(1).Complains("cannot connect container to host network")
}

func TestNetwork_NobodySpeaksForAnother(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("network", "create", "--subnet", "10.77.6.0/24", "lan")
	s.OK("run", "-d", "--name", "victim", "--network", "lan", "--ip", "10.77.6.2", img, "sleep", "1000")
	s.OK("run", "-d", "--name", "thief", "--network", "lan", "--ip", "10.77.6.3", "--cap-add", "NET_ADMIN", img, "sleep", "1000")
	s.Skiff("exec", "thief", "ping", "-c1", "-W2", "10.77.6.2").Exits(0)
	// A second address of its own, then a neighbour's hardware address.
	s.OK("exec", "thief", "ip", "addr", "add", "10.77.6.99/24", "dev", "eth0")
	s.Skiff("exec", "thief", "ping", "-c1", "-W1", "-I", "10.77.6.99", "10.77.6.2").Exits(1)
	s.OK("exec", "thief", "sh", "-c", "ip link set eth0 down; ip link set eth0 address 02:42:0a:4d:06:02; ip link set eth0 up")
	s.Skiff("exec", "thief", "ping", "-c1", "-W1", "10.77.6.1").Exits(1)
	s.Skiff("exec", "victim", "ping", "-c1", "-W2", "10.77.6.1").Exits(0)
}
