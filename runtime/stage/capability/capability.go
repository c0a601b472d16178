// Package capability applies and names Linux capabilities (capabilities(7)).
// Sets are bits: 1<<number.
package capability

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
)

// names are the capabilities in the order of their numbers, without CAP_.
var names = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
	"LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
	"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
	"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
	"CHECKPOINT_RESTORE",
}

// All is every capability that this program knows.
const All = uint64(1)<<len(names) - 1

// Parse returns the bit of a name, with or without CAP_ and in any case, and
// whether there is one.
func Parse(name string) (uint64, bool) {
	name = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
	for i, n := range names {
		if n == name {
			return 1 << i, true
		}
	}
	return 0, false
}

// Names returns the names of a set with CAP_, lowest number first.
func Names(set uint64) []string {
	var out []string
	for i, n := range names {
		if set&(1<<i) != 0 {
			out = append(out, "CAP_"+n)
		}
	}
	return out
}

// Bound drops from the calling thread's bounding set what is not in set. It
// needs CAP_SETPCAP, so that it goes before the ids change.
func Bound(set uint64) error {
	for i := uintptr(0); i < 64; i++ {
		if set&(1<<i) != 0 {
			continue
		}
		if has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, i, 0, 0, 0); err != nil {
			return nil // past the kernel's last capability
		} else if has == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, i, 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", i, err)
		}
	}
	return nil
}

// Arguments are capset(2)'s.
type Arguments struct {
	Header unix.CapUserHeader
	Data   [2]unix.CapUserData
}

// Sets returns what Apply gives to the calling thread, and the ambient set.
func Sets(c *message.Caps) (wanted *Arguments, ambient uint64, err error) {
	wanted = &Arguments{Header: unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}}
	var now [2]unix.CapUserData
	if err := unix.Capget(&wanted.Header, &now[0]); err != nil {
		return nil, 0, fmt.Errorf("capget: %w", err)
	}
	have := uint64(now[0].Permitted) | uint64(now[1].Permitted)<<32
	permitted := c.Permitted & have
	for i := range wanted.Data {
		shift := 32 * i
		wanted.Data[i] = unix.CapUserData{
			Effective:   uint32(c.Effective & permitted >> shift),
			Permitted:   uint32(permitted >> shift),
			Inheritable: uint32(c.Inheritable & have >> shift),
		}
	}
	return wanted, c.Ambient & c.Inheritable & permitted, nil
}

// Apply sets the calling thread's other sets. What it does not have is left
// out, as within a user namespace that is itself confined.
func Apply(c *message.Caps) error {
	wanted, ambient, err := Sets(c)
	if err != nil {
		return err
	}
	if err := unix.Capset(&wanted.Header, &wanted.Data[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	for i := uintptr(0); i < 64; i++ {
		if ambient&(1<<i) == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, i, 0, 0); err != nil {
			return fmt.Errorf("raise ambient capability %d: %w", i, err)
		}
	}
	return nil
}
