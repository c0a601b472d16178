package container

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"skiff/runtime/lifecycle"
)

// ticks a second in /proc: USER_HZ, the same on every architecture we build for.
const ticks = 100

// machine is what one listing of processes needs to know of this machine.
type machine struct {
	now     time.Time
	boot    time.Time
	memory  int64 // bytes
	users   map[int]string
	groups  map[int]string
	current float64 // seconds since boot
}

func readMachine(now time.Time) *machine {
	m := &machine{now: now, users: names("/etc/passwd"), groups: names("/etc/group")}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.memory = int64(info.Totalram) * int64(info.Unit)
	}
	var since unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &since) == nil {
		m.current = float64(since.Nano()) / 1e9
	}
	m.boot = now.Add(-time.Duration(m.current * 1e9))
	return m
}

// process is one line of top.
type process struct {
	lifecycle.Stat
	*machine
	uid, gid int
	args     string
	locked   bool
}

func readProcess(pid int, m *machine) (*process, error) {
	s, err := lifecycle.ReadStat(pid)
	if err != nil {
		return nil, err
	}
	p := &process{Stat: s, machine: m}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil, err
	}
	p.uid, p.gid = statusID(status, "Uid:"), statusID(status, "Gid:")
	p.locked = bytes.Contains(status, []byte("VmLck:")) && !bytes.Contains(status, []byte("VmLck:\t       0 kB"))
	cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // empty without an address space
	p.args = strings.TrimRight(strings.ReplaceAll(string(cmdline), "\x00", " "), " ")
	switch {
	case s.State == 'Z':
		p.args = "[" + s.Comm + "] <defunct>"
	case p.args == "":
		p.args = "[" + s.Comm + "]"
	}
	return p, nil
}

// statusID returns the effective id in a line of /proc/pid/status.
func statusID(status []byte, key string) int {
	_, rest, _ := bytes.Cut(status, []byte(key))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	f := strings.Fields(string(line))
	if len(f) < 2 {
		return -1
	}
	n, err := strconv.Atoi(f[1])
	if err != nil {
		return -1
	}
	return n
}

// psColumn is one that ps(1) knows.
type psColumn struct {
	name, title string
	value       func(p *process) string
}

// psAliases are other names of columns, with the titles that they bring.
var psAliases = map[string][2]string{
	"cmd": {"args", "CMD"}, "command": {"args", ""}, "ucmd": {"comm", "CMD"}, "ucomm": {"comm", ""}, "%cpu": {"pcpu", ""},
	"%mem": {"pmem", ""}, "euser": {"user", "EUSER"}, "euid": {"uid", "EUID"}, "egid": {"gid", "EGID"},
	"egroup": {"group", "EGROUP"}, "state": {"s", ""}, "tt": {"tty", "TT"}, "tname": {"tty", ""},
	"cputime": {"time", ""}, "vsize": {"vsz", ""}, "rssize": {"rss", ""}, "rsz": {"rss", "RSZ"}, "thcount": {"nlwp", "THCNT"},
	"sess": {"sid", "SESS"}, "session": {"sid", "SESS"}, "nice": {"ni", ""}, "start_time": {"stime", "START"}, "pgrp": {"pgid", "PGRP"},
}

func psColumns() []psColumn {
	number := func(f func(p *process) int64) func(*process) string {
		return func(p *process) string { return strconv.FormatInt(f(p), 10) }
	}
	return []psColumn{
		{"args", "COMMAND", func(p *process) string { return p.args }},
		{"bsdtime", "TIME", func(p *process) string { t := p.used() / ticks; return fmt.Sprintf("%d:%02d", t/60, t%60) }},
		{"c", "C", func(p *process) string { return strconv.Itoa(min(int(p.percent()), 99)) }},
		{"comm", "COMMAND", func(p *process) string { return p.Comm }},
		{"etime", "ELAPSED", func(p *process) string { return elapsed(p.age()) }},
		{"etimes", "ELAPSED", number(func(p *process) int64 { return int64(p.age().Seconds()) })},
		{"gid", "GID", number(func(p *process) int64 { return int64(p.gid) })},
		{"group", "GROUP", func(p *process) string { return nameOr(p.groups, p.gid) }},
		{"lstart", "STARTED", func(p *process) string { return p.started().Format("Mon Jan _2 15:04:05 2006") }},
		{"ni", "NI", number(func(p *process) int64 { return int64(p.Nice) })},
		{"nlwp", "NLWP", number(func(p *process) int64 { return int64(p.Threads) })},
		{"pcpu", "%CPU", func(p *process) string { return fmt.Sprintf("%.1f", p.percent()) }},
		{"pgid", "PGID", number(func(p *process) int64 { return int64(p.Pgrp) })},
		{"pid", "PID", number(func(p *process) int64 { return int64(p.Pid) })},
		{"pmem", "%MEM", func(p *process) string {
			return fmt.Sprintf("%.1f", 100*float64(p.Resident)*float64(os.Getpagesize())/float64(max(p.memory, 1)))
		}},
		{"ppid", "PPID", number(func(p *process) int64 { return int64(p.Ppid) })},
		{"pri", "PRI", number(func(p *process) int64 { return int64(39 - p.Priority) })},
		{"rss", "RSS", number(func(p *process) int64 { return p.Resident * int64(os.Getpagesize()) / 1024 })},
		{"s", "S", func(p *process) string { return string(p.State) }},
		{"sid", "SID", number(func(p *process) int64 { return int64(p.Session) })},
		{"start", "START", func(p *process) string { return p.startText() }},
		{"stat", "STAT", func(p *process) string { return p.statText() }},
		{"stime", "STIME", func(p *process) string { return p.startText() }},
		{"time", "TIME", func(p *process) string {
			t := p.used() / ticks
			text := fmt.Sprintf("%02d:%02d:%02d", t/3600%24, t/60%60, t%60)
			if days := t / 86400; days > 0 {
				text = fmt.Sprintf("%d-%s", days, text)
			}
			return text
		}},
		{"tty", "TTY", func(p *process) string { return terminalName(p.Tty) }},
		{"uid", "UID", number(func(p *process) int64 { return int64(p.uid) })},
		{"user", "USER", func(p *process) string { return nameOr(p.users, p.uid) }},
		{"vsz", "VSZ", number(func(p *process) int64 { return int64(p.Virtual / 1024) })},
	}
}

func (p *process) used() uint64 { return p.User + p.System }

func (p *process) age() time.Duration {
	return max(time.Duration((p.current-float64(p.Start)/ticks)*1e9), 0)
}

func (p *process) started() time.Time {
	return p.boot.Add(time.Duration(p.Start) * time.Second / ticks)
}

// percent is the share of a processor over the process's life.
func (p *process) percent() float64 {
	if p.age() < time.Second/ticks {
		return 0
	}
	return float64(p.used()) / ticks / p.age().Seconds() * 100
}

// startText is the time of day, the day, or the year, whichever tells it best.
func (p *process) startText() string {
	t := p.started()
	switch {
	case p.age() < 24*time.Hour:
		return t.Format("15:04")
	case t.Year() == p.now.Year():
		return t.Format("Jan02")
	}
	return t.Format("2006")
}

// statText is the state with ps's letters behind.
func (p *process) statText() string {
	text := string(p.State)
	switch {
	case p.Nice < 0:
		text += "<"
	case p.Nice > 0:
		text += "N"
	}
	if p.locked {
		text += "L"
	}
	if p.Session == p.Pid {
		text += "s"
	}
	if p.Threads > 1 {
		text += "l"
	}
	if p.Foreground == p.Pgrp {
		text += "+"
	}
	return text
}

// nameOr is a user's name as ps shows it: cut to eight characters, the number
// where there is no name.
func nameOr(names map[int]string, id int) string {
	name, ok := names[id]
	if !ok {
		return strconv.Itoa(id)
	}
	if len(name) > 8 {
		return name[:7] + "+"
	}
	return name
}

// terminalName names a device number of /proc/pid/stat.
func terminalName(dev int) string {
	major, minor := unix.Major(uint64(dev)), unix.Minor(uint64(dev))
	switch {
	case dev == 0:
		return "?"
	case major >= 136 && major <= 143:
		return fmt.Sprintf("pts/%d", (major-136)*256+minor)
	case major == 4 && minor < 64:
		return fmt.Sprintf("tty%d", minor)
	case major == 4:
		return fmt.Sprintf("ttyS%d", minor-64)
	}
	return fmt.Sprintf("%d,%d", major, minor)
}

func elapsed(d time.Duration) string {
	t := int(d.Seconds())
	switch {
	case t >= 86400:
		return fmt.Sprintf("%d-%02d:%02d:%02d", t/86400, t/3600%24, t/60%60, t%60)
	case t >= 3600:
		return fmt.Sprintf("%02d:%02d:%02d", t/3600, t/60%60, t%60)
	}
	return fmt.Sprintf("%02d:%02d", t/60, t%60)
}
