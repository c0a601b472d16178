package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"skiff/storage/container"
)

// Limit applies the limits of h that differ from the container's present ones
// to its control group (https://docs.kernel.org/admin-guide/cgroup-v2.html).
// init is its first process. What cannot be applied now is named in warnings;
// it counts from the next start, where the system allows. On error the limits
// are as they were.
func Limit(c *container.Container, init int, h *container.Host) (warnings []string, err error) {
	var undo []func() error
	defer func() {
		if err != nil {
			for _, u := range undo {
				err = errors.Join(err, u())
			}
		}
	}()
	dir := CgroupOf(c, init)
	for _, l := range changedLimits(&c.Config.Host, h) {
		if dir == "" {
			warnings = append(warnings, l.flag+": the running container has no control group of its own; the limit counts from its next start.")
			continue
		}
		path := filepath.Join(dir, l.file)
		before, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			warnings = append(warnings, fmt.Sprintf("%s: the controller of %s is not delegated to this user; the limit is not applied.", l.flag, l.file))
			continue
		}
		if err == nil {
			err = os.WriteFile(path, []byte(l.value), 0)
		}
		if err != nil {
			return warnings, fmt.Errorf("set %s to %s: %w", l.file, l.value, err)
		}
		undo = append(undo, func() error { return os.WriteFile(path, before, 0) })
	}
	return warnings, nil
}

type limit struct{ flag, file, value string }

// changedLimits are the files of the control group to write.
func changedLimits(old, now *container.Host) (list []limit) {
	add := func(changed bool, flag, file, value string) {
		if changed {
			list = append(list, limit{flag, file, value})
		}
	}
	add(now.MemoryReserved != old.MemoryReserved, "--memory-reservation", "memory.low", strconv.FormatInt(max(now.MemoryReserved, 0), 10))
	add(now.Memory != old.Memory, "--memory", "memory.max", orMax(now.Memory))
	if swap := now.MemorySwap; swap != old.MemorySwap {
		if swap > 0 {
			swap = max(swap-now.Memory, 0) // docker's figure is both together
			add(true, "--memory-swap", "memory.swap.max", strconv.FormatInt(swap, 10))
		} else {
			add(true, "--memory-swap", "memory.swap.max", "max")
		}
	}
	quota, period := now.CPUQuota, now.CPUPeriod
	if now.NanoCpus > 0 {
		quota, period = now.NanoCpus/10000, 100000 // microseconds
	}
	if period == 0 {
		period = 100000
	}
	add(now.NanoCpus != old.NanoCpus || now.CPUQuota != old.CPUQuota || now.CPUPeriod != old.CPUPeriod,
		"--cpus", "cpu.max", orMax(quota)+" "+strconv.FormatInt(period, 10))
	// The kernel's own scale of shares (2 to 262144) onto weights (1 to 10000).
	weight := 1 + (max(now.CPUShares, 2)-2)*9999/262142
	add(now.CPUShares != old.CPUShares, "--cpu-shares", "cpu.weight", strconv.FormatInt(weight, 10))
	add(now.CpusetCpus != old.CpusetCpus, "--cpuset-cpus", "cpuset.cpus", now.CpusetCpus)
	add(now.CpusetMems != old.CpusetMems, "--cpuset-mems", "cpuset.mems", now.CpusetMems)
	if n := now.PidsLimit; n != nil && (old.PidsLimit == nil || *n != *old.PidsLimit) {
		add(true, "--pids-limit", "pids.max", orMax(*n))
	}
	return list
}

func orMax(n int64) string {
	if n <= 0 {
		return "max"
	}
	return strconv.FormatInt(n, 10)
}
