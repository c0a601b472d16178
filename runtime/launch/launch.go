// Package launch turns an OCI runtime configuration into the messages that the
// stage program acts on: options parsed, names turned into numbers, filters
// compiled. The parent prepares, the child applies.
package launch

import (
	"errors"
	"fmt"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"skiff/runtime/seccomp"
	"skiff/runtime/spec"
	"skiff/runtime/stage/capability"
	"skiff/runtime/stage/message"
)

// Input is what a launch needs beside the configuration.
type Input struct {
	ID, Bundle string
	// Overlay is the root; without it RootDir is.
	Overlay *message.Overlay
	RootDir string
	// Mountpoint is any existing directory to attach the overlay on.
	Mountpoint string
	Filter     *seccomp.Filter // nil: unconfined
	Files      []message.File
	Copies     []message.Copy
	// Own are the destinations of mounts that the process's user shall own.
	Own []string
	// Images are the layers of mounts of images, by their destinations.
	Images  map[string]*message.Overlay
	Network *message.Helper
	Hub     *message.Hub // instead of Network
	// UserByName takes the user from spec.Process.User.Username and the root's
	// own passwd; else the numbers count.
	UserByName bool
	AddGroups  []string
	Reaper     bool
	Pause      bool // a pod's infra: see message.Init.Pause
	StartFIFO  bool
	Orphan     bool
	KeepFDs    int
	Given      int // see message.Process.Given
	Size       message.Size
	// MountNamespace is that of the caller, for a container without one of its own,
	// where we have left it.
	MountNamespace string
	// OwnCgroup says that init is put into a control group of its own, which its
	// cgroup namespace shall begin at.
	OwnCgroup bool
	// OpenSources says that init has no way to the user's files: see
	// message.Init.OpenSources.
	OpenSources bool
}

// Messages returns what the parent of the init is told, with the init's own
// message inside.
func Messages(s *rspec.Spec, in *Input) (*message.Launch, error) {
	if s.Process == nil || len(s.Process.Args) == 0 {
		return nil, errors.New("the configuration has no process")
	}
	if s.Linux == nil {
		s.Linux = &rspec.Linux{}
	}
	state := message.State{Version: s.Version, ID: in.ID, Status: "creating", Bundle: in.Bundle, Annotations: s.Annotations}
	l := &message.Launch{Overlay: in.Overlay, Network: in.Network, Hub: in.Hub, Orphan: in.Orphan, KeepFDs: in.KeepFDs, OpenSources: in.OpenSources}
	init := &message.Init{
		Mountpoint: in.Mountpoint, Root: in.RootDir, Files: in.Files, Copies: in.Copies, Reaper: in.Reaper, Pause: in.Pause,
		StartFIFO: in.StartFIFO, Hostname: s.Hostname, Domainname: s.Domainname, State: state,
		Masked: s.Linux.MaskedPaths, Readonly: s.Linux.ReadonlyPaths, NetworkWanted: in.Network != nil || in.Hub != nil,
		ReadonlyRoot: s.Root != nil && s.Root.Readonly, DefaultDevices: true, OpenSources: in.OpenSources,
	}
	if err := addNamespaces(s, in, l, init); err != nil {
		return nil, err
	}
	if in.OwnCgroup && l.CloneFlags&unix.CLONE_NEWCGROUP != 0 {
		l.CloneFlags &^= unix.CLONE_NEWCGROUP
		init.CgroupNS = true
	}
	for i := range s.Mounts {
		m, err := Mount(&s.Mounts[i])
		if err != nil {
			return nil, err
		}
		m.Image = in.Images[m.Destination]
		init.Mounts = append(init.Mounts, *m)
	}
	for i := range s.Linux.Devices {
		init.Devices = append(init.Devices, device(&s.Linux.Devices[i]))
	}
	for name, value := range s.Linux.Sysctl {
		init.Sysctl = append(init.Sysctl, message.Setting{Name: strings.ReplaceAll(name, ".", "/"), Value: value})
	}
	if p := s.Linux.RootfsPropagation; p != "" {
		flags, ok := propagationFlag(p)
		if !ok {
			return nil, fmt.Errorf("root propagation %q is unknown", p)
		}
		init.RootPropagation = flags
	}
	if s.Hooks != nil {
		addHooks(s.Hooks, l, init)
	}
	l.Hooks.State = state
	p, err := Process(s.Process, in)
	if err != nil {
		return nil, err
	}
	init.Process = *p
	init.Process.Own = in.Own
	l.Filter = p.Seccomp
	l.Init = message.Encode(init)
	return l, nil
}

func addNamespaces(s *rspec.Spec, in *Input, l *message.Launch, init *message.Init) error {
	var mount []message.Namespace
	uts := false
	for _, ns := range s.Linux.Namespaces {
		flag, ok := spec.NamespaceFlag(ns.Type)
		if !ok {
			return fmt.Errorf("namespace %q is not supported", ns.Type)
		}
		uts = uts || flag == unix.CLONE_NEWUTS
		switch {
		case ns.Path == "":
			l.CloneFlags |= uintptr(flag)
			init.Loopback = init.Loopback || flag == unix.CLONE_NEWNET
		case flag == unix.CLONE_NEWPID:
			l.PidNS = ns.Path // only children enter it: it is the parent who joins
		case flag == unix.CLONE_NEWNS:
			mount = append(mount, message.Namespace{Flag: flag, Path: ns.Path})
		default:
			init.Join = append(init.Join, message.Namespace{Flag: flag, Path: ns.Path})
		}
	}
	if l.CloneFlags&unix.CLONE_NEWUSER != 0 {
		// Init, the root of a user namespace below ours, may not.
		l.Join, init.Join = init.Join, nil
	}
	// Last, because the others' paths are this namespace's.
	init.Join = append(init.Join, mount...)
	if l.CloneFlags&unix.CLONE_NEWNS == 0 && len(mount) == 0 {
		if init.Root == "" || s.Process.Terminal {
			return errors.New("a container without a mount namespace of its own has a directory as its root, and no terminal")
		}
		init.Chroot = true
		if in.MountNamespace != "" {
			init.Join = append(init.Join, message.Namespace{Flag: unix.CLONE_NEWNS, Path: in.MountNamespace})
		}
	}
	if !uts && (s.Hostname != "" || s.Domainname != "") {
		return errors.New("a container without a UTS namespace of its own cannot have a hostname")
	}
	if l.CloneFlags&unix.CLONE_NEWUSER != 0 {
		l.UIDMap, l.GIDMap = IDMaps(s.Linux.UIDMappings), IDMaps(s.Linux.GIDMappings)
	}
	return nil
}

// IDMaps translates the lines of a map of ids.
func IDMaps(list []rspec.LinuxIDMapping) []message.IDMap {
	var out []message.IDMap
	for _, m := range list {
		out = append(out, message.IDMap{Container: int(m.ContainerID), Host: int(m.HostID), Size: int(m.Size)})
	}
	return out
}

func device(d *rspec.LinuxDevice) message.Device {
	out := message.Device{Path: d.Path, Source: d.Path, Major: d.Major, Minor: d.Minor, Mode: 0o666}
	if d.Type != "" {
		out.Type = d.Type[0]
	}
	if d.FileMode != nil {
		out.Mode = uint32(*d.FileMode & 0o777)
	}
	if d.UID != nil {
		out.UID = int(*d.UID)
	}
	if d.GID != nil {
		out.GID = int(*d.GID)
	}
	return out
}

func addHooks(h *rspec.Hooks, l *message.Launch, init *message.Init) {
	//lint:ignore SA1019 bundles still have prestart hooks
	l.Hooks.Prestart = hooks(h.Prestart)
	l.Hooks.CreateRuntime = hooks(h.CreateRuntime)
	init.HooksWanted = len(l.Hooks.Prestart)+len(l.Hooks.CreateRuntime) > 0
	l.Hooks.Poststart = hooks(h.Poststart)
	l.Hooks.Poststop = hooks(h.Poststop)
	init.CreateHooks = hooks(h.CreateContainer)
	init.StartHooks = hooks(h.StartContainer)
}

func hooks(list []rspec.Hook) []message.Hook {
	var out []message.Hook
	for _, h := range list {
		m := message.Hook{Path: h.Path, Args: h.Args, Env: h.Env}
		if h.Timeout != nil {
			m.Timeout = *h.Timeout
		}
		out = append(out, m)
	}
	return out
}

// Process translates a process of the configuration, or one that enters a
// running container.
func Process(p *rspec.Process, in *Input) (*message.Process, error) {
	out := &message.Process{
		Args: p.Args, Env: p.Env, Cwd: p.Cwd, Umask: -1, Terminal: p.Terminal, Size: in.Size,
		NoNewPrivs: p.NoNewPrivileges, OOMScore: p.OOMScoreAdj, AppArmor: p.ApparmorProfile, SELinux: p.SelinuxLabel,
		SetHome: true, KeepFDs: in.KeepFDs, Given: in.Given, Orphan: in.Orphan,
	}
	if p.User.Umask != nil {
		out.Umask = int(*p.User.Umask)
	}
	if p.ConsoleSize != nil && out.Size == (message.Size{}) {
		out.Size = message.Size{Rows: uint16(p.ConsoleSize.Height), Cols: uint16(p.ConsoleSize.Width)}
	}
	if in.UserByName {
		out.UserSpec, out.AddGroups = p.User.Username, in.AddGroups
	} else {
		out.HasIDs, out.UID, out.GID = true, int(p.User.UID), int(p.User.GID)
		for _, g := range p.User.AdditionalGids {
			out.Groups = append(out.Groups, int(g))
		}
	}
	for _, r := range p.Rlimits {
		n, ok := rlimits(r.Type)
		if !ok {
			return nil, fmt.Errorf("resource limit %q is unknown", r.Type)
		}
		out.Rlimits = append(out.Rlimits, message.Rlimit{Resource: n, Soft: r.Soft, Hard: r.Hard})
	}
	if c := p.Capabilities; c != nil {
		for _, set := range []struct {
			to    *uint64
			names []string
		}{
			{&out.Caps.Bounding, c.Bounding},
			{&out.Caps.Effective, c.Effective},
			{&out.Caps.Permitted, c.Permitted},
			{&out.Caps.Inheritable, c.Inheritable},
			{&out.Caps.Ambient, c.Ambient},
		} {
			for _, name := range set.names {
				// What this kernel does not know is left out (config.md).
				bit, _ := capability.Parse(name)
				*set.to |= bit
			}
		}
	}
	if in.Filter != nil {
		out.Seccomp, out.Flags = in.Filter.BPF, in.Filter.Flags
	}
	return out, nil
}

// rlimits returns the number of a resource (getrlimit(2)).
func rlimits(name string) (int, bool) {
	for i, n := range [...]string{
		"CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING",
		"MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
	} {
		if strings.TrimPrefix(name, "RLIMIT_") == n {
			return i, true
		}
	}
	return 0, false
}
