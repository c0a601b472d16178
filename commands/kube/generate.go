package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	ccontainer "skiff/commands/container"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/commands/kube/embedded"
	"skiff/commands/kube/plan"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/container/hook"
	"skiff/storage/image"
	"skiff/storage/volume"
)

// GenerateCommand is `kube generate` and, by another name, `generate kube`.
func GenerateCommand(e *env.Env, name string) *cli.Command {
	return &cli.Command{
		Name: name, Usage: "Describe containers, a pod or volumes as Kubernetes YAML", ArgsUsage: "[OPTIONS] CONTAINER...|POD|VOLUME...",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "filename", Aliases: []string{"f"}, Usage: "Write to a file, instead of STDOUT"},
			&cli.IntFlag{Name: "replicas", Aliases: []string{"r"}, Value: 1, Usage: "Replicas of a Deployment"},
			&cli.BoolFlag{Name: "service", Aliases: []string{"s"}, Usage: "Describe a Service of the published ports, too"},
			&cli.StringFlag{Name: "type", Aliases: []string{"t"}, Value: "Pod", Usage: "Kind to generate: Pod, Deployment, DaemonSet or Job"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 1); err != nil {
				return err
			}
			st, err := e.Store()
			if err != nil {
				return err
			}
			g := &plan.Generate{Kind: kind(c.String("type")), Replicas: int32(c.Int("replicas")), Serve: c.Bool("service")}
			if err := describe(st, g, c.Args().Slice()); err != nil {
				return err
			}
			a, err := embedded.Translate(c.Context, st.Cache(), plan.Question{Generate: g})
			if err != nil {
				return failure.Local("%v", err)
			}
			for _, w := range a.Warnings {
				fmt.Fprintln(e.Err, "WARNING: "+w)
			}
			out, err := e.Output(c.String("filename"))
			if err != nil && c.String("filename") != "" {
				return failure.Local("%v", err)
			}
			if err != nil { // a terminal may be shown YAML
				_, err = fmt.Fprint(e.Out, a.YAML)
				return err
			}
			defer out.Close()
			if _, err := fmt.Fprint(out, a.YAML); err != nil {
				return err
			}
			return out.Commit()
		},
	}
}

func kind(typed string) string {
	for _, k := range []string{"Pod", "Deployment", "DaemonSet", "Job"} {
		if strings.EqualFold(k, typed) {
			return k
		}
	}
	return typed
}

// describe collects what the references mean: a pod, or containers that become one.
func describe(st *storage.Store, g *plan.Generate, refs []string) error {
	if infra, err := ccontainer.FindPod(st, refs[0]); err == nil && len(refs) == 1 {
		all, err := container.List(st)
		if err != nil {
			return err
		}
		cfg := infra.Config
		g.Name, g.Hostname, g.Share, g.Labels = cfg.Infra.Name, cfg.Config.Hostname, cfg.Infra.Share, cfg.Config.Labels
		g.Host, g.Services = cfg.Host.NetworkMode == "host", cfg.Infra.Services
		g.Ports, g.ExtraHosts, g.Sysctls = ports(cfg), cfg.Host.ExtraHosts, cfg.Host.Sysctls
		g.DNS, g.DNSSearch, g.DNSOptions = cfg.Host.DNS, cfg.Host.DNSSearch, cfg.Host.DNSOptions
		for _, c := range slices.Backward(all) {
			if c.Config.Pod == cfg.ID && c.Config.Infra == nil {
				m, err := member(st, c.Config)
				if err != nil {
					return failure.Engine(err, "container %s: %v", c.Config.Name, err)
				}
				m.Name = strings.TrimPrefix(m.Name, g.Name+"-")
				g.Members = append(g.Members, m)
				common(g, c.Config)
			}
		}
		return nil
	}
	for _, ref := range refs {
		c, err := container.Find(st, ref)
		if errors.Is(err, container.ErrNotFound) {
			if v, failed := volume.Inspect(st, ref); failed == nil {
				g.Claims = append(g.Claims, v.Name)
				continue
			}
		}
		if err != nil {
			return failure.Engine(err, "no container, pod or volume %s: %v", ref, err)
		}
		cfg := c.Config
		if cfg.Infra != nil || cfg.Pod != "" {
			return failure.Engine(nil, "container %s is in a pod: generate that", ref)
		}
		if g.Name == "" {
			g.Name = cfg.Name
			if g.Kind == "Pod" {
				g.Name += "-pod"
			}
			g.Labels, g.Bare = cfg.Config.Labels, true
			g.Host = cfg.Host.NetworkMode == "host"
			g.ExtraHosts, g.Sysctls = cfg.Host.ExtraHosts, cfg.Host.Sysctls
			g.DNS, g.DNSSearch, g.DNSOptions = cfg.Host.DNS, cfg.Host.DNSSearch, cfg.Host.DNSOptions
		}
		common(g, cfg)
		g.Ports = append(g.Ports, ports(cfg)...)
		m, err := member(st, cfg)
		if err != nil {
			return failure.Engine(err, "container %s: %v", cfg.Name, err)
		}
		g.Members = append(g.Members, m)
	}
	return nil
}

// common adds what a container has that Kubernetes says of the whole pod.
func common(g *plan.Generate, cfg *container.Config) {
	h := &cfg.Host
	g.HostPID, g.HostIPC = g.HostPID || h.PidMode == "host", g.HostIPC || h.IpcMode == "host"
	for _, group := range h.GroupAdd {
		if !slices.Contains(g.Groups, group) {
			g.Groups = append(g.Groups, group)
		}
	}
	for k, v := range h.Annotations {
		if k == plan.InitAnnotation {
			continue
		}
		if g.Annotations == nil {
			g.Annotations = map[string]string{}
		}
		g.Annotations[k] = v
	}
	switch mode := h.UsernsMode; {
	case mode == "" || mode == "host" || mode == "private" || h.Annotations[plan.UsernsAnnotation] != "":
	case mode == "auto":
		g.OwnUsers = true
	default:
		if g.Annotations == nil {
			g.Annotations = map[string]string{}
		}
		g.Annotations[plan.UsernsAnnotation] = mode
	}
}

func ports(cfg *container.Config) []plan.Port {
	var all []plan.Port
	for port, bindings := range cfg.Host.PortBindings {
		number, protocol, _ := strings.Cut(port, "/")
		n, err := strconv.Atoi(number)
		if err != nil {
			continue
		}
		for _, b := range bindings {
			host, _ := strconv.Atoi(b.HostPort) // 0: any
			all = append(all, plan.Port{HostIP: b.HostIP, Host: int32(host), Container: int32(n), Protocol: strings.ToUpper(protocol)})
		}
	}
	slices.SortFunc(all, func(a, b plan.Port) int { return int(a.Container - b.Container) })
	return all
}

// member is a container without what its image says anyway.
func member(st *storage.Store, cfg *container.Config) (plan.Member, error) {
	p, h := &cfg.Config, &cfg.Host
	m := plan.Member{
		Name: cfg.Name, Image: p.Image, WorkingDir: p.WorkingDir, User: p.User, Command: p.Entrypoint, Args: p.Cmd, Env: p.Env,
		Tty: p.Tty, Stdin: p.OpenStdin, Privileged: h.Privileged, ReadOnly: h.ReadonlyRootfs, CapAdd: h.CapAdd, CapDrop: h.CapDrop,
		Memory: h.Memory, Reservation: h.MemoryReserved, NanoCPUs: h.NanoCpus, Restart: h.RestartPolicy.Name, StopTimeout: p.StopTimeout,
		CPUShares: h.CPUShares, Init: h.Annotations[plan.InitAnnotation] == "true", Unconfined: slices.Contains(h.SecurityOpt, "seccomp=unconfined"),
	}
	m.NoNewPrivs = slices.ContainsFunc(h.SecurityOpt, func(o string) bool {
		return strings.HasPrefix(o, "no-new-privileges") && !strings.HasSuffix(o, "false")
	})
	if img, err := image.Resolve(st, strings.TrimPrefix(cfg.ImageID, "sha256:")); err == nil {
		from := img.Config.Config
		m.Env = slices.DeleteFunc(slices.Clone(m.Env), func(kv string) bool { return slices.Contains(from.Env, kv) })
		if slices.Equal(m.Command, from.Entrypoint) {
			m.Command = nil
			if slices.Equal(m.Args, from.Cmd) {
				m.Args = nil
			}
		}
		if m.WorkingDir == from.WorkingDir {
			m.WorkingDir = ""
		}
		if m.User == from.User {
			m.User = ""
		}
	}
	if m.Health = probeJSON(p.Healthcheck.Command(p.Shell), p.Healthcheck.Probe()); m.Health != nil {
		m.HealthSeconds = [3]int32{int32(p.Healthcheck.Interval.Seconds()), int32(p.Healthcheck.Timeout.Seconds()), int32(p.Healthcheck.StartPeriod.Seconds())}
		m.HealthRetries = int32(p.Healthcheck.Retries)
		m.Harmless = h.HealthOnFailure == "" || h.HealthOnFailure == "none"
	}
	if m.Startup = probeJSON(p.StartupCheck.Command(p.Shell), p.StartupCheck.Probe()); m.Startup != nil {
		m.StartupRetries = int32(p.StartupCheck.Retries)
		m.StartupSeconds = [2]int32{int32(p.StartupCheck.Interval.Seconds()), int32(p.StartupCheck.Timeout.Seconds())}
		m.StartupSuccesses = int32(p.StartupCheck.Successes)
	}
	if r := p.ReadyCheck; r.Exists() {
		m.Ready = probeJSON(r.Command(p.Shell), r.Probe())
		m.ReadySeconds = [3]int32{int32(r.Interval.Seconds()), int32(r.Timeout.Seconds()), int32(r.Delay.Seconds())}
		m.ReadyRetries, m.ReadySuccesses = int32(r.Retries), int32(r.Successes)
	}
	if l := h.Lifecycle; l != nil {
		m.PostStart, m.PreStop = hookJSON(l.PostStart), hookJSON(l.PreStop)
	}
	for _, mt := range cfg.Mounts {
		source := mt.Source
		if mt.Type == "volume" {
			source = mt.Name
		}
		kind := mt.Type
		if mt.Tmpfs {
			kind = "tmpfs"
		}
		made := plan.Mount{Kind: kind, Source: source, Target: mt.Destination, ReadOnly: !mt.RW, Subpath: mt.Subpath, Overlay: mt.Overlay, Own: mt.Own}
		for _, o := range mt.Options {
			if size, ok := strings.CutPrefix(o, "size="); ok && kind == "tmpfs" {
				made.Size, _ = format.ParseSize(size) // checked when it was made
			}
		}
		if kind == "volume" {
			if err := ownVolume(st, &made); err != nil {
				return m, err
			}
		}
		if kind == "bind" {
			made.Propagation = mt.Propagation
			made.Type = pathType(source, h.Binds)
		}
		m.Mounts = append(m.Mounts, made)
	}
	for target := range h.Tmpfs {
		if !slices.ContainsFunc(m.Mounts, func(o plan.Mount) bool { return o.Target == target }) {
			m.Mounts = append(m.Mounts, plan.Mount{Kind: "tmpfs", Target: target})
		}
	}
	return m, nil
}

// ownVolume finds out what a volume is that kube play has made for a pod alone.
func ownVolume(st *storage.Store, m *plan.Mount) error {
	v, err := volume.Inspect(st, m.Source)
	if err != nil {
		return nil // its container is there without it
	}
	switch how := v.Labels[ownLabel]; how {
	case ownEmpty:
		m.Kind = how
	case ownFiles, ownSecret:
		files, err := readFiles(v.Mountpoint)
		if err != nil {
			return fmt.Errorf("volume %s: %w", v.Name, err)
		}
		m.Kind, m.Files = how, files
	}
	return nil
}

// maxFiles bounds the files of a ConfigMap or Secret, in bytes: Kubernetes' limit.
const maxFiles = 1 << 20

// readFiles returns the files below a directory, by name.
func readFiles(dir string) (map[string]plan.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	files, left := map[string]plan.File{}, int64(maxFiles)
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if left -= info.Size(); !info.Mode().IsRegular() || left < 0 {
			return fmt.Errorf("%s is no file of a ConfigMap, or one too many", name)
		}
		data, err := root.ReadFile(name)
		files[name] = plan.File{Data: data, Mode: uint32(info.Mode().Perm())}
		return err
	})
	return files, err
}

// probeJSON is what is executed, else asked, nil for neither.
func probeJSON(args []string, probe *hook.Handler) json.RawMessage {
	if args != nil {
		probe = &hook.Handler{Exec: &hook.Exec{Command: args}}
	}
	return hookJSON(probe)
}

func hookJSON(h *hook.Handler) json.RawMessage {
	if h == nil {
		return nil
	}
	data, err := json.Marshal(h)
	if err != nil {
		return nil // strings and numbers
	}
	return data
}

// pathType is Kubernetes' type of a hostPath: -v makes a directory that is not there.
func pathType(source string, binds []string) string {
	info, err := os.Stat(source)
	switch {
	case err == nil && info.Mode().IsRegular():
		return "File"
	case slices.ContainsFunc(binds, func(b string) bool { return strings.HasPrefix(b, source+":") }) && (err != nil || info.IsDir()):
		return "DirectoryOrCreate"
	}
	return ""
}
