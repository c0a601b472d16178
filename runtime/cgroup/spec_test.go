package cgroup

import (
	"slices"
	"testing"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
)

func TestSpecSettings(t *testing.T) {
	ptr := func(n int64) *int64 { return &n }
	unsigned := func(n uint64) *uint64 { return &n }
	weight := uint16(500)
	for name, c := range map[string]struct {
		resources rspec.LinuxResources
		one, two  []string // "file value"
	}{
		"memory and swap": {
			rspec.LinuxResources{Memory: &rspec.LinuxMemory{Limit: ptr(64 << 20), Swap: ptr(96 << 20)}},
			[]string{"memory.limit_in_bytes 67108864", "memory.memsw.limit_in_bytes 100663296"},
			[]string{"memory.max 67108864", "memory.swap.max 33554432"},
		},
		"memory without limit": {
			rspec.LinuxResources{Memory: &rspec.LinuxMemory{Limit: ptr(-1), Swap: ptr(-1)}},
			[]string{"memory.limit_in_bytes -1", "memory.memsw.limit_in_bytes -1"},
			[]string{"memory.max max", "memory.swap.max max"},
		},
		"half a processor": {
			rspec.LinuxResources{CPU: &rspec.LinuxCPU{Quota: ptr(50000), Shares: unsigned(1024), Cpus: "0-1"}},
			[]string{"cpu.shares 1024", "cpu.cfs_quota_us 50000", "cpuset.cpus 0-1"},
			[]string{"cpu.weight 39", "cpu.max 50000 100000", "cpuset.cpus 0-1"},
		},
		"a period alone": {
			rspec.LinuxResources{CPU: &rspec.LinuxCPU{Period: unsigned(20000)}},
			[]string{"cpu.cfs_period_us 20000"},
			[]string{"cpu.max max 20000"},
		},
		"processes": {
			rspec.LinuxResources{Pids: &rspec.LinuxPids{Limit: ptr(-1)}},
			[]string{"pids.max max"},
			[]string{"pids.max max"},
		},
		"block devices": {
			rspec.LinuxResources{BlockIO: &rspec.LinuxBlockIO{Weight: &weight, ThrottleReadBpsDevice: []rspec.LinuxThrottleDevice{throttle(8, 16, 1000)}}},
			[]string{"blkio.weight 500", "blkio.throttle.read_bps_device 8:16 1000"},
			[]string{"io.weight default 4950", "io.max 8:16 rbps=1000"},
		},
		"devices": {
			rspec.LinuxResources{Devices: []rspec.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "c", Major: ptr(10), Minor: ptr(229)}}},
			append([]string{"devices.deny a *:* rwm", "devices.allow c 10:229 rwm"}, prefixed("devices.allow ", always)...),
			nil,
		},
		"what only version 2 has": {
			rspec.LinuxResources{Unified: map[string]string{"memory.high": "1000"}},
			nil,
			[]string{"memory.high 1000"},
		},
	} {
		for version, want := range map[int][]string{1: c.one, 2: c.two} {
			var got []string
			for _, s := range specSettings(&c.resources, version) {
				got = append(got, s.File+" "+s.Value)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, version %d: %q, want %q", name, version, got, want)
			}
		}
	}
	if Limits(&rspec.LinuxResources{Devices: []rspec.LinuxDeviceCgroup{{Access: "rwm"}}}) || Limits(nil) || !Limits(&rspec.LinuxResources{Pids: &rspec.LinuxPids{Limit: ptr(1)}}) {
		t.Error("what is a limit")
	}
}

func throttle(major, minor int64, rate uint64) (d rspec.LinuxThrottleDevice) {
	d.Major, d.Minor, d.Rate = major, minor, rate
	return d
}

func prefixed(prefix string, list []string) (all []string) {
	for _, s := range list {
		all = append(all, prefix+s)
	}
	return all
}
