package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	throughputRounds  = 5
	throughputSeconds = "2"
	// guestPort is where iperf3 serves in a container.
	guestPort   = "5201"
	onOne       = 100 // containers on one network
	onOneRounds = 25
)

// measureNetworks measures throughput beside pasta, slirp4netns and a plain pair
// of interfaces, and what a hundred containers on one network cost.
func measureNetworks(p *place, all []*contestant, r *report) {
	at := slices.IndexFunc(all, func(c *contestant) bool { return c.name == "skiff" })
	if at < 0 || all[at].missing != "" {
		return
	}
	if err := p.throughput(r); err != nil {
		r.note("throughput: %v", err)
	}
	if err := p.hundred(r); err != nil {
		r.note("a hundred containers on one network: %v", err)
	}
}

// output is what a command prints; starting it is the starter's.
func (s *starter) output(cmd *exec.Cmd) (out []byte, err error) {
	var failed bytes.Buffer
	cmd.Stderr = &failed
	done := make(chan struct{})
	s.work <- func() { defer close(done); out, err = cmd.Output() }
	<-done
	if err != nil {
		err = fmt.Errorf("%s: %w: %s%s", strings.Join(cmd.Args, " "), err, failed.Bytes(), out)
	}
	return out, err
}

// netTree is a root file system with busybox, iperf3 with its libraries, and the
// program of the tests.
func (p *place) netTree() (string, error) {
	payload := filepath.Join(p.dir, "payload")
	build := exec.Command("go", "build", "-o", payload, "./tests/payload")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the payload: %w\n%s", err, out)
	}
	iperf, err := exec.LookPath("iperf3")
	if err != nil {
		return "", fmt.Errorf("iperf3 is not installed")
	}
	files := map[string]string{"bin/payload": payload, "bin/iperf3": iperf}
	out, err := exec.Command("ldd", iperf).Output()
	if err != nil {
		return "", err
	}
	for word := range strings.FieldsSeq(string(out)) {
		if filepath.IsAbs(word) {
			files[strings.TrimPrefix(word, "/")] = word
		}
	}
	data, err := tree()
	if err != nil {
		return "", err
	}
	// A tar ends with two empty blocks (tar(5)); more comes in their place.
	buf := bytes.NewBuffer(data[:len(data)-1024])
	w := tar.NewWriter(buf)
	for name, from := range files {
		program, err := os.ReadFile(from)
		if err != nil {
			return "", err
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(program))}); err != nil {
			return "", err
		}
		if _, err := w.Write(program); err != nil {
			return "", err
		}
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	path := filepath.Join(p.dir, "net.tar")
	return path, os.WriteFile(path, buf.Bytes(), 0o644)
}

// way is one measurement of throughput: a client's command line, and how it is
// started.
type way struct {
	name    string
	starter *starter
	client  func() *exec.Cmd
	results []float64 // Gbit/s
	missing string
}

// once lets the client measure, which may have to wait for its server.
func (w *way) once() (float64, error) {
	for try := 0; ; try++ {
		out, err := w.starter.output(w.client())
		if err == nil {
			var said struct {
				End struct {
					Received struct {
						Rate float64 `json:"bits_per_second"`
					} `json:"sum_received"`
				}
			}
			if err = json.Unmarshal(out, &said); err == nil {
				return said.End.Received.Rate / 1e9, nil
			}
		}
		if try == 20 {
			return 0, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (w *way) median() float64 {
	if len(w.results) == 0 {
		return 0
	}
	slices.Sort(w.results)
	return w.results[len(w.results)/2]
}

// machineAddress is one of this machine's that is not its loopback interface's,
// and the router's that leads to it.
func machineAddress() (own, router string, err error) {
	conn, err := net.Dial("udp4", "192.0.2.1:9") // nothing is sent
	if err != nil {
		return "", "", err
	}
	defer conn.Close()
	own = conn.LocalAddr().(*net.UDPAddr).IP.String()
	out, err := exec.Command("ip", "-4", "route", "show", "default").Output()
	if f := strings.Fields(string(out)); err == nil && len(f) > 2 {
		router = f[2]
	}
	return own, router, nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

// serveHere starts iperf3 on this machine until the end, with whatever it starts:
// pasta's child outlives pasta.
func (p *place) serveHere(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := p.plain.start(cmd); err != nil {
		return err
	}
	p.atEnd = append(p.atEnd, func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
	})
	return nil
}

func (p *place) throughput(r *report) error {
	archive, err := p.netTree()
	if err != nil {
		return err
	}
	own, router, err := machineAddress()
	if err != nil {
		return err
	}
	var ports [5]string
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return err
		}
	}
	if err := p.serveHere(p.command("iperf3", "-s", "-p", ports[0])); err != nil {
		return err
	}
	client := func(to, port string) []string {
		return []string{"iperf3", "-J", "-t", throughputSeconds, "-c", to, "-p", port}
	}
	skiff := func(args ...string) *exec.Cmd { return p.inStore("net", args...) }
	for _, args := range [][]string{
		{"import", archive, "net"},
		{"network", "create", "lan"},
		{"run", "-d", "--name", "server", "-p", ports[1] + ":" + guestPort, "net", "iperf3", "-s"},
		{"run", "-d", "--name", "neighbour", "--network", "lan", "net", "iperf3", "-s"},
		{"run", "-d", "--name", "client", "--network", "lan", "net", "sleep", "100000"},
	} {
		if _, err := p.plain.time(skiff(args...)); err != nil {
			return err
		}
	}
	defer func() { _, _ = p.plain.time(skiff("rm", "-f", "server", "neighbour", "client", "with-pasta")) }()
	host := func(port string) func() *exec.Cmd {
		return func() *exec.Cmd { return p.command(client(own, port)...) }
	}
	inside := func(name, to, port string) func() *exec.Cmd {
		return func() *exec.Cmd { return skiff(append([]string{"exec", name}, client(to, port)...)...) }
	}
	// What goes out with it has no other machine to go to here: skiff lets nobody
	// reach this one's loopback by the router's address.
	withPasta := &way{name: "skiff with pasta", starter: p.plain, client: host(ports[4])}
	if _, err := p.plain.time(skiff("run", "-d", "--name", "with-pasta", "--network", "pasta", "-p", ports[4]+":"+guestPort, "net", "iperf3", "-s")); err != nil {
		withPasta.missing = err.Error()
	}
	slirpIn, slirpOut := p.slirp(ports[3], host(ports[3]), client("10.0.2.2", ports[0]))
	ways := map[string][]*way{
		"into a container, through a published port": {
			{name: "skiff", starter: p.plain, client: host(ports[1])},
			withPasta,
			p.pastaIn(ports[2], host(ports[2])), slirpIn,
		},
		"out of a container": {
			{name: "skiff", starter: p.plain, client: inside("server", own, ports[0])},
			p.pastaOut(client(router, ports[0])), slirpOut,
		},
		"container to container on a network": {
			{name: "skiff", starter: p.plain, client: inside("client", "neighbour", guestPort)}, p.veth(client("10.213.7.1", guestPort)),
		},
	}
	for range throughputRounds {
		for _, line := range ways {
			for _, w := range line {
				if w.missing != "" {
					continue
				}
				rate, err := w.once()
				if err != nil {
					w.missing = err.Error()
					r.note("throughput, %s: %v", w.name, err)
					continue
				}
				w.results = append(w.results, rate)
			}
		}
	}
	fmt.Fprintf(&r.network, "\n| TCP throughput, iperf3, Gbit/s, medians of %d | skiff | skiff with pasta | pasta | slirp4netns | veth pair | skiff is | budget |\n|---|---:|---:|---:|---:|---:|---|---|\n", throughputRounds)
	for _, what := range []string{"into a container, through a published port", "out of a container", "container to container on a network"} {
		medians := map[string]float64{}
		for _, w := range ways[what] {
			medians[w.name] = w.median()
			if w.missing != "" {
				r.note("throughput %s, %s: %s", what, w.name, w.missing)
			}
		}
		fmt.Fprintf(&r.network, "| %s |", what)
		for _, name := range []string{"skiff", "skiff with pasta", "pasta", "slirp4netns", "veth pair"} {
			if v := medians[name]; v > 0 {
				fmt.Fprintf(&r.network, " %.2f |", v)
			} else {
				r.network.WriteString(" - |")
			}
		}
		var verdicts, budgets []string
		for _, goal := range []struct {
			who, peer string
			least     float64 // 0 without a budget
		}{{"skiff with pasta", "pasta", 1}, {"skiff", "pasta", 0}, {"skiff", "slirp4netns", 1.5}, {"skiff", "veth pair", 0.9}} {
			if medians[goal.who] == 0 || medians[goal.peer] == 0 {
				continue
			}
			ratio := medians[goal.who] / medians[goal.peer]
			verdicts = append(verdicts, bold(fmt.Sprintf("%s %.2f x %s", strings.TrimPrefix(goal.who, "skiff "), ratio, goal.peer), ratio < goal.least))
			if goal.least > 0 {
				budgets = append(budgets, fmt.Sprintf("%.1f x %s", goal.least, goal.peer))
			}
		}
		fmt.Fprintf(&r.network, " %s | %s |\n", strings.Join(verdicts, ", "), "at least "+strings.Join(budgets, ", "))
	}
	return nil
}

// pastaIn has a server behind pasta, as podman starts it.
func (p *place) pastaIn(port string, client func() *exec.Cmd) *way {
	w := &way{name: "pasta", starter: p.plain, client: client}
	if err := needs("pasta"); err != nil {
		w.missing = err.Error()
		return w
	}
	cmd := p.command("pasta", "--config-net", "-q", "-f", "-t", port+":"+guestPort, "-u", "none", "-T", "none", "-U", "none", "--", "iperf3", "-s")
	if err := p.serveHere(cmd); err != nil {
		w.missing = err.Error()
	}
	return w
}

// pastaOut reaches this machine by the router's address, which pasta takes for it.
func (p *place) pastaOut(client []string) *way {
	w := &way{name: "pasta", starter: p.plain}
	if err := needs("pasta"); err != nil {
		w.missing = err.Error()
	}
	w.client = func() *exec.Cmd {
		return p.command(append([]string{"pasta", "--config-net", "-q", "-f", "-t", "none", "-u", "none", "-T", "none", "-U", "none", "--"}, client...)...)
	}
	return w
}

// slirp is slirp4netns as podman starts it, without podman: a server behind it,
// and a client there for what goes out.
func (p *place) slirp(port string, in func() *exec.Cmd, client []string) (into, out *way) {
	into, out = &way{name: "slirp4netns", starter: p.plain, client: in}, &way{name: "slirp4netns", starter: p.plain}
	fail := func(err error) (*way, *way) {
		into.missing, out.missing = err.Error(), err.Error()
		return into, out
	}
	if err := needs("slirp4netns"); err != nil {
		return fail(err)
	}
	server := p.command("unshare", "-r", "-n", "iperf3", "-s")
	if err := p.serveHere(server); err != nil {
		return fail(err)
	}
	pid := strconv.Itoa(server.Process.Pid)
	// Its namespace is another than ours once unshare has made it.
	for begin := time.Now(); sameNetwork(pid); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			return fail(fmt.Errorf("unshare makes no network namespace"))
		}
	}
	socket := filepath.Join(p.dir, "run", "slirp.sock")
	if err := p.serveHere(p.command("slirp4netns", "--configure", "--mtu=65520", "--api-socket", socket, pid, "tap0")); err != nil {
		return fail(err)
	}
	var conn net.Conn
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		var err error
		if conn, err = net.Dial("unix", socket); err == nil {
			break
		}
		if time.Since(begin) > 10*time.Second {
			return fail(err)
		}
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, `{"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":"0.0.0.0","host_port":%s,"guest_addr":"10.0.2.100","guest_port":%s}}`, port, guestPort); err != nil {
		return fail(err)
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		return fail(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || !strings.Contains(string(answer), "return") {
		return fail(fmt.Errorf("slirp4netns: %q, %v", answer, err))
	}
	out.client = func() *exec.Cmd {
		return p.command(append([]string{"nsenter", "-U", "-n", "--preserve-credentials", "-t", pid}, client...)...)
	}
	return into, out
}

func sameNetwork(pid string) bool {
	theirs, err := os.Readlink("/proc/" + pid + "/ns/net")
	own, _ := os.Readlink("/proc/self/ns/net")
	return err != nil || theirs == own
}

// veth is two network namespaces with a pair of interfaces and nothing else.
func (p *place) veth(client []string) *way {
	w := &way{name: "veth pair", starter: p.plain}
	if os.Getuid() != 0 {
		w.missing = "needs root"
		return w
	}
	name := fmt.Sprintf("skiffb%d", os.Getpid())
	prepare := strings.NewReplacer("A", name+"a", "B", name+"b").Replace(
		"ip netns add A; ip netns add B; ip link add e0 netns A type veth peer name e0 netns B; " +
			"ip -n A addr add 10.213.7.1/24 dev e0; ip -n B addr add 10.213.7.2/24 dev e0; ip -n A link set e0 up; ip -n B link set e0 up")
	p.atEnd = append(p.atEnd, func() {
		for _, end := range []string{"a", "b"} {
			_ = exec.Command("ip", "netns", "del", name+end).Run()
		}
	})
	if out, err := exec.Command("sh", "-ec", prepare).CombinedOutput(); err != nil {
		w.missing = fmt.Sprintf("%v: %s", err, out)
		return w
	}
	if err := p.serveHere(exec.Command("ip", "netns", "exec", name+"a", "iperf3", "-s", "-p", guestPort)); err != nil {
		w.missing = err.Error()
	}
	w.client = func() *exec.Cmd {
		return exec.Command("ip", append([]string{"netns", "exec", name + "b"}, client...)...)
	}
	return w
}

// hundred compares a network with a hundred containers on it to one with a
// single one: the start of the next, in turns, the lookup of a name, and the
// memory of the network program.
func (p *place) hundred(r *report) error {
	archive := filepath.Join(p.dir, "net.tar")
	stores := map[string]int{"few": 1, "hundred": onOne - 1}
	port, err := freePort()
	if err != nil {
		return err
	}
	for store, n := range stores {
		for _, args := range [][]string{{"import", archive, "net"}, {"network", "create", "lan"}} {
			if _, err := p.plain.time(p.inStore(store, args...)); err != nil {
				return err
			}
		}
		var ids []string
		defer func() { _, _ = p.plain.time(p.inStore(store, append([]string{"rm", "-f"}, ids...)...)) }()
		for i := range n {
			name := fmt.Sprintf("c%d", i)
			args := []string{"run", "-d", "--name", name, "--network", "lan"}
			if i == 0 && store == "few" {
				args = append(args, "-p", port+":80")
			}
			if _, err := p.plain.time(p.inStore(store, append(args, "net", "sleep", "100000")...)); err != nil {
				return err
			}
			ids = append(ids, name)
		}
	}
	times := map[string][]time.Duration{}
	for n := range onOneRounds + 2 {
		for store := range stores {
			took, err := p.plain.time(p.inStore(store, "run", "--rm", "--network", "lan", "net", "true"))
			if err != nil {
				return err
			}
			if n >= 2 {
				times[store] = append(times[store], took)
			}
		}
	}
	first, last := milliseconds(median(times["few"])), milliseconds(median(times["hundred"]))
	var lookups [2]string
	for i, store := range []string{"few", "hundred"} {
		out, err := p.plain.output(p.inStore(store, "exec", "c0", "/bin/payload", "lookups", "500", "c0"))
		if err != nil {
			return err
		}
		lookups[i] = strings.TrimSpace(string(out))
	}
	took, _ := time.ParseDuration(lookups[1])
	fmt.Fprintf(&r.network, "\n| on one network | 1 container | %d | | budget |\n|---|---:|---:|---|---|\n", onOne-1)
	fmt.Fprintf(&r.network, "| `run --rm` of the next, in milliseconds | %.1f | %.1f | %s | 1.2 x |\n",
		first, last, bold(fmt.Sprintf("%.2f x the first", last/first), last/first > 1.2))
	fmt.Fprintf(&r.network, "| lookup of a name, median of 500 | %s | %s | | %s |\n",
		lookups[0], bold(lookups[1], took >= time.Millisecond), "under 1 ms")
	for _, store := range []string{"few", "hundred"} {
		pid := findProcess(p, "skiff:network\x00"+filepath.Join(p.dir, "home", store))
		if pid == 0 {
			return fmt.Errorf("no network program of %s", store)
		}
		m := memory(pid)
		r.memory(fmt.Sprintf("skiff (skiff:network, %d on a network; budget 12 MB private)", stores[store]), m["Rss"], m["Pss"], m["Anonymous"])
	}
	return nil
}
