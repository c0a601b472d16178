// Package document is the documents that inspect prints: docker's keys over our
// records, those that docker 29 added and those that it removed.
package document

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"skiff/runtime/network"
	"skiff/runtime/spec"
	"skiff/storage/container"
	"skiff/storage/container/device"
	rstate "skiff/storage/container/state"
	record "skiff/storage/network"
)

// Container is docker's inspect document of a container.
type Container struct {
	ID              string `json:"Id"`
	Created         stamp
	Path            string
	Args            []string
	State           state
	Image           string
	ResolvConfPath  string
	HostnamePath    string
	HostsPath       string
	LogPath         string
	Name            string
	RestartCount    int
	Driver          string
	Platform        string
	MountLabel      string
	ProcessLabel    string
	AppArmorProfile string
	ExecIDs         []string
	HostConfig      host
	GraphDriver     graphDriver
	Storage         *struct{}
	SizeRw          *int64 `json:",omitempty"`
	SizeRootFs      *int64 `json:",omitempty"`
	Mounts          []mount
	Config          container.Process
	NetworkSettings networkSettings

	ImageManifestDescriptor *struct{} `json:",omitempty"`
}

// stamp is a time as docker's documents have it, a string: RFC 3339.
type stamp string

type state struct {
	Status     string
	Running    bool
	Paused     bool
	Restarting bool
	OOMKilled  bool
	Dead       bool
	Pid        int
	ExitCode   int
	Error      string
	StartedAt  stamp
	FinishedAt stamp
	Health     *rstate.Health `json:",omitempty"`
	// Readiness is not docker's.
	Readiness *rstate.Readiness `json:",omitempty"`
}

// host is what docker's HostConfig has beyond our model.
type host struct {
	container.Host
	VolumeDriver       string
	ConsoleSize        [2]uint16
	Cgroup             string
	CPURealtimePeriod  int64 `json:"CpuRealtimePeriod"`
	CPURealtimeRuntime int64 `json:"CpuRealtimeRuntime"`
	DeviceCgroupRules  []string
	DeviceRequests     []device.Request
	MemorySwappiness   *int64
	OomKillDisable     *bool
	CPUCount           int64 `json:"CpuCount"`
	CPUPercent         int64 `json:"CpuPercent"`
	IOMaximumIOps      uint64
	IOMaximumBandwidth uint64
	Isolation          string
}

type graphDriver struct {
	Data map[string]string
	Name string
}

type mount struct {
	Type        string
	Name        string `json:",omitempty"`
	Source      string
	Destination string
	Driver      string `json:",omitempty"`
	Mode        string
	RW          bool
	Propagation string
}

type networkSettings struct {
	Bridge                 string
	SandboxID              string
	SandboxKey             string
	Ports                  map[string][]container.PortBinding
	HairpinMode            bool
	LinkLocalIPv6Address   string
	LinkLocalIPv6PrefixLen int
	SecondaryIPAddresses   []string
	SecondaryIPv6Addresses []string
	EndpointID             string
	Gateway                string
	GlobalIPv6Address      string
	GlobalIPv6PrefixLen    int
	IPAddress              string
	IPPrefixLen            int
	IPv6Gateway            string
	MacAddress             string
	Networks               map[string]endpoint
}

type ipam struct {
	IPv4Address  string   `json:",omitempty"`
	IPv6Address  string   `json:",omitempty"`
	LinkLocalIPs []string `json:",omitempty"`
}

type endpoint struct {
	IPAMConfig          *ipam
	Links               []string
	Aliases             []string
	MacAddress          string
	DriverOpts          map[string]string
	GwPriority          int
	NetworkID           string
	EndpointID          string
	Gateway             string
	IPAddress           string
	IPPrefixLen         int
	IPv6Gateway         string
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
	DNSNames            []string
}

// Sizes are of a container's writable layer and of all it sees, in bytes.
type Sizes struct{ Writable, All int64 }

// OfContainer describes a container at one moment. sizes may be nil.
func OfContainer(c *container.Container, s container.Status, sizes *Sizes) Container {
	cfg, r := c.Config, s.Recorded
	d := Container{
		ID: cfg.ID, Created: stamp(cfg.Created.Format(time.RFC3339Nano)), Path: cfg.Path, Args: cfg.Args,
		State: state{
			Status: s.State, Running: s.Running() || s.State == "restarting", Paused: s.State == "paused",
			Restarting: s.State == "restarting", OOMKilled: r.OOMKilled, Dead: s.State == "dead",
			Pid: s.Pid, ExitCode: r.ExitCode, Error: r.Error, StartedAt: stamp(r.StartedAt.Format(time.RFC3339Nano)), FinishedAt: stamp(r.FinishedAt.Format(time.RFC3339Nano)),
		},
		Image:        cfg.ImageID,
		Name:         "/" + cfg.Name,
		RestartCount: r.Restarts,
		Driver:       "overlay2",
		Platform:     "linux",
		HostConfig:   hostOf(&cfg.Host),
		GraphDriver: graphDriver{Name: "overlay2", Data: map[string]string{
			"ID":       cfg.ID,
			"UpperDir": filepath.Join(c.Dir(), container.UpperDir), "WorkDir": filepath.Join(c.Dir(), container.WorkDir),
			"LowerDir": lowerDirs(c),
		}},
		Mounts:          make([]mount, 0, len(cfg.Mounts)),
		Config:          cfg.Config,
		NetworkSettings: networks(c, s),
	}
	if d.Args == nil {
		d.Args = []string{}
	}
	if !r.StartedAt.IsZero() {
		d.LogPath = filepath.Join(c.Dir(), container.LogFile)
	}
	d.ResolvConfPath, d.HostnamePath, d.HostsPath = files(c)
	for _, m := range cfg.Mounts {
		d.Mounts = append(d.Mounts, mount{
			Type: m.Type, Name: m.Name, Source: m.Source, Destination: m.Destination,
			Driver: m.Driver, Mode: modeOf(cfg, &m), RW: m.RW, Propagation: m.Propagation,
		})
	}
	if sizes != nil {
		d.SizeRw, d.SizeRootFs = &sizes.Writable, &sizes.All
	}
	d.State.Health, d.State.Readiness = health(c, s), ready(c, s)
	return d
}

// health is what the checks said. Who does not run is not healthy: docker calls
// that unhealthy, and scripts that wait for a container's health read it.
func health(c *container.Container, s container.Status) *rstate.Health {
	if s.Health != nil || !c.Config.Config.Checked() || s.Recorded.StartedAt.IsZero() {
		return s.Health
	}
	h := rstate.ReadHealth(c.Dir())
	h.Status, h.Readiness = rstate.Unhealthy, nil
	return &h
}

// ready is what the checks of readiness said. Who does not run is not ready.
func ready(c *container.Container, s container.Status) *rstate.Readiness {
	if s.Readiness != nil || !c.Config.Config.ReadyCheck.Exists() || s.Recorded.StartedAt.IsZero() {
		return s.Readiness
	}
	r := cmp.Or(rstate.ReadHealth(c.Dir()).Readiness, &rstate.Readiness{Log: []rstate.Check{}})
	r.Ready = false
	return r
}

// modeOf is what docker calls the mode of a mount: it adds a z to volumes that
// somebody named.
func modeOf(cfg *container.Config, m *container.Mount) string {
	typed := !m.Anonymous || slices.ContainsFunc(cfg.Host.Mounts, func(s container.MountSpec) bool { return s.Target == m.Destination })
	if m.Type == "volume" && m.Mode == "" && typed {
		return "z"
	}
	return m.Mode
}

// files are where the container's own files of /etc are, empty before its first
// start. Who shares a network shares them.
func files(c *container.Container) (resolv, hostname, hosts string) {
	dir := c.Dir()
	if id, ok := strings.CutPrefix(c.Config.Host.NetworkMode, "container:"); ok {
		dir = filepath.Join(filepath.Dir(dir), id)
	}
	for _, f := range []struct {
		to   *string
		name string
	}{{&resolv, "resolv.conf"}, {&hostname, "hostname"}, {&hosts, "hosts"}} {
		path := filepath.Join(dir, f.name)
		if _, err := os.Lstat(path); err == nil {
			*f.to = path
		}
	}
	return resolv, hostname, hosts
}

// hostOf fills what docker never leaves null.
func hostOf(from *container.Host) host {
	h := host{Host: *from, DeviceRequests: from.DeviceRequests}
	if h.PortBindings == nil {
		h.PortBindings = map[string][]container.PortBinding{}
	}
	for _, list := range []*[]string{
		&h.DNS, &h.DNSOptions, &h.DNSSearch,
	} {
		if *list == nil {
			*list = []string{}
		}
	}
	if h.BlkioWeightDevice == nil {
		h.BlkioWeightDevice = []container.WeightDevice{}
	}
	for _, list := range []*[]container.ThrottleDevice{
		&h.BlkioDeviceReadBps, &h.BlkioDeviceWriteBps, &h.BlkioDeviceReadIOps, &h.BlkioDeviceWriteIOps,
	} {
		if *list == nil {
			*list = []container.ThrottleDevice{}
		}
	}
	if h.Devices == nil {
		h.Devices = []container.Device{}
	}
	if h.Ulimits == nil {
		h.Ulimits = []container.Ulimit{}
	}
	if !h.Privileged {
		h.MaskedPaths, h.ReadonlyPaths = spec.Protected(&h.Host)
	}
	return h
}

func lowerDirs(c *container.Container) string {
	if c.Config.Rootfs != "" {
		return c.Config.Rootfs
	}
	dirs := make([]string, len(c.Config.Layers))
	for i, id := range c.Config.Layers {
		dirs[i] = filepath.Join(c.Store.Layers(), id, "diff")
	}
	return strings.Join(dirs, ":")
}

// networks describes how the container is connected: what was recorded while it
// runs, else the names alone.
func networks(c *container.Container, s container.Status) networkSettings {
	cfg := c.Config
	n := networkSettings{Ports: map[string][]container.PortBinding{}, Networks: map[string]endpoint{}}
	a := network.Attachment(c, s)
	if s.Running() {
		for p := range cfg.Config.ExposedPorts {
			if len(cfg.Endpoints()) > 0 {
				n.Ports[p] = nil
			}
		}
		for p, bindings := range network.Published(&a) {
			n.Ports[p] = bindings
		}
		n.SandboxID = cfg.ID
		n.SandboxKey = fmt.Sprintf("/proc/%d/ns/net", s.Pid)
	}
	for _, want := range cfg.Endpoints() {
		n.Networks[want.Network] = endpoint{IPAMConfig: ipamConfig(&want), Links: want.Links, Aliases: want.Aliases, GwPriority: want.GwPriority, DriverOpts: want.DriverOpts}
	}
	if mode := cfg.Host.NetworkMode; len(n.Networks) == 0 && !strings.Contains(mode, ":") {
		e := endpoint{}
		if !s.Recorded.StartedAt.IsZero() {
			if found, err := record.Find(c.Store, mode); err == nil {
				e.NetworkID = found.ID
			}
		}
		n.Networks[mode] = e
	}
	for _, e := range a.Endpoints {
		shown := n.Networks[e.Network]
		shown.NetworkID, shown.EndpointID, shown.MacAddress = e.NetworkID, e.ID, e.MAC
		shown.IPAddress, shown.IPPrefixLen, shown.Gateway = addrText(e.Address.Addr()), max(e.Address.Bits(), 0), addrText(e.Gateway)
		shown.GlobalIPv6Address, shown.GlobalIPv6PrefixLen, shown.IPv6Gateway = addrText(e.Address6.Addr()), max(e.Address6.Bits(), 0), addrText(e.Gateway6)
		shown.Aliases, shown.GwPriority = e.Aliases, e.GwPriority
		if e.Network != "bridge" {
			shown.DNSNames = e.DNSNames
		} else {
			// Docker's old place, which scripts still read.
			n.EndpointID, n.MacAddress = shown.EndpointID, shown.MacAddress
			n.IPAddress, n.IPPrefixLen, n.Gateway = shown.IPAddress, shown.IPPrefixLen, shown.Gateway
			n.GlobalIPv6Address, n.GlobalIPv6PrefixLen, n.IPv6Gateway = shown.GlobalIPv6Address, shown.GlobalIPv6PrefixLen, shown.IPv6Gateway
		}
		n.Networks[e.Network] = shown
	}
	return n
}

func ipamConfig(e *container.Endpoint) *ipam {
	if e.IPv4 == "" && e.IPv6 == "" && len(e.LinkLocal) == 0 {
		return nil
	}
	return &ipam{e.IPv4, e.IPv6, e.LinkLocal}
}

// addrText is empty for an address that is none.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
