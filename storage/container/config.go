package container

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
	"time"

	"skiff/storage/container/device"
	"skiff/storage/container/hook"
	"skiff/storage/container/service"
)

// Version is the format of config.json that this program writes.
const Version = 1

// Config is the one model of a container: what the user asked for together
// with what the image said, fixed when the container was made. The JSON names
// are docker's inspect names, so that inspect, commit and a later API print it
// without a translation. runtime/spec is the only translator to OCI.
type Config struct {
	Version int       `json:"Version"`
	ID      string    `json:"Id"`   // 64 lower-case hex digits
	Name    string    `json:"Name"` // without docker's leading slash
	Created time.Time `json:"Created"`
	// ImageID is the digest of the image's config, "sha256:<hex>"; empty for a
	// container without an image.
	ImageID string `json:"Image"`
	// ImagePlatform is os/arch[/variant] of the image.
	ImagePlatform string `json:"ImagePlatform,omitempty"`
	// Layers are the containers/storage layer ids below the writable layer,
	// topmost first. Store.Layers()/<id>/diff is the content of one.
	Layers []string `json:"Layers"`
	// Rootfs is the directory that --rootfs names, absolute and without links,
	// for a container without an image: its root itself, or with RootfsOverlay
	// what lies below its writable layer.
	Rootfs        string `json:"Rootfs,omitempty"`
	RootfsOverlay bool   `json:"RootfsOverlay,omitempty"`
	// Path and Args are the process that is started: entrypoint and command.
	Path   string   `json:"Path"`
	Args   []string `json:"Args"`
	Config Process  `json:"Config"`
	Host   Host     `json:"HostConfig"`
	Mounts []Mount  `json:"Mounts"`
	// Networks are the networks of the user's own, or bridge, that the container
	// was asked to be on; see Endpoints.
	Networks []Endpoint `json:"Networks,omitempty"`
	// Rewired says that networks were connected or disconnected later: Networks
	// is all there is, even when it is empty.
	Rewired bool `json:"Rewired,omitempty"`
	// Pod is the id of the pod that the container belongs to, which is that of the
	// pod's infra container.
	Pod string `json:"Pod,omitempty"`
	// Infra is set in the container that a pod is made of.
	Infra *Infra `json:"Infra,omitempty"`
}

// Infra is a pod. Its container executes nothing and keeps the namespaces that the
// pod's other containers share.
type Infra struct {
	Name  string   `json:"Name"`  // the pod's
	Share []string `json:"Share"` // of net, ipc, uts, pid
	// Services are those that select it; their names are aliases on its networks.
	Services []service.Service `json:"Services,omitempty"`
}

// ServiceNames are what the container is known as on each of its networks, beside
// the aliases of the endpoints there.
func (c *Config) ServiceNames() []string {
	if c.Infra == nil {
		return nil
	}
	var names []string
	for i := range c.Infra.Services {
		names = append(names, c.Infra.Services[i].Names()...)
	}
	return names
}

// Endpoint is the wish for a place on one network.
type Endpoint struct {
	Network    string   `json:"Network"` // name or id
	Aliases    []string `json:"Aliases,omitempty"`
	Links      []string `json:"Links,omitempty"` // container:alias
	IPv4       string   `json:"IPv4Address,omitempty"`
	IPv6       string   `json:"IPv6Address,omitempty"`
	MAC        string   `json:"MacAddress,omitempty"`
	GwPriority int      `json:"GwPriority,omitempty"`
	// LinkLocal are addresses besides, of RFC 3927 or RFC 4291's fe80::/10.
	LinkLocal  []string          `json:"LinkLocalIPs,omitempty"`
	DriverOpts map[string]string `json:"DriverOpts,omitempty"`
}

// Endpoints are the networks with addresses that the container belongs on: those
// that were asked for, else the default one; none when it shares a network
// namespace or has one without a network.
func (c *Config) Endpoints() []Endpoint {
	if c.Rewired {
		return c.Networks
	}
	switch kind, _, _ := strings.Cut(c.Host.NetworkMode, ":"); kind {
	case "host", "none", "container", "ns", "pasta":
		return c.Networks
	case "", "default", "bridge", "usernet":
		if len(c.Networks) == 0 {
			return []Endpoint{{Network: "bridge"}}
		}
	}
	return c.Networks
}

// Images are the ids, 64 hex digits, of the images that the container stands on:
// its own and those that it mounts.
func (c *Config) Images() []string {
	ids := []string{strings.TrimPrefix(c.ImageID, "sha256:")}
	for _, m := range c.Mounts {
		if m.ImageID != "" {
			ids = append(ids, strings.TrimPrefix(m.ImageID, "sha256:"))
		}
	}
	return ids
}

// OwnsRoot reports whether what the container writes into its root stays in its
// own writable layer. It does not where --rootfs names the root itself.
func (c *Config) OwnsRoot() bool { return c.Rootfs == "" || c.RootfsOverlay }

// ForSystemd reports whether the container is prepared for systemd as its init:
// --systemd=always, or true where the command is one.
func (c *Config) ForSystemd() bool {
	switch c.Host.Systemd {
	case "always":
		return true
	case "true":
		base := path.Base(c.Path)
		return base == "systemd" || base == "init" && (c.Path == base || strings.Contains(c.Path, "sbin/"))
	}
	return false
}

// Process is docker's "Config": what the image gives defaults for.
type Process struct {
	Hostname     string              `json:"Hostname"`
	Domainname   string              `json:"Domainname"`
	User         string              `json:"User"`
	AttachStdin  bool                `json:"AttachStdin"`
	AttachStdout bool                `json:"AttachStdout"`
	AttachStderr bool                `json:"AttachStderr"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
	Tty          bool                `json:"Tty"`
	OpenStdin    bool                `json:"OpenStdin"`
	StdinOnce    bool                `json:"StdinOnce"`
	Env          []string            `json:"Env"`
	Cmd          []string            `json:"Cmd"`
	Healthcheck  *Healthcheck        `json:"Healthcheck,omitempty"`
	StartupCheck *StartupCheck       `json:"StartupHealthCheck,omitempty"`
	ReadyCheck   *ReadyCheck         `json:"ReadinessCheck,omitempty"`
	Image        string              `json:"Image"` // as the user typed it
	Volumes      map[string]struct{} `json:"Volumes"`
	WorkingDir   string              `json:"WorkingDir"`
	Entrypoint   []string            `json:"Entrypoint"`
	OnBuild      []string            `json:"OnBuild"`
	Labels       map[string]string   `json:"Labels"`
	StopSignal   string              `json:"StopSignal,omitempty"`
	StopTimeout  *int                `json:"StopTimeout,omitempty"` // seconds; -1 waits for ever
	Shell        []string            `json:"Shell,omitempty"`
	// Umask is octal, empty for 0022; Timezone an area of /usr/share/zoneinfo,
	// "local", or empty for what the image says.
	Umask    string `json:"Umask,omitempty"`
	Timezone string `json:"Timezone,omitempty"`
}

// Healthcheck is docker's, durations in nanoseconds; zero means the default.
type Healthcheck struct {
	Test          []string      `json:"Test,omitempty"`
	Interval      time.Duration `json:"Interval,omitempty"`
	Timeout       time.Duration `json:"Timeout,omitempty"`
	StartPeriod   time.Duration `json:"StartPeriod,omitempty"`
	StartInterval time.Duration `json:"StartInterval,omitempty"`
	Retries       int           `json:"Retries,omitempty"`
}

// StartupCheck is podman's: what is checked instead until it has succeeded
// Successes times, 0 being once; the container is started anew when it has failed
// Retries times, 0 being never.
type StartupCheck struct {
	Test      []string      `json:"Test,omitempty"`
	Interval  time.Duration `json:"Interval,omitempty"`
	Timeout   time.Duration `json:"Timeout,omitempty"`
	Retries   int           `json:"Retries,omitempty"`
	Successes int           `json:"Successes,omitempty"`
}

// ReadyCheck tells whether the container can do its work now, as Kubernetes'
// readinessProbe does: nothing is done to one that cannot. It is looked at from Delay
// after the start, and when the start-up is over, and is ready after Successes in
// turn, 0 being one, until it has failed Retries times in turn, 0 being three.
type ReadyCheck struct {
	Test      []string      `json:"Test,omitempty"`
	Interval  time.Duration `json:"Interval,omitempty"`
	Timeout   time.Duration `json:"Timeout,omitempty"`
	Delay     time.Duration `json:"Delay,omitempty"`
	Retries   int           `json:"Retries,omitempty"`
	Successes int           `json:"Successes,omitempty"`
}

// regular is a check with the same test, nil for none.
func (r *ReadyCheck) regular() *Healthcheck {
	if r == nil {
		return nil
	}
	return &Healthcheck{Test: r.Test}
}

// Command is as Healthcheck's.
func (r *ReadyCheck) Command(shell []string) []string { return r.regular().Command(shell) }

// Exists is as Healthcheck's.
func (r *ReadyCheck) Exists() bool { return r.regular().Exists() }

// Probe is as Healthcheck's.
func (r *ReadyCheck) Probe() *hook.Handler { return r.regular().Probe() }

// regular is a check with the same test, nil for none.
func (s *StartupCheck) regular() *Healthcheck {
	if s == nil {
		return nil
	}
	return &Healthcheck{Test: s.Test}
}

// Command is as Healthcheck's.
func (s *StartupCheck) Command(shell []string) []string { return s.regular().Command(shell) }

// Exists is as Healthcheck's.
func (s *StartupCheck) Exists() bool { return s.regular().Exists() }

// Probe is as Healthcheck's.
func (s *StartupCheck) Probe() *hook.Handler { return s.regular().Probe() }

// Checked reports whether the container's health is looked at.
func (p *Process) Checked() bool {
	return p.Healthcheck.Exists() || p.StartupCheck.Exists()
}

// ProbeTest is the first word of a Test that is not executed in the container: the
// second is a hook.Handler in JSON.
const ProbeTest = "PROBE"

// TestOf returns what a Healthcheck's Test says of a probe.
func TestOf(h *hook.Handler) ([]string, error) {
	if h.Exec != nil {
		return append([]string{"CMD"}, h.Exec.Command...), nil
	}
	data, err := json.Marshal(h)
	return []string{ProbeTest, string(data)}, err
}

// Exists reports whether anything is looked at.
func (h *Healthcheck) Exists() bool { return h.Command(nil) != nil || h.Probe() != nil }

// Probe returns what is asked over the network, nil when nothing is.
func (h *Healthcheck) Probe() *hook.Handler {
	if h == nil || len(h.Test) != 2 || h.Test[0] != ProbeTest {
		return nil
	}
	probe, err := hook.ParseProbe(h.Test[1])
	if err != nil || !probe.Asks() {
		return nil
	}
	return probe
}

// Command returns what the check executes, nil when there is none. shell is the
// image's, empty for docker's.
func (h *Healthcheck) Command(shell []string) []string {
	if h == nil || len(h.Test) < 2 {
		return nil
	}
	switch h.Test[0] {
	case "CMD":
		return h.Test[1:]
	case "CMD-SHELL":
		if len(shell) == 0 {
			shell = []string{"/bin/sh", "-c"}
		}
		return append(slices.Clone(shell), h.Test[1])
	}
	return nil
}

// Host is docker's "HostConfig": what concerns this machine.
type Host struct {
	Binds           []string                 `json:"Binds"` // -v as typed, sources made absolute
	ContainerIDFile string                   `json:"ContainerIDFile"`
	LogConfig       LogConfig                `json:"LogConfig"`
	NetworkMode     string                   `json:"NetworkMode"` // default, none, host, container:<id>, ...
	PortBindings    map[string][]PortBinding `json:"PortBindings"`
	RestartPolicy   RestartPolicy            `json:"RestartPolicy"`
	AutoRemove      bool                     `json:"AutoRemove"`
	VolumesFrom     []string                 `json:"VolumesFrom"`
	CapAdd          []string                 `json:"CapAdd"`
	CapDrop         []string                 `json:"CapDrop"`
	CgroupnsMode    string                   `json:"CgroupnsMode"`
	DNS             []string                 `json:"Dns"`
	DNSOptions      []string                 `json:"DnsOptions"`
	DNSSearch       []string                 `json:"DnsSearch"`
	ExtraHosts      []string                 `json:"ExtraHosts"`
	GroupAdd        []string                 `json:"GroupAdd"`
	IpcMode         string                   `json:"IpcMode"`
	Links           []string                 `json:"Links"`
	OomScoreAdj     int                      `json:"OomScoreAdj"`
	PidMode         string                   `json:"PidMode"`
	Privileged      bool                     `json:"Privileged"`
	PublishAllPorts bool                     `json:"PublishAllPorts"`
	ReadonlyRootfs  bool                     `json:"ReadonlyRootfs"`
	SecurityOpt     []string                 `json:"SecurityOpt"`
	Tmpfs           map[string]string        `json:"Tmpfs,omitempty"` // destination -> mount options
	UTSMode         string                   `json:"UTSMode"`
	UsernsMode      string                   `json:"UsernsMode"`
	ShmSize         int64                    `json:"ShmSize"` // bytes
	Sysctls         map[string]string        `json:"Sysctls,omitempty"`
	Runtime         string                   `json:"Runtime"`
	Memory          int64                    `json:"Memory"`            // bytes, 0 unlimited
	MemorySwap      int64                    `json:"MemorySwap"`        // bytes, memory and swap together
	MemoryReserved  int64                    `json:"MemoryReservation"` // bytes
	NanoCpus        int64                    `json:"NanoCpus"`
	CPUShares       int64                    `json:"CpuShares"`
	CPUPeriod       int64                    `json:"CpuPeriod"` // microseconds
	CPUQuota        int64                    `json:"CpuQuota"`  // microseconds
	CpusetCpus      string                   `json:"CpusetCpus"`
	CpusetMems      string                   `json:"CpusetMems"`
	PidsLimit       *int64                   `json:"PidsLimit"`
	BlkioWeight     uint16                   `json:"BlkioWeight"` // 10 to 1000, 0 none
	// BlkioWeightDevice and the four rates name block devices of this machine.
	BlkioWeightDevice    []WeightDevice   `json:"BlkioWeightDevice"`
	BlkioDeviceReadBps   []ThrottleDevice `json:"BlkioDeviceReadBps"`
	BlkioDeviceWriteBps  []ThrottleDevice `json:"BlkioDeviceWriteBps"`
	BlkioDeviceReadIOps  []ThrottleDevice `json:"BlkioDeviceReadIOps"`
	BlkioDeviceWriteIOps []ThrottleDevice `json:"BlkioDeviceWriteIOps"`
	CgroupParent         string           `json:"CgroupParent"`
	// Timeout is the time in seconds after which it is killed, 0 never.
	Timeout int `json:"Timeout,omitempty"`
	// HealthOnFailure is what an unhealthy container gets: none (or empty), kill,
	// restart, stop.
	HealthOnFailure string `json:"HealthcheckOnFailureAction,omitempty"`
	// Lifecycle is what runs in the container after its start and before its stop.
	Lifecycle *hook.Lifecycle `json:"Lifecycle,omitempty"`
	// CgroupMode is --cgroups: enabled (or empty), split, disabled, no-conmon.
	CgroupMode string   `json:"CgroupMode,omitempty"`
	Ulimits    []Ulimit `json:"Ulimits"`
	Devices    []Device `json:"Devices"`
	// DeviceRequests are --gpus and those of --device that name devices of the
	// Container Device Interface; see runtime/cdi.
	DeviceRequests []device.Request  `json:"DeviceRequests,omitempty"`
	Mounts         []MountSpec       `json:"Mounts,omitempty"` // --mount as typed
	MaskedPaths    []string          `json:"MaskedPaths"`
	ReadonlyPaths  []string          `json:"ReadonlyPaths"`
	Init           *bool             `json:"Init,omitempty"`
	Annotations    map[string]string `json:"Annotations,omitempty"`
	// Secrets are what --secret names; their contents are read at each start.
	Secrets []SecretUse `json:"Secrets,omitempty"`
	// Requires are the ids of the containers that are started before this one.
	Requires []string `json:"Requires,omitempty"`
	// SdNotify is --sdnotify: when a service manager is told that the container is
	// ready. conmon (or empty): once it has started; container: by itself;
	// healthy; ignore: never.
	SdNotify string `json:"SdNotifyMode,omitempty"`
	// Systemd is --systemd: true, always, or empty for no preparation.
	Systemd string `json:"Systemd,omitempty"`
	// IDMappings are --uidmap and --gidmap, with the user namespace mode
	// "private"; nil for the mode's own.
	IDMappings *IDMappings `json:"IDMappings,omitempty"`
}

// SecretUse is how a container sees a secret: as a file at Target, with the
// owner of that number in the container, or as an environment variable.
type SecretUse struct {
	Name     string `json:"Name"`
	Variable string `json:"Variable,omitempty"`
	Target   string `json:"Target,omitempty"`
	UID      int    `json:"UID"`
	GID      int    `json:"GID"`
	Mode     uint32 `json:"Mode"` // permission bits
}

// IDMappings are the ids of a user namespace of the container's own.
type IDMappings struct {
	UIDs []IDMapping `json:"UidMap"`
	GIDs []IDMapping `json:"GidMap"`
}

// IDMapping is a run of Size ids from Container on that are, outside, those from
// Host on: numbers in the user's own namespace, where 0 is the user.
type IDMapping struct {
	Container uint32 `json:"container_id"`
	Host      uint32 `json:"host_id"`
	Size      uint32 `json:"size"`
}

// LogConfig names the log driver and its options.
type LogConfig struct {
	Type   string            `json:"Type"`
	Config map[string]string `json:"Config"`
}

// PortBinding is one address of this machine that a container port is
// published on.
type PortBinding struct {
	HostIP   string `json:"HostIp"`
	HostPort string `json:"HostPort"`
}

// RestartPolicy says when a container that ended is started again.
type RestartPolicy struct {
	Name              string `json:"Name"` // no, always, unless-stopped, on-failure
	MaximumRetryCount int    `json:"MaximumRetryCount"`
}

// Ulimit is one resource limit (setrlimit(2)), Name without RLIMIT_ and in
// lower case; -1 is unlimited.
type Ulimit struct {
	Name string `json:"Name"`
	Hard int64  `json:"Hard"`
	Soft int64  `json:"Soft"`
}

// WeightDevice is a block device's share of the disks' time, 10 to 1000.
type WeightDevice struct {
	Path   string `json:"Path"`
	Weight uint16 `json:"Weight"`
}

// ThrottleDevice is a block device's highest rate, in bytes or operations a
// second.
type ThrottleDevice struct {
	Path string `json:"Path"`
	Rate uint64 `json:"Rate"`
}

// Device is one --device.
type Device struct {
	PathOnHost        string `json:"PathOnHost"`
	PathInContainer   string `json:"PathInContainer"`
	CgroupPermissions string `json:"CgroupPermissions"`
}

// MountSpec is one --mount as the user asked for it.
type MountSpec struct {
	Type          string         `json:"Type"` // bind, volume, tmpfs, image
	Source        string         `json:"Source,omitempty"`
	Target        string         `json:"Target"`
	ReadOnly      bool           `json:"ReadOnly,omitempty"`
	BindOptions   *BindOptions   `json:"BindOptions,omitempty"`
	VolumeOptions *VolumeOptions `json:"VolumeOptions,omitempty"`
	TmpfsOptions  *TmpfsOptions  `json:"TmpfsOptions,omitempty"`
	ImageOptions  *ImageOptions  `json:"ImageOptions,omitempty"`
}

// BindOptions are the options of a bind mount.
type BindOptions struct {
	Propagation      string `json:"Propagation,omitempty"`
	NonRecursive     bool   `json:"NonRecursive,omitempty"`
	CreateMountpoint bool   `json:"CreateMountpoint,omitempty"`
	// A read-only mount is read-only with all that is mounted below it, unless the
	// first says no; the second says so aloud.
	ReadOnlyNonRecursive   bool `json:"ReadOnlyNonRecursive,omitempty"`
	ReadOnlyForceRecursive bool `json:"ReadOnlyForceRecursive,omitempty"`
}

// VolumeOptions are the options of a volume mount.
type VolumeOptions struct {
	NoCopy  bool              `json:"NoCopy,omitempty"`
	Labels  map[string]string `json:"Labels,omitempty"`
	Subpath string            `json:"Subpath,omitempty"`
	Options map[string]string `json:"Options,omitempty"` // of the driver, for a volume that is made
}

// TmpfsOptions are the options of a tmpfs mount.
type TmpfsOptions struct {
	SizeBytes int64  `json:"SizeBytes,omitempty"`
	Mode      uint32 `json:"Mode,omitempty"` // permission bits
}

// ImageOptions are the options of a mount of an image's files.
type ImageOptions struct {
	Subpath string `json:"Subpath,omitempty"`
}

// Mount is a mount point as it was decided at creation: docker's inspect
// ".Mounts" plus what the runtime needs to repeat it at every start.
type Mount struct {
	Type        string `json:"Type"` // bind, volume, tmpfs, image
	Name        string `json:"Name,omitempty"`
	Source      string `json:"Source"` // absolute; empty for tmpfs; an image's name as typed
	Destination string `json:"Destination"`
	Driver      string `json:"Driver,omitempty"`
	Mode        string `json:"Mode"` // the options as typed
	RW          bool   `json:"RW"`
	Propagation string `json:"Propagation"`
	// NonRecursive binds only the source itself, not what is mounted below it.
	NonRecursive bool `json:"NonRecursive,omitempty"`
	// WritableBelow leaves what is mounted below a read-only bind as it is.
	WritableBelow bool `json:"WritableBelow,omitempty"`
	// Overlay shows the source below a writable layer of the container's own.
	Overlay bool `json:"Overlay,omitempty"`
	// Own gives the source, with all that is in it, to the container's user at each
	// start.
	Own bool `json:"Own,omitempty"`
	// Anonymous volumes go when the container is removed with its volumes.
	Anonymous bool `json:"Anonymous,omitempty"`
	// Copy fills an empty volume from the image on first use.
	Copy bool `json:"Copy,omitempty"`
	// Tmpfs: the volume is a file system in memory, made at each start.
	Tmpfs bool `json:"Tmpfs,omitempty"`
	// ImageID and Layers are the image's that is mounted, as Config's own.
	ImageID string   `json:"ImageID,omitempty"`
	Layers  []string `json:"Layers,omitempty"`
	// Subpath is a directory within the volume or image to mount instead of its
	// root.
	Subpath string `json:"Subpath,omitempty"`
	// Options are tmpfs mount options ("size=64m,mode=1777").
	Options []string `json:"Options,omitempty"`
}
