// Package cgroup gives a container a control group of its own with the limits
// that were asked for: the parent's side of it. On cgroup version 2 that is below
// a unit whose subtree systemd has delegated, else in a scope that the user's
// systemd makes; as root, on either version, the hierarchy itself. Where there is
// none of these, Warnings says what is missing. A container without limits has no
// control group of its own, and pays for none.
//
// https://docs.kernel.org/admin-guide/cgroup-v2.html, cgroups(7).
package cgroup

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"skiff/storage/container"
)

// Setting is one limit: what to write into which file of a control group.
type Setting struct {
	Flag       string // of the command line, "--memory"
	Controller string
	File       string
	Value      string
	// Discarded is docker's warning where the limit cannot be applied.
	Discarded string
}

// period is the kernel's scheduling period in microseconds unless one is given.
const period = 100000

const unlimited = "max"

// Settings returns the limits that h asks for, for the version of the hierarchy.
// The order is one in which the kernel takes them.
func Settings(h *container.Host, version int) []Setting {
	if version == 1 {
		return settings1(h)
	}
	var list []Setting
	add := func(flag, file, value, discarded string) {
		controller, _, _ := strings.Cut(file, ".")
		list = append(list, Setting{flag, controller, file, value, discarded})
	}
	if h.Memory > 0 {
		add("--memory", "memory.max", number(h.Memory), noMemory)
		// Without a word about swap docker allows as much of it again.
		swap := unlimited
		switch {
		case h.MemorySwap == 0:
			swap = number(h.Memory)
		case h.MemorySwap > 0:
			swap = number(h.MemorySwap - h.Memory) // docker's figure is both together
		}
		add("--memory-swap", "memory.swap.max", swap, noSwap)
	}
	if h.MemoryReserved > 0 {
		add("--memory-reservation", "memory.low", number(h.MemoryReserved), noReservation)
	}
	if quota, p := quota(h); quota != 0 || h.CPUPeriod > 0 {
		add("--cpus", "cpu.max", orMax(quota)+" "+number(p), noQuota)
	}
	if h.CPUShares > 0 {
		add("--cpu-shares", "cpu.weight", number(weight(h.CPUShares)), noShares)
	}
	if h.CpusetCpus != "" {
		add("--cpuset-cpus", "cpuset.cpus", h.CpusetCpus, noCpuset)
	}
	if h.CpusetMems != "" {
		add("--cpuset-mems", "cpuset.mems", h.CpusetMems, noCpuset)
	}
	if n := h.PidsLimit; n != nil && *n != 0 {
		add("--pids-limit", "pids.max", orMax(*n), noPids)
	}
	if h.BlkioWeight > 0 {
		add("--blkio-weight", "io.weight", "default "+number(ioWeight(int64(h.BlkioWeight))), noWeight)
	}
	for _, d := range h.BlkioWeightDevice {
		if name, err := deviceNumber(d.Path); err == nil {
			add("--blkio-weight-device", "io.weight", name+" "+number(ioWeight(int64(d.Weight))), noWeightDevice)
		}
	}
	for _, rate := range rates(h) {
		if name, err := deviceNumber(rate.device.Path); err == nil {
			add(rate.flag, "io.max", name+" "+rate.key+"="+number(int64(rate.device.Rate)), rate.discarded)
		}
	}
	return list
}

func settings1(h *container.Host) []Setting {
	var list []Setting
	add := func(flag, controller, file, value, discarded string) {
		list = append(list, Setting{flag, controller, file, value, discarded})
	}
	if h.Memory > 0 {
		add("--memory", "memory", "memory.limit_in_bytes", number(h.Memory), noMemory)
		swap := h.MemorySwap
		if swap == 0 {
			swap = 2 * h.Memory
		}
		add("--memory-swap", "memory", "memory.memsw.limit_in_bytes", number(swap), noSwap)
	}
	if h.MemoryReserved > 0 {
		add("--memory-reservation", "memory", "memory.soft_limit_in_bytes", number(h.MemoryReserved), noReservation)
	}
	if quota, p := quota(h); quota != 0 || h.CPUPeriod > 0 {
		add("--cpus", "cpu", "cpu.cfs_period_us", number(p), noQuota)
		if quota != 0 {
			add("--cpus", "cpu", "cpu.cfs_quota_us", number(quota), noQuota)
		}
	}
	if h.CPUShares > 0 {
		add("--cpu-shares", "cpu", "cpu.shares", number(h.CPUShares), noShares)
	}
	if h.CpusetCpus != "" {
		add("--cpuset-cpus", "cpuset", "cpuset.cpus", h.CpusetCpus, noCpuset)
	}
	if h.CpusetMems != "" {
		add("--cpuset-mems", "cpuset", "cpuset.mems", h.CpusetMems, noCpuset)
	}
	if n := h.PidsLimit; n != nil && *n != 0 {
		add("--pids-limit", "pids", "pids.max", orMax(*n), noPids)
	}
	if h.BlkioWeight > 0 {
		add("--blkio-weight", "blkio", "blkio.weight", number(int64(h.BlkioWeight)), noWeight)
	}
	for _, rate := range rates(h) {
		if name, err := deviceNumber(rate.device.Path); err == nil {
			add(rate.flag, "blkio", rate.file1, name+" "+number(int64(rate.device.Rate)), rate.discarded)
		}
	}
	return list
}

// rate is one limit of a device's speed.
type rate struct {
	flag, key, file1, discarded string
	device                      container.ThrottleDevice
}

func rates(h *container.Host) (list []rate) {
	for _, kind := range []struct {
		flag, key, file1, words string
		devices                 []container.ThrottleDevice
	}{
		{"--device-read-bps", "rbps", "blkio.throttle.read_bps_device", "BPS Block I/O read limit", h.BlkioDeviceReadBps},
		{"--device-write-bps", "wbps", "blkio.throttle.write_bps_device", "BPS Block I/O write limit", h.BlkioDeviceWriteBps},
		{"--device-read-iops", "riops", "blkio.throttle.read_iops_device", "IOPS Block read limit", h.BlkioDeviceReadIOps},
		{"--device-write-iops", "wiops", "blkio.throttle.write_iops_device", "IOPS Block write limit", h.BlkioDeviceWriteIOps},
	} {
		for _, d := range kind.devices {
			list = append(list, rate{
				kind.flag, kind.key, kind.file1,
				"Your kernel does not support " + kind.words + " or the cgroup is not mounted. Block I/O " + kind.words[:4] + kind.flag[9:] + " limit discarded.", d,
			})
		}
	}
	return list
}

// docker's words (moby, daemon/daemon_unix.go, verifyPlatformContainerResources).
const (
	noMemory       = "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded."
	noSwap         = "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap."
	noReservation  = "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded."
	noShares       = "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded."
	noQuota        = "Your kernel does not support CPU CFS scheduler or the cgroup is not mounted. CPU limit discarded."
	noCpuset       = "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded."
	noPids         = "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded."
	noWeight       = "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded."
	noWeightDevice = "Your kernel does not support Block I/O weight_device."
)

// Default is what a file of version 2 says when nothing was written to it.
func Default(file string) string {
	switch file {
	case "memory.low":
		return "0"
	case "cpu.weight":
		return "100"
	case "cpu.max":
		return unlimited + " " + number(period)
	case "cpuset.cpus", "cpuset.mems":
		return "\n"
	case "io.weight":
		return "default 100"
	}
	return unlimited
}

// quota is the processor time per period, in microseconds; 0 is none, -1 without
// limit.
func quota(h *container.Host) (quota, per int64) {
	if h.NanoCpus > 0 {
		return h.NanoCpus * period / 1e9, period
	}
	per = h.CPUPeriod
	if per == 0 {
		per = period
	}
	return h.CPUQuota, per
}

// weight puts docker's shares (2 to 262144) onto version 2's weights (1 to
// 10000), as the OCI runtimes do.
func weight(shares int64) int64 { return 1 + (min(max(shares, 2), 262144)-2)*9999/262142 }

// ioWeight does so for block devices (10 to 1000).
func ioWeight(w int64) int64 { return 1 + (min(max(w, 10), 1000)-10)*9999/990 }

func number(n int64) string { return strconv.FormatInt(n, 10) }

func orMax(n int64) string {
	if n <= 0 {
		return unlimited
	}
	return number(n)
}

// deviceNumber is a block device's "major:minor".
func deviceNumber(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", fmt.Errorf("device %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return "", fmt.Errorf("device %s: not a block device", path)
	}
	return fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)), nil
}
