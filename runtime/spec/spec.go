package spec

import (
	"path"
	"slices"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	cdi "tags.cncf.io/container-device-interface/specs-go"

	"skiff/storage/container"
)

// Version of the OCI runtime specification that Build speaks.
const Version = "1.3.0"

// Facts are what Build must know beyond the configuration.
type Facts struct {
	// Rootless says that an ordinary user's namespace is the outermost.
	Rootless bool
	// OneID says that only id 0 is mapped.
	OneID bool
	// UnifiedCgroup says that this machine has cgroup v2 at /sys/fs/cgroup.
	UnifiedCgroup bool
	// HostQueues says that this machine shows its message queues (mq_overview(7)) on
	// /dev/mqueue.
	HostQueues bool
	// Namespaces maps a container's id to the directory of its namespaces
	// (/proc/PID/ns) for container:<id> modes.
	Namespaces func(id string) (dir string, err error)
	// HostDevices are the devices that --privileged passes on.
	HostDevices []string
	// Maps of a nested user namespace (--userns keep-id), as seen from ours.
	UIDMap, GIDMap []rspec.LinuxIDMapping
	// Edits are those of the container's devices (runtime/cdi), nil for none.
	Edits *cdi.ContainerEdits
}

// Build returns the OCI configuration of a container.
func Build(cfg *container.Config, f *Facts) (*rspec.Spec, error) {
	s := &rspec.Spec{
		Version:     Version,
		Root:        &rspec.Root{Path: "rootfs", Readonly: cfg.Host.ReadonlyRootfs},
		Annotations: cfg.Host.Annotations,
		Linux:       &rspec.Linux{UIDMappings: f.UIDMap, GIDMappings: f.GIDMap, Sysctl: cfg.Host.Sysctls},
	}
	if cfg.Host.UTSMode != "host" {
		s.Hostname, s.Domainname = cfg.Config.Hostname, cfg.Config.Domainname
	}
	if err := process(s, cfg); err != nil {
		return nil, err
	}
	editEnvironment(s.Process, f.Edits)
	if err := namespaces(s, cfg, f); err != nil {
		return nil, err
	}
	if err := mounts(s, cfg, f); err != nil {
		return nil, err
	}
	if err := devices(s, cfg, f); err != nil {
		return nil, err
	}
	if err := editDevices(s, f.Edits, f); err != nil {
		return nil, err
	}
	s.Hooks = editHooks(f.Edits)
	protect(s, cfg)
	return s, nil
}

// protect hides and guards what of /proc and /sys is not the container's.
func protect(s *rspec.Spec, cfg *container.Config) {
	if cfg.Host.Privileged {
		return
	}
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = Protected(&cfg.Host)
}

// Protected returns the paths that an unprivileged container cannot see, and
// those that it cannot write.
func Protected(h *container.Host) (masked, readonly []string) {
	masked, readonly = []string{}, []string{}
	if !slices.ContainsFunc(h.SecurityOpt, func(o string) bool {
		return o == "systempaths=unconfined" || strings.HasPrefix(o, "systempaths:unconfined")
	}) {
		if masked = slices.Clone(h.MaskedPaths); h.MaskedPaths == nil {
			masked = slices.Clone(maskedPaths[:])
		}
		if readonly = slices.Clone(h.ReadonlyPaths); h.ReadonlyPaths == nil {
			readonly = slices.Clone(readonlyPaths[:])
		}
	}
	for _, o := range h.SecurityOpt {
		key, value, _ := strings.Cut(o, "=")
		switch key {
		case "unmask":
			for _, pattern := range strings.Split(value, ":") {
				shown := func(p string) bool {
					ok, err := path.Match(pattern, p)
					return pattern == "ALL" || err == nil && ok
				}
				masked, readonly = slices.DeleteFunc(masked, shown), slices.DeleteFunc(readonly, shown)
			}
		case "mask":
			masked = append(masked, strings.Split(value, ":")...)
		}
	}
	return masked, readonly
}

// Docker's lists, and what later advisories added.
var (
	maskedPaths = [...]string{
		"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
		"/sys/fs/selinux", "/sys/devices/virtual/powercap",
	}
	readonlyPaths = [...]string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)
