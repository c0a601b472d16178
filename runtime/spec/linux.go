package spec

import (
	"errors"
	"fmt"
	"os"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"skiff/storage/container"
)

// namespaces decides which namespaces are new, which are another container's,
// and which stay this machine's (left out of the list).
func namespaces(s *rspec.Spec, cfg *container.Config, f *Facts) error {
	h := &cfg.Host
	add := func(t rspec.LinuxNamespaceType, mode, file string) error {
		switch {
		case mode == "host":
			return nil
		case strings.HasPrefix(mode, "container:"):
			dir, err := f.Namespaces(strings.TrimPrefix(mode, "container:"))
			if err != nil {
				return err
			}
			s.Linux.Namespaces = append(s.Linux.Namespaces, rspec.LinuxNamespace{Type: t, Path: dir + "/" + file})
			return nil
		case strings.HasPrefix(mode, "ns:"):
			s.Linux.Namespaces = append(s.Linux.Namespaces, rspec.LinuxNamespace{Type: t, Path: strings.TrimPrefix(mode, "ns:")})
			return nil
		}
		s.Linux.Namespaces = append(s.Linux.Namespaces, rspec.LinuxNamespace{Type: t})
		return nil
	}
	uts := h.UTSMode
	if uts == "" && strings.HasPrefix(h.NetworkMode, "container:") {
		uts = h.NetworkMode // docker shares the name with the network
	}
	if strings.HasPrefix(uts, "container:") {
		s.Hostname, s.Domainname = "", ""
	}
	for _, ns := range []struct {
		t          rspec.LinuxNamespaceType
		mode, file string
	}{
		{rspec.MountNamespace, "", "mnt"},
		{rspec.PIDNamespace, h.PidMode, "pid"},
		{rspec.NetworkNamespace, h.NetworkMode, "net"},
		{rspec.IPCNamespace, h.IpcMode, "ipc"},
		{rspec.UTSNamespace, uts, "uts"},
		{rspec.CgroupNamespace, h.CgroupnsMode, "cgroup"},
	} {
		if err := add(ns.t, ns.mode, ns.file); err != nil {
			return err
		}
	}
	if len(f.UIDMap) > 0 {
		s.Linux.Namespaces = append(s.Linux.Namespaces, rspec.LinuxNamespace{Type: rspec.UserNamespace})
	}
	return nil
}

// CloneFlags returns the namespaces that a container of this configuration gets
// as CLONE_NEW* flags, and whether that is all there is to say: false when it
// joins another's or has a user namespace of its own.
func CloneFlags(h *container.Host) (flags uintptr, all bool) {
	if h.UsernsMode != "" && h.UsernsMode != "host" {
		return 0, false
	}
	s := &rspec.Spec{Linux: &rspec.Linux{}}
	err := namespaces(s, &container.Config{Host: *h}, &Facts{Namespaces: func(string) (string, error) {
		return "", errors.New("joins another container")
	}})
	if err != nil {
		return 0, false
	}
	for _, ns := range s.Linux.Namespaces {
		flag, ok := NamespaceFlag(ns.Type)
		if !ok || ns.Path != "" {
			return 0, false
		}
		flags |= uintptr(flag)
	}
	return flags, true
}

// NamespaceFlag returns the CLONE_NEW* constant of a namespace by the
// specification's name, and whether there is one.
func NamespaceFlag(t rspec.LinuxNamespaceType) (int, bool) {
	switch t {
	case rspec.PIDNamespace:
		return unix.CLONE_NEWPID, true
	case rspec.NetworkNamespace:
		return unix.CLONE_NEWNET, true
	case rspec.MountNamespace:
		return unix.CLONE_NEWNS, true
	case rspec.IPCNamespace:
		return unix.CLONE_NEWIPC, true
	case rspec.UTSNamespace:
		return unix.CLONE_NEWUTS, true
	case rspec.UserNamespace:
		return unix.CLONE_NEWUSER, true
	case rspec.CgroupNamespace:
		return unix.CLONE_NEWCGROUP, true
	}
	return 0, false
}

// devices adds --device, and with --privileged every device that the user may
// open.
func devices(s *rspec.Spec, cfg *container.Config, f *Facts) error {
	list := cfg.Host.Devices
	if cfg.Host.Privileged {
		for _, p := range f.HostDevices {
			list = append(list, container.Device{PathOnHost: p, PathInContainer: p})
		}
	}
	for _, d := range list {
		dev, err := device(d)
		if err != nil {
			if cfg.Host.Privileged {
				continue // it went between two looks
			}
			return err
		}
		if f.Rootless {
			s.Mounts = append(s.Mounts, boundNode(dev.Path, d.PathOnHost))
			continue
		}
		s.Linux.Devices = append(s.Linux.Devices, *dev)
	}
	return nil
}

func device(d container.Device) (*rspec.LinuxDevice, error) {
	var st unix.Stat_t
	if err := unix.Stat(d.PathOnHost, &st); err != nil {
		return nil, fmt.Errorf("error gathering device information while adding custom device %q: %w", d.PathOnHost, err)
	}
	kind := map[uint32]string{unix.S_IFCHR: "c", unix.S_IFBLK: "b"}[st.Mode&unix.S_IFMT]
	if kind == "" {
		return nil, fmt.Errorf("error gathering device information while adding custom device %q: not a device node", d.PathOnHost)
	}
	mode := os.FileMode(st.Mode & 0o777)
	out := &rspec.LinuxDevice{
		Path: d.PathInContainer, Type: kind, Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev)), FileMode: &mode,
	}
	if out.Path == "" {
		out.Path = d.PathOnHost
	}
	return out, nil
}
