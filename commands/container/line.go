package container

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/container/device"
	"skiff/storage/container/hook"
	"skiff/storage/image"
)

// Flag is one flag of `run`. Without a value it is a switch that is on.
type Flag struct {
	Name, Value string
	Switch      bool
}

func (f Flag) String() string {
	if f.Switch {
		return "--" + f.Name
	}
	return "--" + f.Name + "=" + f.Value
}

// Line is a container in the words of `run`: with these flags before Image and Args
// behind it, run makes one of the same configuration. Its name is not among the
// flags.
type Line struct {
	Flags []Flag
	Image string // or the directory of --rootfs
	Args  []string
	// Lost names what no flag can say.
	Lost []string
}

// LineOf returns the line of a container's configuration. What its image says by
// itself is left out.
func LineOf(st *storage.Store, cfg *container.Config) Line {
	b := &liner{cfg: cfg, name: func(id string) string { return nameOf(st, id) }}
	if img, err := image.Resolve(st, strings.TrimPrefix(cfg.ImageID, "sha256:")); err == nil {
		b.from = img.Config.Config
	} else if cfg.ImageID != "" {
		b.lose("the image %s cannot be read: what it says by itself is repeated here", cfg.Config.Image)
	}
	b.pod = podName(st, cfg.Pod)
	b.hostname, _ = os.Hostname() // without one nothing equals it
	return b.line()
}

// nameOf is the name of a container that another one refers to.
func nameOf(st *storage.Store, id string) string {
	if c, err := container.Find(st, id); err == nil {
		return c.Config.Name
	}
	return id
}

// liner collects a Line.
type liner struct {
	Line
	cfg      *container.Config
	from     container.Process // the image's
	name     func(id string) string
	pod      string // the name of the pod that the container is in
	hostname string // this machine's
}

func (b *liner) line() Line {
	b.root()
	b.process()
	b.health()
	b.namespaces()
	b.network()
	b.mounts()
	b.security()
	b.resources()
	b.life()
	return b.Line
}

func (b *liner) lose(format string, args ...any) {
	b.Lost = append(b.Lost, fmt.Sprintf(format, args...))
}

func (b *liner) add(name, value string) { b.Flags = append(b.Flags, Flag{Name: name, Value: value}) }

func (b *liner) all(name string, values []string) {
	for _, v := range values {
		b.add(name, v)
	}
}

// text adds a flag unless the value is what it is without it.
func (b *liner) text(name, value, without string) {
	if value != without {
		b.add(name, value)
	}
}

func (b *liner) number(name string, n int64) {
	if n != 0 {
		b.add(name, strconv.FormatInt(n, 10))
	}
}

func (b *liner) turn(name string, on bool) {
	if on {
		b.Flags = append(b.Flags, Flag{Name: name, Switch: true})
	}
}

func (b *liner) pairs(name string, m map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b.add(name, k+"="+m[k])
	}
}

// root is the image, or what stands for one.
func (b *liner) root() {
	cfg := b.cfg
	b.Image = cfg.Config.Image
	if cfg.Rootfs != "" {
		b.turn("rootfs", true)
		if b.Image = cfg.Rootfs; cfg.RootfsOverlay {
			b.Image += ":O"
		}
		return
	}
	if here := "linux/" + goruntime.GOARCH; cfg.ImagePlatform != here && !strings.HasPrefix(cfg.ImagePlatform, here+"/") && cfg.ImagePlatform != "" {
		b.add("platform", cfg.ImagePlatform)
	}
}

// process is what the image gives defaults for.
func (b *liner) process() {
	p, from := &b.cfg.Config, &b.from
	b.command()
	b.all("env", ownEnv(from.Env, p.Env))
	b.text("user", p.User, from.User)
	dir := from.WorkingDir
	if dir != "" {
		dir = path.Clean(dir)
	}
	b.text("workdir", p.WorkingDir, dir)
	labels := map[string]string{}
	for k, v := range p.Labels {
		if old, ok := from.Labels[k]; (!ok || old != v) && k != UnitLabel {
			labels[k] = v
		}
	}
	b.pairs("label", labels)
	b.turn("tty", p.Tty)
	b.turn("interactive", p.OpenStdin)
	signal := from.StopSignal
	if signal == "" && b.cfg.ForSystemd() {
		signal = "SIGRTMIN+3"
	}
	b.text("stop-signal", p.StopSignal, signal)
	if s := p.StopTimeout; s != nil && (from.StopTimeout == nil || *from.StopTimeout != *s) {
		b.add("stop-timeout", strconv.Itoa(*s))
	}
	b.text("umask", p.Umask, "")
	b.text("tz", p.Timezone, "")
	if b.cfg.Infra == nil && !slices.Equal(p.Shell, from.Shell) && len(p.Shell) > 0 {
		b.lose("the shell %q of its health check", p.Shell)
	}
	if !slices.Equal(p.OnBuild, from.OnBuild) && len(p.OnBuild) > 0 {
		b.lose("the triggers %q for builds", p.OnBuild)
	}
}

// command undoes mergeCommand.
func (b *liner) command() {
	p, from := &b.cfg.Config, &b.from
	if b.cfg.Infra != nil {
		if names := b.cfg.ServiceNames(); len(names) > 0 {
			b.lose("the names %s of Kubernetes' Services", strings.Join(names, ", "))
		}
		return
	}
	if slices.Equal(p.Entrypoint, from.Entrypoint) && (slices.Equal(p.Cmd, from.Cmd) || len(p.Cmd) > 0) {
		if !slices.Equal(p.Cmd, from.Cmd) {
			b.Args = p.Cmd
		}
		return
	}
	b.Args = p.Cmd
	switch len(p.Entrypoint) {
	case 0:
		b.add("entrypoint", "")
	case 1:
		b.add("entrypoint", p.Entrypoint[0])
	default:
		b.add("entrypoint", p.Entrypoint[0])
		b.Args = append(slices.Clone(p.Entrypoint[1:]), p.Cmd...)
	}
}

// ownEnv undoes mergeEnv: those that were not the image's stand in front.
func ownEnv(from, merged []string) []string {
	for n := range merged {
		if slices.Equal(mergeEnv(from, merged[:n]), merged) {
			return merged[:n]
		}
	}
	return merged
}

func (b *liner) health() {
	own, from := b.cfg.Config.Healthcheck, b.from.Healthcheck
	if own != nil && (from == nil || !equalHealth(own, from)) {
		if from == nil {
			from = &container.Healthcheck{}
		}
		b.check(own, from)
	}
	if s := b.cfg.Config.StartupCheck; s != nil {
		b.startup(s)
	}
	if r := b.cfg.Config.ReadyCheck; r != nil {
		b.ready(r)
	}
	b.text("health-on-failure", b.cfg.Host.HealthOnFailure, "")
	if l := b.cfg.Host.Lifecycle; l != nil {
		b.hook("post-start", l.PostStart)
		b.hook("pre-stop", l.PreStop)
	}
}

func (b *liner) startup(s *container.StartupCheck) {
	b.test("health-startup", s.Test)
	b.time("health-startup-interval", s.Interval)
	b.time("health-startup-timeout", s.Timeout)
	b.count("health-startup-retries", s.Retries)
	b.count("health-startup-success", s.Successes)
}

func (b *liner) ready(r *container.ReadyCheck) {
	b.test("health-ready", r.Test)
	b.time("health-ready-interval", r.Interval)
	b.time("health-ready-timeout", r.Timeout)
	b.time("health-ready-delay", r.Delay)
	b.count("health-ready-retries", r.Retries)
	b.count("health-ready-success", r.Successes)
}

// time adds a flag unless own is what goes without saying.
func (b *liner) time(name string, own time.Duration) {
	if own != 0 {
		b.add(name, own.String())
	}
}

// count is as time.
func (b *liner) count(name string, own int) {
	if own != 0 {
		b.add(name, strconv.Itoa(own))
	}
}

func (b *liner) hook(flag string, h *hook.Handler) {
	if h == nil {
		return
	}
	if data, err := json.Marshal(h); err == nil {
		b.add(flag, string(data))
	}
}

// test adds what the flags PREFIX-cmd and PREFIX-probe say.
func (b *liner) test(prefix string, test []string) {
	switch {
	case len(test) == 2 && test[0] == "CMD-SHELL":
		b.add(prefix+"-cmd", test[1])
	case len(test) == 2 && test[0] == container.ProbeTest:
		b.add(prefix+"-probe", test[1])
	case len(test) > 1 && test[0] == "CMD":
		b.hook(prefix+"-probe", &hook.Handler{Exec: &hook.Exec{Command: test[1:]}})
	default:
		b.lose("the health check %q, which is of no kind that is known", test)
	}
}

func equalHealth(a, b *container.Healthcheck) bool {
	return slices.Equal(a.Test, b.Test) && a.Interval == b.Interval && a.Timeout == b.Timeout && a.StartPeriod == b.StartPeriod &&
		a.StartInterval == b.StartInterval && a.Retries == b.Retries
}

func (b *liner) check(own, from *container.Healthcheck) {
	switch {
	case slices.Equal(own.Test, from.Test):
	case slices.Equal(own.Test, []string{"NONE"}):
		b.turn("no-healthcheck", true)
		return
	default:
		b.test("health", own.Test)
	}
	for _, d := range []struct {
		name      string
		own, from time.Duration
	}{
		{"health-interval", own.Interval, from.Interval},
		{"health-timeout", own.Timeout, from.Timeout},
		{"health-start-period", own.StartPeriod, from.StartPeriod},
		{"health-start-interval", own.StartInterval, from.StartInterval},
	} {
		if d.own != d.from {
			b.add(d.name, d.own.String())
		}
	}
	if own.Retries != from.Retries {
		b.add("health-retries", strconv.Itoa(own.Retries))
	}
}

// namespaces are those that the container shares, its pod's left out.
func (b *liner) namespaces() {
	cfg, p, h := b.cfg, &b.cfg.Config, &b.cfg.Host
	if cfg.Infra == nil && cfg.Pod != "" {
		b.add("pod", b.pod)
	}
	for _, ns := range []struct{ flag, mode, without string }{
		{"pid", h.PidMode, ""}, {"ipc", h.IpcMode, "private"}, {"uts", h.UTSMode, ""}, {"cgroupns", h.CgroupnsMode, "private"},
	} {
		if ns.mode != ns.without && !b.podsOwn(ns.mode) && (ns.flag != "uts" || ns.mode != "private") {
			b.add(ns.flag, b.shared(ns.mode))
		}
	}
	if len(h.UsernsMode) > 0 && h.UsernsMode != "private" {
		b.add("userns", h.UsernsMode)
	}
	if m := h.IDMappings; m != nil && h.UsernsMode == "private" {
		for _, list := range []struct {
			flag string
			ids  []container.IDMapping
		}{{"uidmap", m.UIDs}, {"gidmap", m.GIDs}} {
			for _, i := range list.ids {
				b.add(list.flag, fmt.Sprintf("%d:%d:%d", i.Container, i.Host, i.Size))
			}
		}
	}
	onHost := h.NetworkMode == "host" || h.UTSMode == "host"
	if p.Hostname != cfg.ID[:12] && p.Hostname != "" && !(onHost && p.Hostname == b.hostname) {
		b.add("hostname", p.Hostname)
	}
	b.text("domainname", p.Domainname, "")
	for _, id := range h.Requires {
		if id != cfg.Pod {
			b.add("requires", b.name(id))
		}
	}
	b.text("systemd", h.Systemd, "")
	b.text("sdnotify", h.SdNotify, "")
}

// podsOwn reports whether a mode is what joining the pod brings.
func (b *liner) podsOwn(mode string) bool {
	return b.cfg.Infra == nil && b.cfg.Pod != "" && mode == "container:"+b.cfg.Pod
}

// shared names a container by its name: the line is for one that is made later.
func (b *liner) shared(mode string) string {
	if id, ok := strings.CutPrefix(mode, "container:"); ok {
		return "container:" + b.name(id)
	}
	return mode
}

func (b *liner) network() {
	cfg, h := b.cfg, &b.cfg.Host
	switch mode := h.NetworkMode; {
	case len(cfg.Networks) > 0:
		for i := range cfg.Networks {
			b.add("network", endpointText(&cfg.Networks[i]))
			if len(cfg.Networks[i].Links) > 0 {
				b.lose("the links %q on network %s", cfg.Networks[i].Links, cfg.Networks[i].Network)
			}
		}
	case cfg.Rewired:
		b.add("network", "none")
	case mode != "" && mode != "default" && !b.podsOwn(mode) && !(cfg.Pod != "" && cfg.Infra == nil && mode == "host"):
		b.add("network", b.shared(mode))
	}
	published := map[string]bool{}
	for _, port := range slices.Sorted(maps.Keys(h.PortBindings)) {
		for _, binding := range h.PortBindings[port] {
			published[port] = true
			b.add("publish", publishText(port, binding))
		}
	}
	b.turn("publish-all", h.PublishAllPorts)
	for _, port := range slices.Sorted(maps.Keys(cfg.Config.ExposedPorts)) {
		if _, ok := b.from.ExposedPorts[port]; !ok && !published[port] {
			b.add("expose", port)
		}
	}
	b.all("dns", h.DNS)
	b.all("dns-option", h.DNSOptions)
	b.all("dns-search", h.DNSSearch)
	b.all("add-host", h.ExtraHosts)
	b.all("link", h.Links)
}

// endpointText is the value of --network.
func endpointText(e *container.Endpoint) string {
	var fields []string
	add := func(key, value string) {
		if value != "" {
			fields = append(fields, key+"="+value)
		}
	}
	for _, a := range e.Aliases {
		add("alias", a)
	}
	add("ip", e.IPv4)
	add("ip6", e.IPv6)
	add("mac-address", e.MAC)
	for _, a := range e.LinkLocal {
		add("link-local-ip", a)
	}
	if e.GwPriority != 0 {
		add("gw-priority", strconv.Itoa(e.GwPriority))
	}
	for _, k := range slices.Sorted(maps.Keys(e.DriverOpts)) {
		add("driver-opt", k+"="+e.DriverOpts[k])
	}
	if len(fields) == 0 {
		return e.Network
	}
	return csvText(append([]string{"name=" + e.Network}, fields...))
}

// csvText is a line of comma-separated values, without its end.
func csvText(fields []string) string {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	_ = w.Write(fields) // into memory
	w.Flush()
	return strings.TrimSuffix(out.String(), "\n")
}

// publishText is the value of --publish.
func publishText(port string, binding container.PortBinding) string {
	text := strings.TrimSuffix(port, "/tcp")
	ip := binding.HostIP
	if strings.Contains(ip, ":") {
		ip = "[" + ip + "]"
	}
	switch {
	case ip != "":
		return ip + ":" + binding.HostPort + ":" + text
	case binding.HostPort != "":
		return binding.HostPort + ":" + text
	}
	return text
}

func (b *liner) mounts() {
	cfg, h := b.cfg, &b.cfg.Host
	b.all("volume", h.Binds)
	for _, m := range cfg.Mounts {
		_, images := b.from.Volumes[m.Destination]
		_, asked := cfg.Config.Volumes[m.Destination]
		if m.Anonymous && asked && !images {
			b.add("volume", m.Destination)
		}
	}
	for i := range h.Mounts {
		b.add("mount", mountValue(&h.Mounts[i]))
	}
	b.all("volumes-from", h.VolumesFrom)
	for _, dest := range slices.Sorted(maps.Keys(h.Tmpfs)) {
		if options := h.Tmpfs[dest]; options != "" {
			dest += ":" + options
		}
		b.add("tmpfs", dest)
	}
	for _, s := range h.Secrets {
		b.add("secret", secretText(s))
	}
}

// mountValue is the value of --mount.
func mountValue(m *container.MountSpec) string {
	fields := []string{"type=" + m.Type}
	add := func(key, value string) {
		if value != "" {
			fields = append(fields, key+"="+value)
		}
	}
	yes := func(key string, on bool) {
		if on {
			add(key, "true")
		}
	}
	add("source", m.Source)
	add("target", m.Target)
	yes("readonly", m.ReadOnly)
	if o := m.BindOptions; o != nil {
		add("bind-propagation", o.Propagation)
		yes("bind-nonrecursive", o.NonRecursive)
		yes("bind-create-src", o.CreateMountpoint)
		if o.ReadOnlyNonRecursive {
			add("bind-recursive", "writable")
		}
		if o.ReadOnlyForceRecursive {
			add("bind-recursive", "readonly")
		}
	}
	if o := m.VolumeOptions; o != nil {
		yes("volume-nocopy", o.NoCopy)
		add("volume-subpath", o.Subpath)
		for _, k := range slices.Sorted(maps.Keys(o.Labels)) {
			fields = append(fields, "volume-label="+k+"="+o.Labels[k])
		}
		for _, k := range slices.Sorted(maps.Keys(o.Options)) {
			fields = append(fields, "volume-opt="+k+"="+o.Options[k])
		}
	}
	if o := m.ImageOptions; o != nil {
		add("image-subpath", o.Subpath)
	}
	if o := m.TmpfsOptions; o != nil {
		if o.SizeBytes != 0 {
			add("tmpfs-size", strconv.FormatInt(o.SizeBytes, 10))
		}
		if o.Mode != 0 {
			add("tmpfs-mode", strconv.FormatUint(uint64(o.Mode), 8))
		}
	}
	return csvText(fields)
}

// secretText is the value of --secret.
func secretText(s container.SecretUse) string {
	if s.Variable != "" {
		return s.Name + ",type=env,target=" + s.Variable
	}
	return fmt.Sprintf("%s,target=%s,uid=%d,gid=%d,mode=%04o", s.Name, s.Target, s.UID, s.GID, s.Mode)
}

func (b *liner) security() {
	h := &b.cfg.Host
	b.all("cap-add", h.CapAdd)
	b.all("cap-drop", h.CapDrop)
	b.turn("privileged", h.Privileged)
	b.turn("read-only", h.ReadonlyRootfs)
	b.all("group-add", h.GroupAdd)
	for _, o := range h.SecurityOpt {
		if strings.HasPrefix(o, "seccomp={") {
			b.lose("the seccomp profile: put it into a file and name it with --security-opt seccomp=FILE")
			continue
		}
		b.add("security-opt", o)
	}
	if h.MaskedPaths != nil && len(h.MaskedPaths) == 0 && h.ReadonlyPaths != nil && len(h.ReadonlyPaths) == 0 {
		b.add("security-opt", "systempaths=unconfined")
	}
	b.pairs("sysctl", h.Sysctls)
	for _, d := range h.Devices {
		b.add("device", d.PathOnHost+":"+d.PathInContainer+":"+d.CgroupPermissions)
	}
	for i := range h.DeviceRequests {
		b.deviceRequest(&h.DeviceRequests[i])
	}
	b.pairs("annotation", h.Annotations)
}

// deviceRequest is --device with names, or --gpus.
func (b *liner) deviceRequest(q *device.Request) {
	if q.Driver == device.CDI && q.Capabilities == nil {
		b.all("device", q.DeviceIDs)
		return
	}
	count := strconv.Itoa(q.Count)
	if q.Count < 0 {
		count = "all"
	}
	fields := []string{"count=" + count}
	if len(q.DeviceIDs) > 0 {
		fields[0] = "device=" + strings.Join(q.DeviceIDs, ",")
	}
	if q.Driver != "" {
		fields = append(fields, "driver="+q.Driver)
	}
	for _, list := range q.Capabilities {
		// What is always there is not said again.
		if n := len(list) - 1; n > 0 {
			fields = append(fields, "capabilities="+strings.Join(list[:n], ","))
		}
	}
	if len(q.Options) > 0 {
		var options []string
		for _, k := range slices.Sorted(maps.Keys(q.Options)) {
			options = append(options, k+"="+q.Options[k])
		}
		fields = append(fields, "options="+csvText(options))
	}
	b.add("gpus", csvText(fields))
}

func (b *liner) resources() {
	h := &b.cfg.Host
	b.number("memory", h.Memory)
	b.number("memory-reservation", h.MemoryReserved)
	b.number("memory-swap", h.MemorySwap)
	if h.ShmSize != defaultShmSize {
		b.number("shm-size", h.ShmSize)
	}
	if n := h.NanoCpus; n != 0 {
		b.add("cpus", strings.TrimRight(strings.TrimRight(fmt.Sprintf("%d.%09d", n/1e9, n%1e9), "0"), "."))
	}
	b.number("cpu-shares", h.CPUShares)
	b.number("cpu-period", h.CPUPeriod)
	b.number("cpu-quota", h.CPUQuota)
	b.text("cpuset-cpus", h.CpusetCpus, "")
	b.text("cpuset-mems", h.CpusetMems, "")
	if h.PidsLimit != nil {
		b.add("pids-limit", strconv.FormatInt(*h.PidsLimit, 10))
	}
	b.number("blkio-weight", int64(h.BlkioWeight))
	for _, d := range h.BlkioWeightDevice {
		b.add("blkio-weight-device", fmt.Sprintf("%s:%d", d.Path, d.Weight))
	}
	for _, list := range []struct {
		flag    string
		devices []container.ThrottleDevice
	}{
		{"device-read-bps", h.BlkioDeviceReadBps},
		{"device-write-bps", h.BlkioDeviceWriteBps},
		{"device-read-iops", h.BlkioDeviceReadIOps},
		{"device-write-iops", h.BlkioDeviceWriteIOps},
	} {
		for _, d := range list.devices {
			b.add(list.flag, fmt.Sprintf("%s:%d", d.Path, d.Rate))
		}
	}
	for _, u := range h.Ulimits {
		b.add("ulimit", fmt.Sprintf("%s=%d:%d", u.Name, u.Soft, u.Hard))
	}
	b.number("oom-score-adj", int64(h.OomScoreAdj))
	b.text("cgroup-parent", h.CgroupParent, "")
	b.text("cgroups", h.CgroupMode, "")
}

func (b *liner) life() {
	h := &b.cfg.Host
	if p := h.RestartPolicy; p.Name != "" && p.Name != "no" {
		text := p.Name
		if p.MaximumRetryCount > 0 {
			text += ":" + strconv.Itoa(p.MaximumRetryCount)
		}
		b.add("restart", text)
	}
	b.turn("rm", h.AutoRemove)
	if h.Init != nil {
		b.add("init", strconv.FormatBool(*h.Init))
	}
	b.number("timeout", int64(h.Timeout))
	if l := h.LogConfig; l.Type != "" {
		b.text("log-driver", l.Type, "json-file")
		b.pairs("log-opt", l.Config)
	}
	if h.ContainerIDFile != "" {
		b.lose("the file %s, into which its ID was written", h.ContainerIDFile)
	}
}
