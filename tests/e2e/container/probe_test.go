package container_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// lastCheck is the exit code of a container's last check and what that said.
func lastCheck(s *harness.Session, name string) string {
	s.T.Helper()
	var health struct {
		Log []struct {
			ExitCode int
			Output   string
		}
	}
	if err := json.Unmarshal([]byte(s.Inspect(name, "{{json .State.Health}}")), &health); err != nil {
		s.T.Fatal(err)
	}
	if len(health.Log) == 0 {
		return ""
	}
	last := health.Log[len(health.Log)-1]
	return fmt.Sprintf("%d %s", last.ExitCode, strings.TrimSpace(last.Output))
}

// In the image is a server and nothing else: no shell, no wget.
func TestProbe_OfAnImageWithAServerOnly(t *testing.T) {
	s := harness.New(t)
	img := s.LoadWeb()
	for _, c := range []struct{ probe, network, well, ill string }{
		{"http://:8080/healthz", "none", "0 HTTP status 200", "1 HTTP probe failed with statuscode: 500"},
		{`{"httpGet":{"port":8080,"path":"/header","httpHeaders":[{"name":"X-Probe","value":"yes"}]}}`, "bridge", "0 HTTP status 200", "1 HTTP probe failed with statuscode: 500"},
		{"https://:8443/", "none", "0 HTTP status 200", "1 HTTP probe failed with statuscode: 500"},
		{"http://:8086/only-ipv6", "none", "0 HTTP status 200", "1 HTTP probe failed with statuscode: 500"},
		{"http://:8080/to?where=/healthz", "none", "0 HTTP status 200", "1 HTTP probe failed with statuscode: 500"},
		{"grpc://:50051", "none", "0 SERVING", `1 service unhealthy (responded with "NOT_SERVING")`},
		{"grpc://:50051/web", "usernet", "0 SERVING", `1 service unhealthy (responded with "NOT_SERVING")`},
	} {
		s.OK("run", "-d", "--name", "it", "--network", c.network, "--stop-timeout", "0", "--health-probe", c.probe, "--health-interval", "50ms", "--health-retries", "1", img)
		s.Eventually(c.probe+" succeeds", func() bool { return lastCheck(s, "it") == c.well })
		harness.Equal(t, c.probe, s.Inspect("it", "{{.State.Health.Status}}"), "healthy")
		s.Skiff("healthcheck", "run", "it").Exits(0).Prints("")
		s.OK("exec", "it", "/web", "touch", "/sick")
		s.Eventually(c.probe+" fails", func() bool { return lastCheck(s, "it") == c.ill })
		harness.Equal(t, c.probe, s.Inspect("it", "{{.State.Health.Status}}"), "unhealthy")
		s.Skiff("healthcheck", "run", "it").Exits(1).Prints("unhealthy")
		s.OK("rm", "-f", "it")
	}
	s.OK("run", "-d", "--name", "it", "--network", "none", "--stop-timeout", "0", "--health-probe", "http://:8080/x", "--health-interval", "50ms", img)
	harness.Equal(t, "in docker's shape", s.Inspect("it", "{{json .Config.Healthcheck.Test}}"), `["PROBE","{\"httpGet\":{\"path\":\"/x\",\"port\":8080}}"]`)
	s.Eventually("it was asked", func() bool { return strings.Contains(s.OK("logs", "it"), "GET /x") })
	harness.Equal(t, "what was asked", strings.SplitN(s.OK("logs", "it"), "\n", 3)[1], "GET /x localhost:8080  kube-probe/skiff")
	r := s.Skiff("commit", "it", "copy").Exits(0)
	r.Complains("WARNING: the container's probe is not in the image")
	harness.Equal(t, "committed", s.OK("inspect", "--type", "image", "-f", "{{.Config.Healthcheck}}", "copy"), "<nil>")
}

func TestProbe_WhereverTheNetworkIs(t *testing.T) {
	s := harness.New(t)
	img := s.LoadWeb()
	idle := s.LoadPayload()
	start := func(name, probe string, more ...string) {
		t.Helper()
		s.OK(append([]string{"run", "-d", "--name", name, "--stop-timeout", "0", "--health-interval", "50ms", "--health-probe", probe}, more...)...)
		s.Eventually(name+" is healthy", func() bool { return s.Inspect(name, "{{.State.Health.Status}}") == "healthy" })
	}
	run := func(name, probe string, more ...string) { t.Helper(); start(name, probe, append(more, img)...) }
	// Where nothing serves it is a neighbour that answers.
	sleeps := func(name, probe string, more ...string) {
		t.Helper()
		start(name, probe, append(more, idle, "sleep", "1000")...)
	}
	run("own", "http://:8080/own", "--network", "none")
	sleeps("guest", "http://:8080/guest", "--network", "container:own")
	s.OK("pod", "create", "--name", "p", "--add-host", "me.internal:127.0.0.1")
	run("member", "grpc://:50051/web", "--pod", "p")
	sleeps("other", "http://me.internal:8080/other", "--pod", "p")
	s.OK("network", "create", "n")
	run("db", "tcp://:8080", "--network", "n")
	sleeps("app", "http://db:8080/app", "--network", "n")
	run("keep", "http://:8080/", "--network", "none", "--userns", "keep-id")
	for name, want := range map[string]string{"own": "GET /guest localhost:8080", "member": "GET /other me.internal:8080", "db": "GET /app db:8080"} {
		if logs := s.OK("logs", name); !strings.Contains(logs, want) {
			t.Errorf("%s was asked\n%s", name, logs)
		}
	}
}

// A server may do what it likes.
func TestProbe_OfHostileServers(t *testing.T) {
	s := harness.New(t)
	img := s.LoadWeb()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	came := make(chan string, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case came <- c.RemoteAddr().String():
			default:
			}
			c.Close()
		}
	}()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	for _, c := range []struct{ probe, want string }{
		{"http://:8081/", "1 GET http://localhost:8081/: net/http: "},
		{"http://:8082/", "-1 Health check exceeded timeout (1s)"},
		{"grpc://:8082", "-1 Health check exceeded timeout (1s)"},
		{"grpc://:8081", `1 connect to gRPC service "localhost:8081"`},
		{"grpc://:8080", `1 connect to gRPC service "localhost:8080"`},
		{"grpc://:50051/other", `1 health rpc failed: status 5: "unknown service"`},
		{"http://:50051/", "1 GET http://localhost:50051/: "},
		// What is this machine's loopback to us is the container's own there.
		{"http://:8080/to?where=http://localhost:" + port + "/", "1 GET http://localhost:8080/to?where=http://localhost:" + port + "/: connect to 127.0.0.1:" + port + ": connection refused"},
		{"http://:8080/to?where=http://127.0.0.1:" + port + "/", "0 HTTP status 302: a redirection to another host is not followed"},
		{"http://127.0.0.1:" + port + "/", "1 GET http://127.0.0.1:" + port + "/: connect to 127.0.0.1:" + port + ": connection refused"},
		{"tcp://127.0.0.1:" + port, "1 connect to 127.0.0.1:" + port + ": connection refused"},
	} {
		limit := "10s" // a busy machine needs more than a moment for an answer
		if strings.Contains(c.want, "(1s)") {
			limit = "1s"
		}
		s.OK("run", "-d", "--name", "it", "--stop-timeout", "0", "--health-probe", c.probe, "--health-interval", "50ms", "--health-timeout", limit, img)
		s.Eventually("it serves", func() bool { return strings.Contains(s.OK("logs", "it"), "serving") })
		var got string
		s.Eventually(c.probe+" is through", func() bool {
			got = lastCheck(s, "it")
			return got != "" && (strings.HasPrefix(got, c.want) || !strings.Contains(got, "refused"))
		})
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.probe, got, c.want)
		}
		if len(got) > 400 {
			t.Errorf("%s: says %d bytes", c.probe, len(got))
		}
		s.OK("rm", "-f", "it")
	}
	select {
	case who := <-came:
		t.Errorf("%s came out of a container", who)
	default:
	}
}

// Nobody is left who asks, whoever is killed meanwhile.
func TestProbe_EndsWithItsMonitor(t *testing.T) {
	s := harness.New(t)
	img := s.LoadWeb()
	s.OK("run", "-d", "--name", "it", "--network", "none", "--health-probe", "http://:8082/", "--health-interval", "50ms", "--health-timeout", "1h", img)
	s.Eventually("it is asked", func() bool { return s.HasProcess("skiff:probe") })
	if n := s.KillRoles("skiff:monitor"); n != 1 {
		t.Fatalf("%d monitors were killed", n)
	}
	s.Eventually("nobody asks", func() bool { return !s.HasProcess("skiff:probe") })
	s.OK("rm", "-f", "it")
	s.OK("run", "-d", "--name", "it", "--network", "none", "--stop-timeout", "0", "--health-probe", "http://:8082/", "--health-interval", "50ms", "--health-timeout", "1h", img)
	s.Eventually("it is asked", func() bool { return s.HasProcess("skiff:probe") })
	s.OK("stop", "it")
	s.Eventually("nobody asks", func() bool { return !s.HasProcess("skiff:probe") })
}

// Who asks has the container's network and nothing else of it, nor the rights of its user.
func TestProbe_HasNothingButTheNetwork(t *testing.T) {
	s := harness.New(t)
	img := s.LoadWeb()
	s.OK("run", "-d", "--name", "it", "--network", "none", "--stop-timeout", "0", "-e", "SECRET=word", "--health-probe", "http://:8082/", "--health-interval", "50ms", "--health-timeout", "1h", img)
	init := s.Inspect("it", "{{.State.Pid}}")
	ns := func(pid, name string) string {
		link, err := os.Readlink("/proc/" + pid + "/ns/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return link
	}
	var pid, status string
	s.Eventually("it is asked, and has given up its rights", func() bool {
		for _, p := range s.Processes() {
			if p.Line == "skiff:probe" {
				pid = strconv.Itoa(p.PID)
			}
		}
		data, _ := os.ReadFile("/proc/" + pid + "/status")
		status = string(data)
		return strings.Contains(status, "NoNewPrivs:\t1") && strings.Contains(status, "CapEff:\t0000000000000000")
	})
	for _, want := range []string{"CapPrm:\t0000000000000000", "CapInh:\t0000000000000000"} {
		if !strings.Contains(status, want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	harness.Equal(t, "network", ns(pid, "net"), ns(init, "net"))
	for _, name := range []string{"mnt", "pid", "ipc", "uts"} {
		if ns(pid, name) == ns(init, name) {
			t.Errorf("it is in the container's %s namespace", name)
		}
	}
	env, err := os.ReadFile("/proc/" + pid + "/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"SECRET", "HOME", "PATH"} {
		if strings.Contains(string(env), word) {
			t.Errorf("its environment is %q", env)
		}
	}
}

// A monitor goes on to ask when the program that asks was removed from the disk.
func TestProbe_OutlivesItsProgramsFile(t *testing.T) {
	s := harness.New(t)
	img := s.LoadWeb()
	s.OK("run", "-d", "--name", "it", "--network", "none", "--stop-timeout", "0", "--health-probe", "http://:8080/", "--health-interval", "50ms", "--health-retries", "1", img)
	s.Eventually("it is healthy", func() bool { return s.Inspect("it", "{{.State.Health.Status}}") == "healthy" })
	if err := os.RemoveAll(filepath.Join(s.Store(), "cache")); err != nil {
		t.Fatal(err)
	}
	s.OK("exec", "it", "/web", "touch", "/sick")
	s.Eventually("it is found sick", func() bool { return s.Inspect("it", "{{.State.Health.Status}}") == "unhealthy" })
	s.OK("exec", "it", "/web", "rm", "/sick")
	s.Eventually("and well", func() bool { return s.Inspect("it", "{{.State.Health.Status}}") == "healthy" })
}

// Hooks of an image with a server only.
func TestProbe_Hooks(t *testing.T) {
	s := harness.New(t)
	img := s.LoadWeb()
	s.OK("run", "-d", "--name", "it", "--network", "none", "--stop-timeout", "60", "--pre-stop", `{"httpGet":{"port":8443,"scheme":"HTTPS","path":"/bye"}}`, img)
	s.Eventually("it serves", func() bool { return s.OK("logs", "it") == "serving" })
	s.OK("stop", "it")
	harness.Equal(t, "what was asked", s.OK("logs", "it"), "serving\nGET /bye localhost:8443  kube-lifecycle/skiff\nended")
	well := s.Skiff("run", "-d", "--name", "tcp", "--network", "host", "--stop-timeout", "0", "--post-start", `{"tcpSocket":{"port":1}}`, s.LoadPayload(), "sleep", "1000").Exits(0)
	well.Complains("WARNING: container tcp: postStart hook: exit code 1: connect to 127.0.0.1:1: connection refused")
}

// probed has probes of each kind, of an image with a server only.
const probed = `apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: a
    image: IMAGE
    ports: [{name: web, containerPort: 8080}]
    livenessProbe: {httpGet: {port: web, path: /header, httpHeaders: [{name: X-Probe, value: "yes"}]}, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 1}
    startupProbe: {tcpSocket: {port: web}, periodSeconds: 1, timeoutSeconds: 30}
    lifecycle: {preStop: {tcpSocket: {port: web}}}
  - name: b
    image: OTHER
    args: [sleep, "1000"]
    readinessProbe: {grpc: {port: 50051, service: web}, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 1}
`

func TestProbe_OfKubernetes(t *testing.T) {
	s := harness.New(t)
	s.WriteFile("p.yaml", strings.NewReplacer("IMAGE", s.LoadWeb(), "OTHER", s.LoadPayload()).Replace(probed))
	s.OK("kube", "play", "p.yaml")
	status := func(name string) string { return s.Inspect(name, "{{.State.Health.Status}}") }
	for _, name := range []string{"p-a", "p-b"} {
		s.Eventually(name+" is healthy", func() bool { return status(name) == "healthy" })
	}
	if logs := s.OK("logs", "p-a"); !strings.Contains(logs, "GET /header localhost:8080 yes kube-probe/skiff") || !strings.Contains(logs, `POST /grpc.health.v1.Health/Check "\x00\x00\x00\x00\x05\n\x03web"`) {
		t.Errorf("what was asked:\n%s", logs)
	}
	first := s.OK("kube", "generate", "p")
	for _, want := range []string{
		"    livenessProbe:\n      failureThreshold: 1\n      httpGet:\n        httpHeaders:\n        - name: X-Probe\n          value: \"yes\"\n        path: /header\n        port: 8080\n      periodSeconds: 1\n      timeoutSeconds: 30\n",
		"    startupProbe:\n      failureThreshold: 3\n      periodSeconds: 1\n      tcpSocket:\n        port: 8080\n      timeoutSeconds: 30\n",
		"    lifecycle:\n      preStop:\n        tcpSocket:\n          port: 8080\n",
		"    readinessProbe:\n      failureThreshold: 1\n      grpc:\n        port: 50051\n        service: web\n      periodSeconds: 1\n      timeoutSeconds: 30\n",
	} {
		if !strings.Contains(first, want) {
			t.Errorf("no\n%s\nin\n%s", want, first)
		}
	}
	// Who is not alive is ended, who is not ready is left alone.
	s.OK("exec", "p-a", "/web", "touch", "/sick")
	s.Eventually("a is ended", func() bool { return s.Inspect("p-a", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137" })
	s.Eventually("b is not ready", func() bool { return status("p-b") == "unhealthy" })
	harness.Equal(t, "b", s.Inspect("p-b", "{{.State.Status}}"), "running")
	s.OK("kube", "down", "p.yaml")
	s.WriteFile("again.yaml", first)
	s.OK("kube", "play", "again.yaml")
	harness.Equal(t, "generated again", s.OK("kube", "generate", "p"), first)
	s.OK("kube", "down", "again.yaml")
}

// Where a readiness probe is not the health check it is a check of its own.
func TestProbe_ReadinessOfItsOwn(t *testing.T) {
	s := harness.New(t)
	img := s.LoadWeb()
	pod := func(policy, probes string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  restartPolicy: " + policy + "\n  containers:\n  - name: c\n    image: " + img + "\n" + probes
	}
	const live, start, ready = "    livenessProbe: {tcpSocket: {port: 8080}}\n", "    startupProbe: {tcpSocket: {port: 8080}}\n", "    readinessProbe: {httpGet: {port: 8080}, successThreshold: 2}\n"
	const asked = `PROBE {"httpGet":{"port":8080}} 2`
	for _, c := range []struct{ name, yaml, ready, probe string }{
		{"beside liveness", pod("Always", live+ready), asked, `PROBE {"tcpSocket":{"port":8080}}`},
		{"beside a startup that ends it", pod("Never", start+ready), asked, "<no value>"},
		{"two successes", pod("Always", ready), asked, "<no value>"},
		{"one success", pod("Always", strings.Replace(ready, "2", "1", 1)), "<no value>", `PROBE {"httpGet":{"port":8080}}`},
		{"liveness alone", pod("Always", live), "<no value>", `PROBE {"tcpSocket":{"port":8080}}`},
	} {
		s.WriteFile("p.yaml", c.yaml)
		r := s.Skiff("kube", "play", "--start=false", "p.yaml").Exits(0)
		if strings.Contains(r.Stderr, "readinessProbe") {
			t.Errorf("%s: said %q", c.name, r.Stderr)
		}
		got := s.Inspect("p-c", `{{with .Config.Healthcheck}}{{join .Test " "}}{{else}}<no value>{{end}}`)
		harness.Equal(t, c.name, got, c.probe)
		got = s.Inspect("p-c", `{{with index .Config "ReadinessCheck"}}{{join .Test " "}} {{.Successes}}{{else}}<no value>{{end}}`)
		harness.Equal(t, c.name+": readiness", got, c.ready)
		s.OK("kube", "down", "p.yaml")
	}
}

func TestProbe_BadInput(t *testing.T) {
	s := harness.New(t)
	img := s.LoadWeb()
	for flags, want := range map[string]string{
		"--health-probe=":                                        "invalid probe for --health-probe: it is empty",
		"--health-probe=true":                                    `"true" is neither JSON nor a URL such as http://:8080/healthz`,
		"--health-probe=http://:0/":                              "httpGet.port 0 is not between 1 and 65535",
		"--health-probe={\"sleep\":{\"seconds\":1}}":             "sleep is for hooks",
		"--health-probe=tcp://:1 --health-cmd=x":                 "conflicting options: --health-cmd and --health-probe",
		"--health-probe=tcp://:1 --no-healthcheck":               "--no-healthcheck conflicts with --health-* options",
		"--health-startup-probe=grpc://a:1":                      "invalid probe for --health-startup-probe",
		"--health-startup-probe=tcp://:1 --no-healthcheck":       "--no-healthcheck conflicts with",
		"--health-startup-probe=tcp://:1 --health-startup-cmd=x": "conflicting options: --health-startup-cmd and --health-startup-probe",
		"--post-start={\"grpc\":{\"port\":1}}":                   "grpc is for probes",
	} {
		s.Skiff(append(append([]string{"run"}, strings.Fields(flags)...), img)...).Exits(125).Complains(want)
	}
	harness.Equal(t, "left", s.OK("ps", "-aq"), "")
}

// A pod tells how many of its containers can do their work, and liveness alone ends
// one.
func TestProbe_OfReadinessBesideLiveness(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.WriteFile("pod.yaml", `apiVersion: v1
kind: Pod
metadata: {name: shop}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: web
    image: `+img+`
    imagePullPolicy: Never
    command: [sleep, "1000"]
    livenessProbe: {exec: {command: ["true"]}, periodSeconds: 1, timeoutSeconds: 60, failureThreshold: 1000}
    readinessProbe: {exec: {command: [test, -e, /ready]}, timeoutSeconds: 60, periodSeconds: 1, successThreshold: 2, failureThreshold: 1}
`)
	s.OK("kube", "play", "--network", "none", "pod.yaml")
	ready := func() string {
		return s.OK("pod", "ps", "--format", "{{.Ready}}") + " " + s.OK("pod", "inspect", "-f", "{{range .Containers}}{{if eq .Name \"shop-web\"}}{{.Ready}}{{end}}{{end}}", "shop")
	}
	s.Eventually("both are asked", func() bool {
		return s.Inspect("shop-web", "{{.State.Health.Status}}") == "healthy" && s.Inspect("shop-web", "{{len .State.Readiness.Log}}") != "0"
	})
	harness.Equal(t, "readiness", ready(), "0/1 false")
	s.OK("exec", "shop-web", "touch", "/ready")
	s.Eventually("it is ready", func() bool { return ready() == "1/1 true" })
	harness.Equal(t, "after two successes", s.Inspect("shop-web", "{{range .State.Readiness.Log}}{{if eq .ExitCode 0}}x{{end}}{{end}}")[:2], "xx")
	s.OK("kube", "down", "pod.yaml")
	s.WriteFile("bad.yaml", strings.Replace(s.ReadFile("pod.yaml"), "failureThreshold: 1000", "successThreshold: 2", 1))
	s.Skiff("kube", "play", "bad.yaml").Exits(1).Complains("container web: livenessProbe.successThreshold: 2 must be 1")
}
