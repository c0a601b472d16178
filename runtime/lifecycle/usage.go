package lifecycle

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"skiff/storage/container"
)

// Usage is what a container has used since its start, and holds now.
type Usage struct {
	CPU            time.Duration // of all processors together
	Memory         int64         // bytes held now, without what the kernel would give back at once
	MemoryLimit    int64         // bytes: the container's, else the machine's
	Received, Sent int64         // bytes through the network, loopback apart
	Read, Written  int64         // bytes from and to disks
	Tasks          int           // processes and threads
}

// Measure asks the kernel what a running container uses: its control group
// where it has one of its own, else its processes, of which those that have
// ended do not count. ErrNotRunning.
func Measure(c *container.Container) (Usage, error) {
	pids, err := Pids(c)
	if err != nil {
		return Usage{}, err
	}
	u := Usage{MemoryLimit: machineMemory()}
	u.Received, u.Sent = networkBytes(pids[0])
	dir := CgroupOf(c, pids[0])
	for _, pid := range pids {
		u.add(pid)
	}
	if dir != "" {
		u.overrule(dir)
	}
	return u, nil
}

func machineMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit)
}

// add counts a process. One that has just ended counts nothing.
func (u *Usage) add(pid int) {
	s, err := ReadStat(pid)
	if err != nil {
		return
	}
	u.CPU += time.Duration(s.User+s.System) * time.Second / 100
	u.Tasks += s.Threads
	dir := fmt.Sprintf("/proc/%d/", pid)
	// Pages that several share are counted in parts (proc_pid_smaps(5)).
	if pss, ok := numberAfter(dir+"smaps_rollup", "Pss:"); ok {
		u.Memory += pss * 1024
	} else {
		u.Memory += s.Resident * int64(os.Getpagesize())
	}
	if n, ok := numberAfter(dir+"io", "read_bytes:"); ok {
		u.Read += n
	}
	if n, ok := numberAfter(dir+"io", "\nwrite_bytes:"); ok {
		u.Written += n
	}
}

// overrule takes from the control group what its controllers know
// (https://docs.kernel.org/admin-guide/cgroup-v2.html).
func (u *Usage) overrule(dir string) {
	file := func(name string) string { return filepath.Join(dir, name) }
	if usec, ok := numberAfter(file("cpu.stat"), "usage_usec "); ok {
		u.CPU = time.Duration(usec) * time.Microsecond
	}
	if n, ok := numberAfter(file("memory.current"), ""); ok {
		// What docker shows: file pages that nobody used lately are as good as free.
		if inactive, ok := numberAfter(file("memory.stat"), "\ninactive_file "); ok && inactive < n {
			n -= inactive
		}
		u.Memory = n
	}
	if n, ok := numberAfter(file("memory.max"), ""); ok && n < u.MemoryLimit {
		u.MemoryLimit = n
	}
	if n, ok := numberAfter(file("pids.current"), ""); ok {
		u.Tasks = int(n)
	}
	if data, err := os.ReadFile(file("io.stat")); err == nil {
		u.Read, u.Written = 0, 0
		for _, word := range strings.Fields(string(data)) {
			key, value, _ := strings.Cut(word, "=")
			n, _ := strconv.ParseInt(value, 10, 64) // other words have no number
			switch key {
			case "rbytes":
				u.Read += n
			case "wbytes":
				u.Written += n
			}
		}
	}
}

// numberAfter returns the number behind a key in a file of the kernel's.
func numberAfter(path, key string) (int64, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	_, rest, ok := strings.Cut("\n"+string(data), key)
	if key == "" {
		rest, ok = string(data), true
	}
	f := strings.Fields(rest)
	if !ok || len(f) == 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(f[0], 10, 64)
	return n, err == nil
}

// networkBytes sums the interfaces of a process's network namespace.
func networkBytes(pid int) (received, sent int64) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(data)) {
		name, numbers, ok := strings.Cut(line, ":")
		f := strings.Fields(numbers)
		if !ok || len(f) < 9 || strings.TrimSpace(name) == "lo" {
			continue
		}
		in, _ := strconv.ParseInt(f[0], 10, 64)
		out, _ := strconv.ParseInt(f[8], 10, 64)
		received, sent = received+in, sent+out
	}
	return received, sent
}
