package spec

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	cdi "tags.cncf.io/container-device-interface/specs-go"
)

// Edits of the Container Device Interface are made as that specification's own library
// makes them (pkg/cdi, ContainerEdits.Apply): what they set replaces what was there
// under the same name.

func editEnvironment(p *rspec.Process, e *cdi.ContainerEdits) {
	if e == nil {
		return
	}
	for _, kv := range e.Env {
		name, _, _ := strings.Cut(kv, "=")
		p.Env = slices.DeleteFunc(p.Env, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		p.Env = append(p.Env, kv)
	}
	for _, gid := range e.AdditionalGIDs {
		if gid != 0 {
			p.User.AdditionalGids = append(p.User.AdditionalGids, gid)
		}
	}
}

// editMounts adds to the user's mounts.
func editMounts(list []rspec.Mount, e *cdi.ContainerEdits) []rspec.Mount {
	if e == nil {
		return list
	}
	for _, m := range e.Mounts {
		dest := path.Clean(m.ContainerPath)
		list = slices.DeleteFunc(list, func(o rspec.Mount) bool { return path.Clean(o.Destination) == dest })
		list = append(list, rspec.Mount{Destination: dest, Type: m.Type, Source: m.HostPath, Options: m.Options})
	}
	return list
}

func editDevices(s *rspec.Spec, e *cdi.ContainerEdits, f *Facts) error {
	if e == nil {
		return nil
	}
	for _, n := range e.DeviceNodes {
		source, err := hostNode(n)
		if err != nil {
			return err
		}
		dest := path.Clean(n.Path)
		s.Linux.Devices = slices.DeleteFunc(s.Linux.Devices, func(o rspec.LinuxDevice) bool { return o.Path == dest })
		if !f.Rootless {
			s.Linux.Devices = append(s.Linux.Devices, *source)
			continue
		}
		s.Mounts = slices.DeleteFunc(s.Mounts, func(o rspec.Mount) bool { return o.Destination == dest })
		s.Mounts = append(s.Mounts, boundNode(dest, hostPath(n)))
	}
	return nil
}

// boundNode is this machine's node in a container: there is no mknod in a user
// namespace.
func boundNode(dest, source string) rspec.Mount {
	return rspec.Mount{Destination: dest, Type: "bind", Source: source, Options: []string{"bind", "nosuid", "noexec"}}
}

func hostPath(n *cdi.DeviceNode) string {
	if n.HostPath != "" {
		return n.HostPath
	}
	return n.Path
}

// hostNode is the device that n means, with what n leaves open taken from this
// machine's.
func hostNode(n *cdi.DeviceNode) (*rspec.LinuxDevice, error) {
	out := &rspec.LinuxDevice{
		Path: path.Clean(n.Path), Type: n.Type, Major: n.Major, Minor: n.Minor, FileMode: n.FileMode, UID: n.UID, GID: n.GID,
	}
	whole := n.Type != "" && (n.Major != 0 || n.Type == "p")
	var st unix.Stat_t
	if err := unix.Stat(hostPath(n), &st); err != nil {
		if whole {
			return out, nil
		}
		return nil, fmt.Errorf("CDI device injection failed: failed to stat CDI host device %q: %w", hostPath(n), err)
	}
	if out.FileMode == nil {
		mode := os.FileMode(st.Mode & 0o777)
		out.FileMode = &mode
	}
	if whole {
		return out, nil
	}
	kind := map[uint32]string{unix.S_IFCHR: "c", unix.S_IFBLK: "b", unix.S_IFIFO: "p"}[st.Mode&unix.S_IFMT]
	switch {
	case kind == "":
		return nil, fmt.Errorf("CDI device injection failed: failed to stat CDI host device %q: not a device node", hostPath(n))
	case out.Type == "":
		out.Type = kind
	case out.Type != kind && (out.Type != "u" || kind != "c"):
		return nil, fmt.Errorf("CDI device injection failed: CDI device (%q, %q), host type mismatch (%s, %s)", n.Path, hostPath(n), n.Type, kind)
	}
	if out.Type != "p" && out.Major == 0 {
		out.Major, out.Minor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	}
	return out, nil
}

// Ineffective says, a line each, which of the edits have no effect here: a container's
// access to a device is that of its processes to the node, and a node that is bound
// has the owner and the mode that it has.
func Ineffective(e *cdi.ContainerEdits, rootless bool) (lines []string) {
	if e == nil {
		return nil
	}
	for _, n := range e.DeviceNodes {
		say := func(what string) {
			lines = append(lines, fmt.Sprintf("CDI device node %s: its %s has no effect.", n.Path, what))
		}
		if p := n.Permissions; p != "" && !(strings.Contains(p, "r") && strings.Contains(p, "w")) {
			say(fmt.Sprintf("permission %q", p))
		}
		var st unix.Stat_t
		if !rootless || unix.Stat(hostPath(n), &st) != nil {
			continue
		}
		if n.FileMode != nil && uint32(n.FileMode.Perm()) != st.Mode&0o777 {
			say(fmt.Sprintf("fileMode %04o", n.FileMode.Perm()))
		}
		if n.UID != nil && *n.UID != 0 {
			say(fmt.Sprintf("uid %d", *n.UID))
		}
		if n.GID != nil && *n.GID != 0 {
			say(fmt.Sprintf("gid %d", *n.GID))
		}
	}
	return lines
}

// editHooks returns the hooks as the OCI specification has them, nil for none.
func editHooks(e *cdi.ContainerEdits) *rspec.Hooks {
	if e == nil || len(e.Hooks) == 0 {
		return nil
	}
	out := &rspec.Hooks{}
	for _, h := range e.Hooks {
		hook := rspec.Hook{Path: h.Path, Args: h.Args, Env: h.Env, Timeout: h.Timeout}
		switch h.HookName {
		case "prestart":
			//lint:ignore SA1019 specifications may still have them
			out.Prestart = append(out.Prestart, hook)
		case "createRuntime":
			out.CreateRuntime = append(out.CreateRuntime, hook)
		case "createContainer":
			out.CreateContainer = append(out.CreateContainer, hook)
		case "startContainer":
			out.StartContainer = append(out.StartContainer, hook)
		case "poststart":
			out.Poststart = append(out.Poststart, hook)
		case "poststop":
			out.Poststop = append(out.Poststop, hook)
		}
	}
	return out
}
