package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

func whatConfinesMe(p proc) section {
	return section{"What confines me", []row{
		{"uid map", idMap(p)},
		{"namespaces", namespaces(p)},
		{"capabilities", capabilities(p.status("CapEff"))},
		{"seccomp", seccomp(p.status("Seccomp"))},
		{"no new privileges", yesNo(p.status("NoNewPrivs"))},
		{"cgroup", cgroup(p)},
	}}
}

func idMap(p proc) string {
	var ranges []string
	for line := range strings.Lines(p.read("self/uid_map")) {
		inside, host, length, ok := idRange(line)
		if !ok {
			continue
		}
		if length == 1<<32-1 {
			return "none: uids are the machine's own"
		}
		ranges = append(ranges, fmt.Sprintf("%s here are %s outside", span(inside, length), span(host, length)))
	}
	return strings.Join(ranges, "\n")
}

func span(first, length int64) string {
	if length == 1 {
		return strconv.FormatInt(first, 10)
	}
	return fmt.Sprintf("%d-%d", first, first+length-1)
}

// initial are the inode numbers of the namespaces that the machine boots with
// (include/uapi/linux/nsfs.h); network and mount namespaces have no fixed one.
var initial = map[string]string{
	"cgroup": "4026531835", "ipc": "4026531839", "pid": "4026531836",
	"time": "4026531834", "user": "4026531837", "uts": "4026531838",
}

// namespaces tells which of our namespaces are not the machine's first.
func namespaces(p proc) string {
	var own, shared []string
	for _, name := range []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"} {
		link, err := os.Readlink(string(p) + "/self/ns/" + name)
		if err != nil {
			continue
		}
		number := strings.Trim(strings.TrimPrefix(link, name+":"), "[]")
		if number == initial[name] {
			shared = append(shared, name)
		} else {
			own = append(own, name)
		}
	}
	text := "own: " + strings.Join(own, " ")
	if len(shared) > 0 {
		text += "\nthe machine's: " + strings.Join(shared, " ")
	}
	return text
}

// capabilityNames are in the order of their bits (linux/capability.h).
var capabilityNames = strings.Fields(`chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap
linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot
sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write
audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore`)

// capabilities names the bits of a set, a few to a line.
func capabilities(hex string) string {
	bits, err := strconv.ParseUint(hex, 16, 64)
	if err != nil {
		return ""
	}
	var names []string
	for i, name := range capabilityNames {
		if bits&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	switch len(names) {
	case 0:
		return "none"
	case len(capabilityNames):
		return "all"
	}
	return fmt.Sprintf("%d of %d:\n%s", len(names), len(capabilityNames), wrap(names, 60))
}

// wrap joins words with blanks in lines of at most width characters.
func wrap(words []string, width int) string {
	var text strings.Builder
	column := 0
	for i, w := range words {
		switch {
		case i == 0:
		case column+1+len(w) > width:
			text.WriteByte('\n')
			column = 0
		default:
			text.WriteByte(' ')
			column++
		}
		text.WriteString(w)
		column += len(w)
	}
	return text.String()
}

// cgroup returns our place in the unified hierarchy (cgroups(7)).
func cgroup(p proc) string {
	for line := range strings.Lines(p.read("self/cgroup")) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(path)
		}
	}
	return "version 1"
}

func seccomp(mode string) string {
	switch mode {
	case "0":
		return "off"
	case "1":
		return "strict"
	case "2":
		return "on: system calls are filtered"
	}
	return ""
}

func yesNo(s string) string {
	switch s {
	case "0":
		return "no"
	case "1":
		return "yes"
	}
	return ""
}
