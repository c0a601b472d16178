package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"skiff/rootless"
)

// ForSpec makes the control group that a runtime configuration asks for
// (config-linux.md, "Control groups"), as root, and writes its limits. A path is
// below the mount point. Without a path and without limits, for an ordinary user,
// and where systemd is to make the group ("SLICE:PREFIX:NAME"), there is none: nil.
// unmet are the limits that this kernel has no file for. On error nothing is left.
func ForSpec(id, path string, r *rspec.LinuxResources) (g *Group, unmet []string, err error) {
	if r == nil {
		r = &rspec.LinuxResources{}
	}
	version := Version()
	named := path != ""
	if version == 0 || rootless.Rootless() || strings.Contains(path, ":") || !named && !Limits(r) {
		return nil, nil, nil
	}
	if !named {
		path = filepath.Join("skiff", id)
	}
	path = filepath.Join("/", path)
	list := specSettings(r, version)
	g = &Group{}
	defer func() {
		if err != nil {
			for _, dir := range g.Dirs {
				_ = os.Remove(dir)
			}
			g = nil
		}
	}()
	if version == 2 {
		err = g.makeUnified(path, list)
	} else {
		err = g.makeEach(path, list, named)
	}
	if err != nil {
		return g, nil, fmt.Errorf("make control group: %w", err)
	}
	for _, s := range list {
		dir := g.of(s.Controller, version)
		if err := write(dir, s.File, s.Value); dir == "" || errors.Is(err, os.ErrNotExist) {
			unmet = append(unmet, s.File)
		} else if err != nil {
			return g, nil, err
		}
	}
	return g, unmet, nil
}

// Limits reports whether a configuration asks for a limit. Devices are none: a
// container's own directory of devices has no others.
func Limits(r *rspec.LinuxResources) bool {
	return r != nil && slices.ContainsFunc(specSettings(r, 1), func(s Setting) bool { return s.Controller != "devices" }) || r != nil && len(r.Unified) > 0
}

// of is the group in the hierarchy of a controller, empty without one.
func (g *Group) of(controller string, version int) string {
	if version == 2 {
		return g.Dirs[0]
	}
	for _, dir := range g.Dirs {
		if hierarchy, _, _ := strings.Cut(strings.TrimPrefix(dir, mountPoint+"/"), "/"); hierarchy == controller {
			return dir
		}
	}
	return ""
}

// makeUnified makes the group on version 2, where each parent hands the controllers
// on.
func (g *Group) makeUnified(path string, list []Setting) error {
	dir := mountPoint
	for _, name := range strings.Split(strings.Trim(path, "/"), "/") {
		for _, s := range list {
			_ = write(dir, "cgroup.subtree_control", "+"+s.Controller) // missed where the limit is written
		}
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	g.Dirs = []string{dir}
	return nil
}

// makeEach makes the group in the hierarchies of version 1: in each if it has a
// name, which its maker will look for, else where it has a limit.
func (g *Group) makeEach(path string, list []Setting, named bool) error {
	hierarchies, err := os.ReadDir(mountPoint)
	if err != nil {
		return err
	}
	for _, h := range hierarchies {
		top := filepath.Join(mountPoint, h.Name())
		limited := slices.ContainsFunc(list, func(s Setting) bool { return s.Controller == h.Name() })
		if _, err := os.Stat(filepath.Join(top, "cgroup.procs")); err != nil || !h.IsDir() || !limited && (!named || h.Name() == "unified") {
			continue
		}
		dir := filepath.Join(top, path)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		g.Dirs = append(g.Dirs, dir)
		if h.Name() == "cpuset" {
			inherit(top, path)
		}
	}
	return nil
}

// specSettings are the limits of a runtime configuration, in an order in which the
// kernel takes them.
func specSettings(r *rspec.LinuxResources, version int) []Setting {
	b := &specBuilder{version: version}
	b.devices(r.Devices)
	if m := r.Memory; m != nil {
		b.memory(m)
	}
	if c := r.CPU; c != nil {
		b.cpu(c)
	}
	if r.Pids != nil && r.Pids.Limit != nil {
		b.add("pids.max", "pids.max", orMax(*r.Pids.Limit))
	}
	if r.BlockIO != nil {
		b.blockIO(r.BlockIO)
	}
	for _, l := range r.HugepageLimits {
		b.add("hugetlb."+l.Pagesize+".limit_in_bytes", "hugetlb."+l.Pagesize+".max", fmt.Sprint(l.Limit))
	}
	if n := r.Network; n != nil {
		if n.ClassID != nil {
			b.add("net_cls.classid", "", fmt.Sprint(*n.ClassID))
		}
		for _, p := range n.Priorities {
			b.add("net_prio.ifpriomap", "", fmt.Sprintf("%s %d", p.Name, p.Priority))
		}
	}
	if version == 2 {
		for file, value := range r.Unified {
			b.add("", file, value)
		}
	}
	return b.list
}

type specBuilder struct {
	version int
	list    []Setting
}

// add adds a setting by the names of its file on both versions, empty on one that
// has none.
func (b *specBuilder) add(one, two, value string) {
	file := one
	if b.version == 2 {
		file = two
	}
	if file != "" {
		controller, _, _ := strings.Cut(file, ".")
		b.list = append(b.list, Setting{Controller: controller, File: file, Value: value})
	}
}

func addNumber[N int64 | uint64](b *specBuilder, one, two string, n *N) {
	if n != nil {
		b.add(one, two, fmt.Sprint(*n))
	}
}

func (b *specBuilder) memory(m *rspec.LinuxMemory) {
	if m.Limit != nil {
		b.add("memory.limit_in_bytes", "", number(*m.Limit))
		b.add("", "memory.max", orMax(*m.Limit))
	}
	if m.Swap != nil {
		b.add("memory.memsw.limit_in_bytes", "", number(*m.Swap))
		if swap := *m.Swap; swap > 0 && m.Limit != nil && *m.Limit > 0 { // version 1 counts both together
			b.add("", "memory.swap.max", number(max(swap-*m.Limit, 0)))
		} else {
			b.add("", "memory.swap.max", orMax(swap))
		}
	}
	addNumber(b, "memory.soft_limit_in_bytes", "memory.low", m.Reservation)
	//lint:ignore SA1019 bundles still have it
	addNumber(b, "memory.kmem.limit_in_bytes", "", m.Kernel)
	addNumber(b, "memory.kmem.tcp.limit_in_bytes", "", m.KernelTCP)
	addNumber(b, "memory.swappiness", "", m.Swappiness)
	if off := m.DisableOOMKiller; off != nil && *off {
		b.add("memory.oom_control", "", "1")
	}
}

func (b *specBuilder) cpu(c *rspec.LinuxCPU) {
	if c.Shares != nil {
		b.add("cpu.shares", "cpu.weight", fmt.Sprint(*c.Shares))
		if b.version == 2 {
			b.list[len(b.list)-1].Value = number(weight(int64(min(*c.Shares, 1<<18))))
		}
	}
	addNumber(b, "cpu.cfs_period_us", "", c.Period)
	addNumber(b, "cpu.cfs_quota_us", "", c.Quota)
	if c.Period != nil || c.Quota != nil {
		quota, per := int64(0), uint64(period)
		if c.Quota != nil {
			quota = *c.Quota
		}
		if c.Period != nil {
			per = *c.Period
		}
		b.add("", "cpu.max", fmt.Sprintf("%s %d", orMax(quota), per))
	}
	addNumber(b, "cpu.rt_period_us", "", c.RealtimePeriod)
	addNumber(b, "cpu.rt_runtime_us", "", c.RealtimeRuntime)
	if c.Cpus != "" {
		b.add("cpuset.cpus", "cpuset.cpus", c.Cpus)
	}
	if c.Mems != "" {
		b.add("cpuset.mems", "cpuset.mems", c.Mems)
	}
}

func (b *specBuilder) blockIO(io *rspec.LinuxBlockIO) {
	if io.Weight != nil {
		b.add("blkio.weight", "", fmt.Sprint(*io.Weight))
		b.add("", "io.weight", "default "+number(ioWeight(int64(*io.Weight))))
	}
	if io.LeafWeight != nil {
		b.add("blkio.leaf_weight", "", fmt.Sprint(*io.LeafWeight))
	}
	for _, d := range io.WeightDevice {
		if d.Weight != nil {
			b.add("blkio.weight_device", "", fmt.Sprintf("%d:%d %d", d.Major, d.Minor, *d.Weight))
			b.add("", "io.weight", fmt.Sprintf("%d:%d %d", d.Major, d.Minor, ioWeight(int64(*d.Weight))))
		}
		if d.LeafWeight != nil {
			b.add("blkio.leaf_weight_device", "", fmt.Sprintf("%d:%d %d", d.Major, d.Minor, *d.LeafWeight))
		}
	}
	for _, rate := range []struct {
		one, key string
		devices  []rspec.LinuxThrottleDevice
	}{
		{"read_bps_device", "rbps", io.ThrottleReadBpsDevice},
		{"write_bps_device", "wbps", io.ThrottleWriteBpsDevice},
		{"read_iops_device", "riops", io.ThrottleReadIOPSDevice},
		{"write_iops_device", "wiops", io.ThrottleWriteIOPSDevice},
	} {
		for _, d := range rate.devices {
			b.add("blkio.throttle."+rate.one, "", fmt.Sprintf("%d:%d %d", d.Major, d.Minor, d.Rate))
			b.add("", "io.max", fmt.Sprintf("%d:%d %s=%d", d.Major, d.Minor, rate.key, d.Rate))
		}
	}
}

// always are the devices that every container may use (config-linux.md, "Default
// Devices"), and its terminals.
var always = []string{"c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm"}

// devices are the rules of version 1's controller of devices. Version 2 has none but
// by a program in the kernel.
func (b *specBuilder) devices(rules []rspec.LinuxDeviceCgroup) {
	part := func(n *int64) string {
		if n == nil || *n < 0 {
			return "*"
		}
		return number(*n)
	}
	denied := false
	for _, rule := range rules {
		file, kind, access := "devices.deny", rule.Type, rule.Access
		if rule.Allow {
			file = "devices.allow"
		}
		if kind == "" {
			kind = "a"
		}
		if access == "" {
			access = "rwm"
		}
		denied = denied || !rule.Allow
		b.add(file, "", fmt.Sprintf("%s %s:%s %s", kind, part(rule.Major), part(rule.Minor), access))
	}
	if denied {
		for _, line := range always {
			b.add("devices.allow", "", line)
		}
	}
}
