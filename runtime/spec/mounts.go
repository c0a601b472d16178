package spec

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"skiff/storage/container"
)

// mounts lists docker's own mounts first, then the user's, parents before what
// is below them.
func mounts(s *rspec.Spec, cfg *container.Config, f *Facts) error {
	pts := []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}
	if !f.OneID && maps(f.GIDMap, ttyGroup) {
		pts = append(pts, "gid=5")
	}
	sys := []string{"nosuid", "noexec", "nodev", "ro"}
	cgroup := []string{"ro", "nosuid", "noexec", "nodev", "relatime"}
	if cfg.Host.Privileged {
		sys = sys[:3]
	}
	if cfg.Host.Privileged || cfg.ForSystemd() || slices.ContainsFunc(cfg.Host.SecurityOpt, writableCgroups) {
		cgroup = cgroup[1:]
	}
	list := []rspec.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: pts},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: sys},
	}
	if f.UnifiedCgroup {
		list = append(list, rspec.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup2", Source: "cgroup", Options: cgroup})
	}
	ipc, err := ipcMounts(cfg, f)
	if err != nil {
		return err
	}
	list = append(list, ipc...)
	if cfg.ForSystemd() {
		// What its container interface wants to find writable and empty.
		for _, dest := range [...]string{"/run", "/run/lock", "/tmp", "/var/log/journal"} {
			list = append(list, rspec.Mount{Destination: dest, Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "tmpcopyup"}})
		}
	}
	own := len(list)
	for _, m := range cfg.Mounts {
		list = append(list, userMount(&m))
	}
	for dest, options := range cfg.Host.Tmpfs {
		list = append(list, tmpfs(dest, options))
	}
	list = append(list[:own:own], editMounts(list[own:], f.Edits)...)
	// A mount of the user's replaces ours at the same place.
	users := list[own:]
	for _, m := range users {
		dest := path.Clean(m.Destination)
		if i := slices.IndexFunc(list[:own], func(o rspec.Mount) bool { return o.Destination == dest }); i >= 0 && dest != "/proc" {
			list[i].Destination = ""
		}
	}
	list = slices.DeleteFunc(list, func(m rspec.Mount) bool { return m.Destination == "" })
	own -= own + len(users) - len(list)
	sort.SliceStable(list[own:], func(i, j int) bool {
		return depth(list[own+i].Destination) < depth(list[own+j].Destination)
	})
	s.Mounts = list
	return nil
}

func writableCgroups(o string) bool {
	value, ok := strings.CutPrefix(o, "writable-cgroups=")
	on, _ := strconv.ParseBool(value) // checked by the command
	return ok && on
}

// ttyGroup is the group that terminals belong to.
const ttyGroup = 5

// maps reports whether a user namespace has the id; without a list it is not the
// container's own and has all.
func maps(list []rspec.LinuxIDMapping, id uint32) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(m rspec.LinuxIDMapping) bool {
		return id >= m.ContainerID && id-m.ContainerID < m.Size
	})
}

func depth(dest string) int { return strings.Count(path.Clean(dest), "/") }

// ipcMounts are the mounts that show an IPC namespace.
func ipcMounts(cfg *container.Config, f *Facts) ([]rspec.Mount, error) {
	queues := rspec.Mount{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}}
	shm := rspec.Mount{
		Destination: "/dev/shm", Type: "tmpfs", Source: "shm",
		Options: []string{"nosuid", "noexec", "nodev", "mode=1777", fmt.Sprintf("size=%d", cfg.Host.ShmSize)},
	}
	mode := cfg.Host.IpcMode
	switch {
	case mode == "host":
		bind := []string{"rbind", "nosuid", "noexec", "nodev"}
		mounts := []rspec.Mount{{Destination: "/dev/shm", Type: "bind", Source: "/dev/shm", Options: bind}}
		if f.HostQueues {
			mounts = append(mounts, rspec.Mount{Destination: "/dev/mqueue", Type: "bind", Source: "/dev/mqueue", Options: bind})
		}
		return mounts, nil
	case mode == "none":
		return []rspec.Mount{queues}, nil
	case strings.HasPrefix(mode, "container:"):
		dir, err := f.Namespaces(strings.TrimPrefix(mode, "container:"))
		if err != nil {
			return nil, err
		}
		shm.Type, shm.Source, shm.Options = "bind", path.Dir(dir)+"/root/dev/shm", []string{"rbind", "nosuid", "noexec", "nodev"}
	}
	return []rspec.Mount{queues, shm}, nil
}

func userMount(m *container.Mount) rspec.Mount {
	out := rspec.Mount{Destination: m.Destination, Type: "bind", Source: m.Source}
	if m.Tmpfs {
		out.Type, out.Source, out.Options = "tmpfs", "tmpfs", slices.Clone(m.Options)
		if m.Copy && m.RW {
			out.Options = append(out.Options, "tmpcopyup")
		}
	} else if m.Type == "image" || m.Overlay {
		out.Type = "image" // layers, with one of the container's own above
		if m.Subpath != "" {
			out.Options = append(out.Options, SubpathOption+m.Subpath)
		}
	} else if m.Type == "tmpfs" {
		out.Type, out.Source = "tmpfs", "tmpfs"
		out.Options = append([]string{"nosuid", "nodev", "noexec"}, m.Options...)
	} else {
		if m.Subpath != "" {
			out.Options = append(out.Options, SubpathOption+m.Subpath)
		}
		bind := "rbind"
		if m.NonRecursive {
			bind = "bind"
		}
		out.Options = append(out.Options, bind)
		if m.Propagation != "" {
			out.Options = append(out.Options, m.Propagation)
		}
	}
	if !m.RW {
		out.Options = append(out.Options, "ro")
		if out.Type == "bind" && !m.NonRecursive && !m.WritableBelow {
			out.Options = append(out.Options, "rro")
		}
	}
	return out
}

// SubpathOption marks the option that names a directory within a bind's source;
// it is resolved beneath it. Ours, not the specification's.
const SubpathOption = "x-skiff.subpath="

// tmpfs is --tmpfs with docker's defaults.
func tmpfs(dest, options string) rspec.Mount {
	m := rspec.Mount{Destination: dest, Type: "tmpfs", Source: "tmpfs", Options: []string{"noexec", "nosuid", "nodev", "tmpcopyup"}}
	if options != "" {
		m.Options = append(m.Options, strings.Split(options, ",")...)
	}
	return m
}
