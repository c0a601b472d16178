package flags

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
	"tags.cncf.io/container-device-interface/pkg/parser"

	"skiff/commands/failure"
	"skiff/runtime/lifecycle"
	"skiff/storage/container"
	"skiff/storage/container/device"
)

// SecurityFlags are the flags about what a container's process may do.
func SecurityFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "cap-add", Usage: "Add Linux capabilities"},
		&cli.StringSliceFlag{Name: "cap-drop", Usage: "Drop Linux capabilities"},
		&cli.BoolFlag{Name: "privileged", Usage: "Give extended privileges to this container"},
		&cli.BoolFlag{Name: "read-only", Usage: "Mount the container's root filesystem as read only"},
		&cli.StringSliceFlag{Name: "security-opt", Usage: "Security Options"},
		&cli.StringSliceFlag{Name: "group-add", Usage: "Add additional groups to join"},
		&cli.StringFlag{Name: "userns", Usage: "User namespace to use (host, keep-id[:uid=UID,gid=GID], nomap, auto[:size=N])"},
		TypedList(&cli.StringSliceFlag{Name: "sysctl", Usage: "Sysctl options"}, "map"),
		&cli.StringSliceFlag{Name: "device", Usage: "Add a host device to the container"},
		TypedList(&cli.StringSliceFlag{Name: "gpus", Usage: "GPU devices to add to the container ('all' to pass all GPUs)"}, "gpu-request"),
	}
}

// Security fills what h says about privileges.
func Security(c *cli.Context, h *container.Host) (warnings []string, err error) {
	if h.CapAdd, err = capabilities("CapAdd", c.StringSlice("cap-add")); err != nil {
		return nil, err
	}
	if h.CapDrop, err = capabilities("CapDrop", c.StringSlice("cap-drop")); err != nil {
		return nil, err
	}
	h.Privileged, h.ReadonlyRootfs = c.Bool("privileged"), c.Bool("read-only")
	h.GroupAdd = c.StringSlice("group-add")
	h.UsernsMode = c.String("userns")
	if err := checkUserns(h.UsernsMode); err != nil {
		return nil, err
	}
	for _, o := range c.StringSlice("security-opt") {
		warning, err := securityOpt(h, o)
		if err != nil {
			return nil, err
		}
		if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	for _, s := range c.StringSlice("sysctl") {
		name, value, ok := strings.Cut(s, "=")
		if !ok || !namespacedSysctl(name) {
			return nil, &failure.Value{Flag: "sysctl", Value: s, Err: fmt.Errorf("sysctl '%s' is not allowed", s)}
		}
		if h.Sysctls == nil {
			h.Sysctls = map[string]string{}
		}
		h.Sysctls[name] = value
	}
	more, err := devices(c, h)
	return append(warnings, more...), err
}

// devices fills what h says about --gpus and --device, in docker's order.
func devices(c *cli.Context, h *container.Host) (warnings []string, err error) {
	for _, value := range c.StringSlice("gpus") {
		req, err := ParseGPUs(value)
		if err != nil {
			return nil, &failure.Value{Flag: "gpus", Value: value, Err: err}
		}
		if len(req.Options) > 0 {
			warnings = append(warnings, "--gpus: options are not supported and have no effect.")
		}
		h.DeviceRequests = append(h.DeviceRequests, req)
	}
	var names []string
	for _, d := range c.StringSlice("device") {
		if parser.IsQualifiedName(d) {
			names = append(names, d)
			continue
		}
		node, err := ParseDevice(d)
		if err != nil {
			return nil, err
		}
		h.Devices = append(h.Devices, node)
		if p := node.CgroupPermissions; !strings.Contains(p, "r") || !strings.Contains(p, "w") {
			warnings = append(warnings, fmt.Sprintf("--device %s: permissions %q have no effect: the container may what you may.", node.PathOnHost, p))
		}
	}
	if len(names) > 0 {
		h.DeviceRequests = append(h.DeviceRequests, device.Request{Driver: device.CDI, DeviceIDs: names})
	}
	return warnings, nil
}

// capabilities returns names in the kernel's spelling, or ALL.
func capabilities(field string, names []string) ([]string, error) {
	var caps []string
	for _, n := range names {
		name := strings.ToUpper(strings.TrimSpace(n))
		if name == "ALL" || name == "CAP_ALL" {
			caps = append(caps, "ALL")
			continue
		}
		name = "CAP_" + strings.TrimPrefix(name, "CAP_")
		if !KnownCapability(name) {
			return nil, failure.Engine(nil, "invalid %s: unknown capability: %q", field, name)
		}
		caps = append(caps, name)
	}
	return caps, nil
}

// KnownCapability reports whether name is one of capabilities(7).
func KnownCapability(name string) bool {
	switch name {
	case "CAP_AUDIT_CONTROL", "CAP_AUDIT_READ", "CAP_AUDIT_WRITE", "CAP_BLOCK_SUSPEND", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
		"CAP_KILL", "CAP_LEASE", "CAP_LINUX_IMMUTABLE", "CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE", "CAP_MKNOD", "CAP_NET_ADMIN",
		"CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_RAW", "CAP_PERFMON", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP",
		"CAP_SETUID", "CAP_SYSLOG", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_CHROOT", "CAP_SYS_MODULE", "CAP_SYS_NICE",
		"CAP_SYS_PACCT", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_WAKE_ALARM":
		return true
	}
	return false
}

func checkUserns(mode string) error {
	kind, options, _ := strings.Cut(mode, ":")
	switch {
	case mode == "" || mode == "host":
		return nil
	case mode == "nomap":
		return nil
	case kind == "auto":
		if _, err := lifecycle.AutoSize(mode); err != nil {
			return fmt.Errorf("--userns: %w", err)
		}
		return nil
	case kind != "keep-id":
		return fmt.Errorf("--userns: invalid USER mode")
	case options == "":
		return nil
	}
	for _, o := range strings.Split(options, ",") {
		key, value, _ := strings.Cut(o, "=")
		if _, err := strconv.ParseUint(value, 10, 31); err != nil || key != "uid" && key != "gid" {
			return fmt.Errorf("--userns: invalid option %q of keep-id", o)
		}
	}
	return nil
}

// securityOpt takes one --security-opt. A seccomp profile is read here, because
// the file may be gone or changed when the container starts again.
func securityOpt(h *container.Host, o string) (warning string, err error) {
	key, value, ok := strings.Cut(o, "=")
	if !ok && key == "writable-cgroups" {
		value, ok, o = "true", true, o+"=true"
	}
	if !ok && key != "no-new-privileges" {
		key, value, ok = strings.Cut(o, ":")
	}
	if (!ok || value == "") && key != "no-new-privileges" {
		return "", fmt.Errorf("Invalid --security-opt: %q", o)
	}
	switch key {
	case "no-new-privileges":
		if ok {
			if _, err := strconv.ParseBool(value); err != nil {
				return "", failure.Engine(nil, "invalid --security-opt 2: %q", o)
			}
		}
	case "seccomp":
		if value != "unconfined" && value != "builtin" {
			if value, err = readProfile(value); err != nil {
				return "", err
			}
		}
		o = "seccomp=" + value
	case "label":
		if value != "disable" {
			warning = "--security-opt label: SELinux labels are not supported and have no effect."
		}
	case "apparmor":
		if value != "unconfined" {
			warning = "--security-opt apparmor: AppArmor profiles are not supported and have no effect."
		}
	case "systempaths":
		if value != "unconfined" {
			return "", failure.Engine(nil, "invalid --security-opt 2: %q", o)
		}
		h.MaskedPaths, h.ReadonlyPaths = []string{}, []string{}
		return "", nil
	case "writable-cgroups":
		if _, err := strconv.ParseBool(value); err != nil {
			return "", failure.Engine(nil, "invalid --security-opt 2: %q", o)
		}
		var fs unix.Statfs_t
		if unix.Statfs("/sys/fs/cgroup", &fs) != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
			warning = "--security-opt writable-cgroups has no effect: this machine has no cgroup version 2 at /sys/fs/cgroup."
		}
	case "mask", "unmask":
		for _, p := range strings.Split(value, ":") {
			if _, err := path.Match(p, ""); err != nil || !path.IsAbs(p) && (key == "mask" || p != "ALL") {
				return "", failure.Engine(nil, "invalid --security-opt %q: %q is no absolute path", o, p)
			}
		}
		o = key + "=" + value
	default:
		return "", failure.Engine(nil, "invalid --security-opt 2: %q", o)
	}
	h.SecurityOpt = append(h.SecurityOpt, o)
	return warning, nil
}

func readProfile(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("opening seccomp profile (%s) failed: %w", path, err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return "", fmt.Errorf("compacting json for seccomp profile (%s) failed: %w", path, err)
	}
	return b.String(), nil
}

// namespacedSysctl reports whether the setting belongs to a namespace of the
// container, so that changing it stays inside.
func namespacedSysctl(name string) bool {
	switch name {
	case "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
		"kernel.shmmni", "kernel.shm_rmid_forced", "kernel.domainname":
		return true
	}
	return !strings.ContainsAny(name, "/\x00") && (strings.HasPrefix(name, "net.") || strings.HasPrefix(name, "fs.mqueue."))
}

// ParseDevice reads the value of --device that is no name of the Container Device
// Interface: source[:destination[:permissions]].
func ParseDevice(s string) (container.Device, error) {
	d := container.Device{CgroupPermissions: "rwm"}
	parts := strings.Split(s, ":")
	d.PathOnHost, d.PathInContainer = parts[0], parts[0]
	switch {
	case s == "":
		return d, errors.New("bad format for path: ")
	case len(parts) > 3:
		return d, fmt.Errorf("invalid device specification: %s", s)
	case len(parts) == 3:
		d.PathInContainer, d.CgroupPermissions = parts[1], parts[2]
	case len(parts) == 2 && validPermissions(parts[1]):
		d.CgroupPermissions = parts[1]
	case len(parts) == 2:
		d.PathInContainer = parts[1]
	}
	if !validPermissions(d.CgroupPermissions) {
		return d, fmt.Errorf("bad mode specified: %s", d.CgroupPermissions)
	}
	for _, path := range []string{d.PathOnHost, d.PathInContainer} {
		if !strings.HasPrefix(path, "/") {
			return d, fmt.Errorf("%s is not an absolute path", path)
		}
	}
	return d, nil
}

func validPermissions(s string) bool {
	return s != "" && len(s) <= 3 && strings.Trim(s, "rwm") == ""
}
