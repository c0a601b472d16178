package spec

import (
	"fmt"
	"strconv"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"skiff/runtime/stage/capability"
	"skiff/storage/container"
)

// defaultCaps are docker's fourteen.
var defaultCaps = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
	"CAP_AUDIT_WRITE",
}

func process(s *rspec.Spec, cfg *container.Config) error {
	caps, err := Capabilities(&cfg.Host)
	if err != nil {
		return err
	}
	umask := uint32(0o022)
	if n, err := strconv.ParseUint(cfg.Config.Umask, 8, 32); err == nil {
		umask = uint32(n)
	}
	p := &rspec.Process{
		Terminal: cfg.Config.Tty,
		Args:     append([]string{cfg.Path}, cfg.Args...),
		Env:      environment(cfg),
		Cwd:      cfg.Config.WorkingDir,
		// The names in cfg.Config.User are resolved in the container's own root.
		User: rspec.User{Username: cfg.Config.User, Umask: &umask},
		// Inheritable and ambient stay empty whatever the user asks for
		// (CVE-2022-24769).
		Capabilities: &rspec.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
	}
	if p.Cwd == "" {
		p.Cwd = "/"
	}
	if cfg.Host.OomScoreAdj != 0 {
		p.OOMScoreAdj = &cfg.Host.OomScoreAdj
	}
	for _, u := range cfg.Host.Ulimits {
		p.Rlimits = append(p.Rlimits, rspec.POSIXRlimit{
			Type: "RLIMIT_" + strings.ToUpper(u.Name), Hard: uint64(u.Hard), Soft: uint64(u.Soft),
		})
	}
	for _, o := range cfg.Host.SecurityOpt {
		name, value, _ := strings.Cut(strings.Replace(o, ":", "=", 1), "=")
		switch name {
		case "no-new-privileges":
			p.NoNewPrivileges = value == "" || value == "true"
		case "apparmor":
			if value != "unconfined" {
				p.ApparmorProfile = value
			}
		}
	}
	s.Process = p
	return nil
}

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is what docker gives: a path, the host name, the terminal, then
// the configuration's. HOME is filled in by the stage, which knows the user.
func environment(cfg *container.Config) []string {
	var env []string
	has := map[string]bool{}
	for _, kv := range cfg.Config.Env {
		name, _, _ := strings.Cut(kv, "=")
		has[name] = true
	}
	for _, kv := range cfg.Config.Env {
		if strings.HasPrefix(kv, "PATH=") {
			env = append(env, kv)
		}
	}
	if !has["PATH"] {
		env = append(env, defaultPath) // the process's alone: commit would make it the image's
	}
	if !has["HOSTNAME"] && cfg.Config.Hostname != "" {
		env = append(env, "HOSTNAME="+cfg.Config.Hostname)
	}
	if cfg.ForSystemd() && !has["container"] {
		env = append(env, "container=oci") // by which systemd knows where it is
	}
	if cfg.Config.Tty && !has["TERM"] {
		env = append(env, "TERM=xterm")
	}
	for _, kv := range cfg.Config.Env {
		if !strings.HasPrefix(kv, "PATH=") {
			env = append(env, kv)
		}
	}
	return env
}

// Capabilities returns the capabilities of a container: the default ones, more
// with CapAdd, less with CapDrop, all when privileged. Dropping beats adding,
// but ALL gives way to names, as with docker.
func Capabilities(h *container.Host) ([]string, error) {
	if h.Privileged {
		return capability.Names(capability.All), nil
	}
	add, addAll, err := parseCaps(h.CapAdd)
	if err != nil {
		return nil, err
	}
	drop, dropAll, err := parseCaps(h.CapDrop)
	if err != nil {
		return nil, err
	}
	var set uint64
	switch {
	case addAll:
		set = capability.All &^ drop
	case dropAll:
		set = add
	default:
		for _, name := range defaultCaps {
			bit, _ := capability.Parse(name)
			set |= bit
		}
		set = (set &^ drop) | add
	}
	return capability.Names(set), nil
}

func parseCaps(names []string) (set uint64, all bool, err error) {
	for _, name := range names {
		if strings.EqualFold(name, "ALL") || strings.EqualFold(name, "CAP_ALL") {
			all = true
			continue
		}
		bit, ok := capability.Parse(name)
		if !ok {
			return 0, false, fmt.Errorf("invalid capability: %q", name)
		}
		set |= bit
	}
	return set, all, nil
}
