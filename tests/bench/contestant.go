package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// contestant is one program with the command lines that do the same thing.
type contestant struct {
	name    string
	starter *starter
	line    func(args ...string) *exec.Cmd
	setUp   func() error
	missing string // why it does not take part
	// Command lines by the name of what they do; NAME in one is replaced by a
	// fresh name each time.
	lines map[string][]string
	// pid finds the process that stays with the container "anchor".
	monitor string
}

const busybox = "/bin/busybox"

// contestants are skiff and those that it is measured against. The first two
// are floors: a process that does nothing, and the bare runtime.
func (p *place) contestants() []*contestant {
	docker := []string{"docker", "-H", "unix://" + filepath.Join(p.dir, "docker.sock")}
	crun := func(args ...string) *exec.Cmd {
		return p.command(append([]string{"crun", "--root", filepath.Join(p.dir, "run/crun")}, args...)...)
	}
	bundle := filepath.Join(p.dir, "bundle")
	return []*contestant{
		{
			name: "process", starter: p.plain, line: p.command,
			setUp: func() error { return needs(busybox) },
			lines: map[string][]string{"run": {busybox, "true"}, "empty": {busybox, "true"}},
		},
		{
			name: "crun", starter: p.v1, line: crun,
			setUp: func() error { return p.makeBundle(bundle, true) },
			lines: map[string][]string{
				"run": {"run", "-b", bundle, "NAME"}, "exec": {"exec", "anchor", "true"},
				"anchor": {"run", "-d", "-b", filepath.Join(p.dir, "sleep"), "anchor"},
				"remove": {"delete", "-f", "anchor"},
			},
		},
		{
			name: "crun, one id", starter: p.v1, line: crun,
			setUp: func() error { return p.makeBundle(filepath.Join(p.dir, "one"), false) },
			lines: map[string][]string{"run": {"run", "-b", filepath.Join(p.dir, "one"), "NAME"}},
		},
		{
			name: "skiff", starter: p.plain, monitor: "skiff:monitor",
			line:  func(args ...string) *exec.Cmd { return p.command(append([]string{p.binary}, args...)...) },
			setUp: func() error { return p.importTree(p.plain, p.binary, "import") },
			lines: engineLines(),
		},
		{
			name: "podman", starter: p.v1, monitor: "conmon",
			line:  func(args ...string) *exec.Cmd { return p.command(append([]string{"podman"}, args...)...) },
			setUp: p.setUpPodman,
			lines: engineLines(),
		},
		{
			name: "docker", starter: p.plain, monitor: "containerd-shim",
			line: func(args ...string) *exec.Cmd {
				cmd := p.command(append(docker, args...)...)
				cmd.SysProcAttr.Credential = nil
				return cmd
			},
			setUp: func() error { return p.setUpDocker(docker) },
			lines: engineLines(),
		},
	}
}

// engineLines are the command lines that docker and its followers share.
func engineLines() map[string][]string {
	return map[string][]string{
		"run":     {"run", "--rm", "--network", "none", "bench", "true"},
		"network": {"run", "--rm", "bench", "true"},
		"exec":    {"exec", "anchor", "true"},
		"anchor":  {"run", "-d", "--name", "anchor", "--network", "none", "bench", "sleep", "100000"},
		"remove":  {"rm", "-f", "anchor"},
		"ps":      {"ps"},
		"images":  {"images"},
		"inspect": {"inspect", "anchor"},
		"version": {"version"},
	}
}

func needs(program string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("not installed")
	}
	return nil
}

// tree is the root file system that everybody runs: busybox and its links.
func tree() ([]byte, error) {
	program, err := os.ReadFile(busybox)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	put := func(h tar.Header, data []byte) {
		h.Size = int64(len(data))
		err1 := w.WriteHeader(&h)
		_, err2 := w.Write(data)
		if err == nil && (err1 != nil || err2 != nil) {
			err = fmt.Errorf("write tree: %v, %v", err1, err2)
		}
	}
	for _, dir := range []string{"bin", "etc", "proc", "sys", "dev", "tmp", "root"} {
		put(tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}, nil)
	}
	put(tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755}, program)
	for _, name := range []string{"true", "sh", "sleep"} {
		put(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"}, nil)
	}
	if err == nil {
		err = w.Close()
	}
	return buf.Bytes(), err
}

// importTree makes the image "bench" of the tree in an engine's store.
func (p *place) importTree(s *starter, engine string, args ...string) error {
	if err := needs(engine); err != nil {
		return err
	}
	data, err := tree()
	if err != nil {
		return err
	}
	path := filepath.Join(p.dir, "tree.tar")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return err
	}
	cmd := p.command(append(append([]string{engine}, args...), path, "bench")...)
	_, err = s.time(cmd)
	return err
}

func (p *place) setUpPodman() error {
	config := "[storage]\ndriver = \"overlay\"\n"
	if err := os.WriteFile(filepath.Join(p.dir, "home/.config/containers/storage.conf"), []byte(config), 0o644); err != nil {
		return err
	}
	// podman leaves a process that keeps its user namespace; it goes with us.
	p.atEnd = append(p.atEnd, func() {
		_, _ = p.v1.time(p.command("podman", "system", "migrate"))
		if data, err := os.ReadFile(filepath.Join(p.dir, "run/libpod/tmp/pause.pid")); err == nil {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && pid > 1 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	return p.importTree(p.v1, "podman", "import", "-q")
}

// setUpDocker starts an engine of its own, which needs root.
func (p *place) setUpDocker(client []string) error {
	if os.Getuid() != 0 {
		return fmt.Errorf("its engine needs root here")
	}
	if err := needs("dockerd"); err != nil {
		return err
	}
	root := filepath.Join(p.dir, "docker")
	log, err := os.Create(filepath.Join(p.dir, "dockerd.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	daemon := exec.Command("dockerd", "-H", "unix://"+filepath.Join(p.dir, "docker.sock"),
		"--data-root", root+"/data", "--exec-root", root+"/exec", "-p", root+".pid",
		"--iptables=false", "--ip-masq=false", "--ip6tables=false")
	daemon.Stdout, daemon.Stderr = log, log
	if err := p.plain.start(daemon); err != nil {
		return err
	}
	p.atEnd = append(p.atEnd, func() {
		_ = daemon.Process.Signal(os.Interrupt)
		watch := time.AfterFunc(30*time.Second, func() { _ = daemon.Process.Kill() })
		_ = daemon.Wait()
		watch.Stop()
	})
	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		if exec.Command(client[0], append(client[1:], "info")...).Run() == nil {
			break
		}
		if time.Since(begin) > 30*time.Second {
			return fmt.Errorf("its engine does not come up; see %s", log.Name())
		}
	}
	out, err := exec.Command(client[0], append(client[1:], "import", filepath.Join(p.dir, "tree.tar"), "bench")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("import: %w: %s", err, out)
	}
	return nil
}

// makeBundle unpacks the tree and writes configurations beside it: one that
// runs true in dir, and for the anchor one that sleeps. With ids the container
// has the subordinate ids that skiff gives, else one id only.
func (p *place) makeBundle(dir string, ids bool) error {
	if err := needs("crun"); err != nil {
		return err
	}
	data, err := tree()
	if err != nil {
		return err
	}
	rootfs := filepath.Join(p.dir, "bundle/rootfs")
	unpack := p.command("tar", "x", "-C", rootfs)
	unpack.Stdin = bytes.NewReader(data)
	if out, err := unpack.CombinedOutput(); err != nil {
		return fmt.Errorf("unpack: %w: %s", err, out)
	}
	sleep := filepath.Join(p.dir, "sleep")
	for at, args := range map[string][]string{dir: {"true"}, sleep: {"sleep", "100000"}} {
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := os.Chown(at, p.uid, p.gid); err != nil {
			return err
		}
		if err := p.writeSpec(at, rootfs, args, ids); err != nil {
			return err
		}
	}
	return nil
}

func (p *place) writeSpec(at, rootfs string, args []string, ids bool) error {
	config := filepath.Join(at, "config.json")
	_ = os.Remove(config)
	spec := p.command("crun", "spec", "--rootless")
	spec.Dir = at
	if out, err := spec.CombinedOutput(); err != nil {
		return fmt.Errorf("crun spec: %w: %s", err, out)
	}
	data, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	var document map[string]any
	if err := json.Unmarshal(data, &document); err != nil {
		return err
	}
	process := document["process"].(map[string]any)
	process["args"], process["terminal"] = args, false
	document["root"] = map[string]any{"path": rootfs, "readonly": false}
	if ids && p.subuid > 0 {
		linux := document["linux"].(map[string]any)
		for key, own := range map[string]int{"uidMappings": p.uid, "gidMappings": p.gid} {
			linux[key] = []map[string]any{
				{"containerID": 0, "hostID": own, "size": 1},
				{"containerID": 1, "hostID": p.subuid, "size": 65536},
			}
		}
	}
	if data, err = json.Marshal(document); err != nil {
		return err
	}
	return os.WriteFile(config, data, 0o644)
}

// setUp prepares everybody; who cannot take part says why.
func (p *place) setUp(all []*contestant, r *report) {
	for _, c := range all {
		if err := c.setUp(); err != nil {
			c.missing = strings.SplitN(err.Error(), "\n", 2)[0]
			r.note("%s does not take part: %s", c.name, err)
		}
	}
}
