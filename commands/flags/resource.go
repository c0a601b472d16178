package flags

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/failure"
	"skiff/commands/format"
	"skiff/runtime/cgroup"
	"skiff/storage/container"
)

// ParseUlimit reads the value of --ulimit: name=soft[:hard], -1 unlimited.
func ParseUlimit(s string) (container.Ulimit, error) {
	name, limits, ok := strings.Cut(s, "=")
	if !ok {
		return container.Ulimit{}, fmt.Errorf("invalid ulimit argument: %s", s)
	}
	switch name {
	case "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
		"rtprio", "rttime", "sigpending", "stack":
	case "as":
		// The kernel has it, docker does not; it would be a surprise to refuse it.
	default:
		return container.Ulimit{}, fmt.Errorf("invalid ulimit type: %s", name)
	}
	softText, hardText, two := strings.Cut(limits, ":")
	soft, err := parseLimit(softText)
	if err != nil {
		return container.Ulimit{}, err
	}
	hard := soft
	if two {
		if hard, err = parseLimit(hardText); err != nil {
			return container.Ulimit{}, err
		}
	}
	if hard != -1 && (soft == -1 || soft > hard) {
		return container.Ulimit{}, fmt.Errorf("ulimit soft limit must be less than or equal to hard limit: %d > %d", soft, hard)
	}
	return container.Ulimit{Name: name, Soft: soft, Hard: hard}, nil
}

func parseLimit(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil && n < -1 {
		return 0, fmt.Errorf("invalid ulimit value: %s", s)
	}
	return n, err
}

// parseCPUs reads a decimal number of processors into billionths.
func parseCPUs(s string) (int64, error) {
	whole, frac, _ := strings.Cut(s, ".")
	if len(frac) > 9 {
		return 0, errors.New("value is too precise")
	}
	n, err := strconv.ParseInt(whole+frac+strings.Repeat("0", 9-len(frac)), 10, 64)
	if err != nil || s == "." || strings.HasPrefix(frac, "-") || strings.HasPrefix(frac, "+") {
		return 0, fmt.Errorf("failed to parse %s as a rational number", s)
	}
	return n, nil
}

// ResourceFlags are the flags that limit what a container may use.
func ResourceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.UintFlag{Name: "blkio-weight", Usage: "Block IO (relative weight), between 10 and 1000, or 0 to disable"},
		&cli.StringSliceFlag{Name: "blkio-weight-device", Usage: "Block IO weight (relative device weight)"},
		&cli.StringFlag{Name: "cgroup-parent", Usage: "Optional parent cgroup for the container"},
		&cli.StringFlag{Name: "cgroups", Usage: "Control group of the container: enabled (with limits), split (always, below the caller's unit), disabled, no-conmon"},
		&cli.Int64Flag{Name: "cpu-period", Usage: "Limit CPU CFS (Completely Fair Scheduler) period"},
		&cli.Int64Flag{Name: "cpu-quota", Usage: "Limit CPU CFS (Completely Fair Scheduler) quota"},
		&cli.Int64Flag{Name: "cpu-rt-period", Usage: "Limit CPU real-time period in microseconds"},
		&cli.Int64Flag{Name: "cpu-rt-runtime", Usage: "Limit CPU real-time runtime in microseconds"},
		&cli.Int64Flag{Name: "cpu-shares", Aliases: []string{"c"}, Usage: "CPU shares (relative weight)"},
		Typed(&cli.StringFlag{Name: "cpus", Usage: "Number of CPUs"}, "decimal"),
		&cli.StringFlag{Name: "cpuset-cpus", Usage: "CPUs in which to allow execution (0-3, 0,1)"},
		&cli.StringFlag{Name: "cpuset-mems", Usage: "MEMs in which to allow execution (0-3, 0,1)"},
		&cli.StringSliceFlag{Name: "device-cgroup-rule", Usage: "Add a rule to the cgroup allowed devices list"},
		&cli.StringSliceFlag{Name: "device-read-bps", Usage: "Limit read rate (bytes per second) from a device"},
		&cli.StringSliceFlag{Name: "device-read-iops", Usage: "Limit read rate (IO per second) from a device"},
		&cli.StringSliceFlag{Name: "device-write-bps", Usage: "Limit write rate (bytes per second) to a device"},
		&cli.StringSliceFlag{Name: "device-write-iops", Usage: "Limit write rate (IO per second) to a device"},
		Typed(&cli.StringFlag{Name: "memory", Aliases: []string{"m"}, Usage: "Memory limit"}, "bytes"),
		Typed(&cli.StringFlag{Name: "kernel-memory", Usage: "Kernel memory limit", Hidden: true}, "bytes"),
		Typed(&cli.StringFlag{Name: "memory-reservation", Usage: "Memory soft limit"}, "bytes"),
		Typed(&cli.StringFlag{Name: "memory-swap", Usage: "Swap limit equal to memory plus swap: '-1' to enable unlimited swap"}, "bytes"),
		&cli.Int64Flag{Name: "memory-swappiness", Value: -1, Usage: "Tune container memory swappiness (0 to 100)"},
		&cli.BoolFlag{Name: "oom-kill-disable", Usage: "Disable OOM Killer"},
		&cli.IntFlag{Name: "oom-score-adj", Usage: "Tune host's OOM preferences (-1000 to 1000)"},
		&cli.Int64Flag{Name: "pids-limit", Usage: "Tune container pids limit (set -1 for unlimited)"},
		Typed(&cli.StringFlag{Name: "shm-size", Usage: "Size of /dev/shm"}, "bytes"),
		TypedList(&cli.StringSliceFlag{Name: "ulimit", Usage: "Ulimit options"}, "ulimit"),
	}
}

// Resources fills the limits of h. What it cannot be asked for yet it names in
// warnings, in docker's words where docker has any.
func Resources(c *cli.Context, h *container.Host) (warnings []string, err error) {
	for _, size := range []struct {
		flag string
		to   *int64
	}{{"memory", &h.Memory}, {"memory-reservation", &h.MemoryReserved}, {"memory-swap", &h.MemorySwap}, {"shm-size", &h.ShmSize}} {
		value := c.String(size.flag)
		if value == "" {
			continue
		}
		if size.flag == "memory-swap" && value == "-1" {
			*size.to = -1
			continue
		}
		if *size.to, err = format.ParseSize(value); err != nil {
			return nil, &failure.Value{Flag: size.flag, Value: value, Err: err}
		}
	}
	if value := c.String("cpus"); value != "" {
		if h.NanoCpus, err = parseCPUs(value); err != nil {
			return nil, &failure.Value{Flag: "cpus", Value: value, Err: err}
		}
	}
	for _, value := range c.StringSlice("ulimit") {
		u, err := ParseUlimit(value)
		if err != nil {
			return nil, &failure.Value{Flag: "ulimit", Value: value, Err: err}
		}
		h.Ulimits = append(h.Ulimits, u)
	}
	h.CPUShares, h.CPUPeriod, h.CPUQuota = c.Int64("cpu-shares"), c.Int64("cpu-period"), c.Int64("cpu-quota")
	h.CpusetCpus, h.CpusetMems = c.String("cpuset-cpus"), c.String("cpuset-mems")
	if err := blockDevices(c, h); err != nil {
		return nil, err
	}
	h.CgroupParent, h.CgroupMode = c.String("cgroup-parent"), c.String("cgroups")
	if err := cgroup.Check(h.CgroupMode); err != nil {
		return nil, &failure.Value{Flag: "cgroups", Value: h.CgroupMode, Err: err}
	}
	h.OomScoreAdj = c.Int("oom-score-adj")
	if c.IsSet("pids-limit") {
		n := c.Int64("pids-limit")
		h.PidsLimit = &n
	}
	if err := checkResources(h); err != nil {
		return nil, failure.Engine(err, "%v", err)
	}
	return append(cgroup.Warnings(h), unsupported(c)...), nil
}

func checkResources(h *container.Host) error {
	const least = 6 << 20
	switch {
	case h.Memory > 0 && h.Memory < least:
		return errors.New("Minimum memory limit allowed is 6MB")
	case h.Memory == 0 && h.MemorySwap > 0:
		return errors.New("You should always set the Memory limit when using Memoryswap limit, see usage")
	case h.Memory > 0 && h.MemorySwap > 0 && h.MemorySwap < h.Memory:
		return errors.New("Minimum memoryswap limit should be larger than memory limit, see usage")
	case h.Memory > 0 && h.MemoryReserved > h.Memory:
		return errors.New("Minimum memory limit can not be less than memory reservation limit, see usage")
	case h.NanoCpus < 0 || h.NanoCpus > math.MaxInt32*1e9:
		return fmt.Errorf("Range of CPUs is from 0.01 to %d.00", math.MaxInt32)
	case h.NanoCpus > 0 && (h.CPUPeriod > 0 || h.CPUQuota > 0):
		return errors.New("Conflicting options: Nano CPUs and CPU Period/Quota cannot both be set")
	case h.OomScoreAdj < -1000 || h.OomScoreAdj > 1000:
		return fmt.Errorf("Invalid value %d, range for oom score adj is [-1000, 1000]", h.OomScoreAdj)
	}
	return nil
}

// unsupported names the flags that have no effect here.
func unsupported(c *cli.Context) (warnings []string) {
	for _, name := range unsupportedFlags() {
		if c.IsSet(name) {
			warnings = append(warnings, "--"+name+" is not supported and has no effect.")
		}
	}
	return warnings
}

// updatable are the flags of ResourceFlags that update has.
var updatable = []string{
	"blkio-weight", "cpu-period", "cpu-quota", "cpu-rt-period", "cpu-rt-runtime", "cpu-shares", "cpus", "cpuset-cpus",
	"cpuset-mems", "memory", "kernel-memory", "memory-reservation", "memory-swap", "pids-limit",
}

func unsupportedFlags() []string {
	return []string{
		"cpu-rt-period", "cpu-rt-runtime", "device-cgroup-rule", "kernel-memory", "memory-swappiness", "oom-kill-disable",
	}
}

// UpdateFlags are the limits that can be changed later.
func UpdateFlags() []cli.Flag {
	return slices.DeleteFunc(ResourceFlags(), func(f cli.Flag) bool { return !slices.Contains(updatable, f.Names()[0]) })
}

// Update puts the limits that were given over those of h. What has no effect
// here is an error: there is nothing else that it could do.
func Update(c *cli.Context, h *container.Host) error {
	old := *h
	for _, name := range unsupportedFlags() {
		if c.IsSet(name) {
			return fmt.Errorf("--%s is not supported", name)
		}
	}
	var given container.Host
	given.Memory, given.MemorySwap, given.MemoryReserved = old.Memory, old.MemorySwap, old.MemoryReserved
	if !c.IsSet("cpu-period") && !c.IsSet("cpu-quota") {
		given.NanoCpus = old.NanoCpus
	}
	if old.NanoCpus > 0 && !c.IsSet("cpus") && (c.IsSet("cpu-period") || c.IsSet("cpu-quota")) {
		return errors.New("Conflicting options: CPU Period or Quota cannot be updated as NanoCPUs has already been set")
	}
	if c.IsSet("cpus") && (old.CPUPeriod > 0 || old.CPUQuota > 0) {
		return errors.New("Conflicting options: Nano CPUs cannot be updated as CPU Period or Quota has already been set")
	}
	if c.IsSet("memory") && !c.IsSet("memory-swap") && old.MemorySwap > 0 {
		if size, err := format.ParseSize(c.String("memory")); err == nil && size > old.MemorySwap {
			return errors.New("Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time")
		}
	}
	if _, err := Resources(c, &given); err != nil {
		return err
	}
	h.Memory, h.MemorySwap, h.MemoryReserved, h.NanoCpus = given.Memory, given.MemorySwap, given.MemoryReserved, given.NanoCpus
	for _, n := range []struct {
		flag string
		to   *int64
		from int64
	}{{"cpu-shares", &h.CPUShares, given.CPUShares}, {"cpu-period", &h.CPUPeriod, given.CPUPeriod}, {"cpu-quota", &h.CPUQuota, given.CPUQuota}} {
		if c.IsSet(n.flag) {
			*n.to = n.from
		}
	}
	if c.IsSet("blkio-weight") {
		h.BlkioWeight = given.BlkioWeight
	}
	if c.IsSet("cpuset-cpus") {
		h.CpusetCpus = given.CpusetCpus
	}
	if c.IsSet("cpuset-mems") {
		h.CpusetMems = given.CpusetMems
	}
	if given.PidsLimit != nil {
		h.PidsLimit = given.PidsLimit
	}
	return nil
}
