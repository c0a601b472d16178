package network_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestDefaultNetwork(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	server(s, img, "web", []string{"--hostname", "www"}, []string{"tcp:80", "udp:80"})
	address := s.Inspect("web", "{{.NetworkSettings.IPAddress}}")
	// 172.17.0.1, unless this machine has a way to that (a docker engine's bridge).
	gateway := strings.TrimSuffix(address, "2") + "1"
	harness.Equal(t, "address, gateway and MAC", s.Inspect("web",
		"{{.NetworkSettings.Gateway}} {{.NetworkSettings.IPPrefixLen}} {{.NetworkSettings.MacAddress}} {{.NetworkSettings.Networks.bridge.IPAddress}}"),
		fmt.Sprintf("%s 16 02:42:ac:%02x:00:02 %s", gateway, netip.MustParseAddr(address).As4()[1], address))

	run := func(args ...string) *harness.Result {
		t.Helper()
		return s.Skiff(append([]string{"run", "--rm", img}, args...)...)
	}
	run("say", "tcp", address+":80", "hello").Exits(0).PrintsMatch(`172\.\d+\.0\.3:\d+ said hello`)
	run("say", "udp", "web:80", "hello").Exits(0).PrintsMatch(`172\.\d+\.0\.3:\d+ said hello`)
	run("lookup", "web", "WEB", s.Inspect("web", "{{.Id}}")[:12]).Exits(0).Prints(strings.Join([]string{address, address, address}, "\n"))
	s.Skiff("exec", "web", "/payload", "cat", "/etc/hosts").Exits(0).Says(address + "\twww\n")
	s.Skiff("exec", "web", "/payload", "lookup", "www", "localhost").Exits(0).Says(address + "\n")

	ip := machine(t)
	port := listen(t, ip)
	for _, proto := range []string{"tcp", "udp"} {
		run("say", proto, fmt.Sprintf("%s:%d", ip, port), "hello").Exits(0).Prints("heard hello")
	}
	s.Skiff("run", "--rm", "--add-host", "here:host-gateway", img, "say", "tcp", fmt.Sprintf("here:%d", port), "hello").Exits(0).Prints("heard hello")
	run("say", "tcp", fmt.Sprintf("%s:%d", ip, freePort(t)), "x").Exits(1).Complains("connection refused")

	// The machine's loopback interface is not theirs.
	secret := listen(t, "127.0.0.1")
	for _, to := range []string{"127.0.0.1", gateway, "0.0.0.0", ip} {
		run("say", "tcp", fmt.Sprintf("%s:%d", to, secret), "x").Exits(1)
	}
}

func TestModes(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	ip := machine(t)
	port := listen(t, ip)
	s.Skiff("run", "--rm", "--network", "none", img, "say", "tcp", fmt.Sprintf("%s:%d", ip, port), "x").Exits(1).Complains("unreachable")
	secret := listen(t, "127.0.0.1")
	s.Skiff("run", "--rm", "--network", "host", "-p", "80:80", img, "say", "tcp", fmt.Sprintf("127.0.0.1:%d", secret), "hi").
		Exits(0).Prints("heard hi").Complains("Published ports are discarded when using host network mode")
	server(s, img, "web", nil, []string{"tcp:80"})
	s.Skiff("run", "--rm", "--network", "container:web", img, "say", "tcp", "127.0.0.1:80", "hi").Exits(0).PrintsMatch(".* said hi")
	pid := s.Inspect("web", "{{.State.Pid}}")
	s.Skiff("run", "--rm", "--network", "ns:/proc/"+pid+"/ns/net", img, "say", "tcp", "127.0.0.1:80", "hi").Exits(0).PrintsMatch(".* said hi")
	for flags, want := range map[string]string{
		"--network container:web -p 80:80":       "conflicting options: port publishing and the container type network mode",
		"--network container:web --dns 1.1.1.1":  "conflicting options: dns and the network mode",
		"--network container:":                   "invalid container format container:<name|id>",
		"--network container:nosuch":             "No such container: nosuch",
		"--network nosuch":                       "network nosuch not found",
		"--network host --network none":          "cannot attach both user-defined and non-user-defined network-modes",
		"--network bridge --ip 172.17.0.9":       "user specified IP address is supported on user defined networks only",
		"--network bridge --network-alias a":     "network-scoped aliases are only supported for user-defined networks",
		"--mac-address 1:2":                      "is not a valid mac address",
		"--hostname $'evil\\n1.2.3.4 bank'":      "invalid hostname format",
		"--network x --network-alias 'a b'":      "is not a host name",
		"--network name=x,bogus=1":               "invalid field key bogus",
		"--network a --network a":                `network "a" is specified multiple times`,
		"--network ns:/etc/passwd":               "network namespace /etc/passwd: the file is none",
		"--network ns:/nosuch":                   "network namespace /nosuch does not exist",
		"--link nosuch:x":                        "could not get container for nosuch",
		"--add-host $'a\\n1.2.3.4 b:127.0.0.1'":  "bad format for add-host",
		"--dns 1.2.3":                            "IP address is not correctly formatted: 1.2.3",
		"--dns-search 'a b'":                     "is not a valid domain",
		"--network container:web --hostname foo": "conflicting options: hostname and the network mode",
	} {
		s.Shell("bash -c \"skiff run --rm " + strings.ReplaceAll(flags, `"`, `\"`) + " " + img + " id\"").Exits(125).Complains(want)
	}
	s.Skiff("ps", "-aq").Exits(0).PrintsMatch("^[0-9a-f]{12}$")
}

// Both engines by name: who asks for one gets it, and the other stays away.
func TestEngines_ByName(t *testing.T) {
	for engine, program := range map[string]string{"pasta": "pasta", "usernet": ""} {
		t.Run(engine, func(t *testing.T) {
			if program != "" {
				if _, err := exec.LookPath(program); err != nil {
					t.Skip(program + " is not installed")
				}
			}
			s := harness.New(t)
			img := s.LoadBusybox()
			port := strconv.Itoa(freePort(t))
			s.OK("run", "-d", "--name", "it", "--network", engine, "-p", port+":80", img, "sh", "-c", "echo page >/index.html; httpd -f -p 80 -h /")
			s.Skiff("port", "it").Exits(0).Prints("80/tcp -> 0.0.0.0:" + port + "\n80/tcp -> [::]:" + port)
			s.Skiff("ps", "--format", "{{.Ports}}").Exits(0).Prints("0.0.0.0:" + port + "->80/tcp, [::]:" + port + "->80/tcp")
			s.Eventually("it answers", func() bool {
				answer, err := http.Get("http://127.0.0.1:" + port + "/")
				if err != nil {
					return false
				}
				defer answer.Body.Close()
				body, err := io.ReadAll(answer.Body)
				return err == nil && string(body) == "page\n"
			})
			s.OK("rm", "-f", "it")
		})
	}
}
