package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/storage/container"
)

// mountPoint is where every distribution mounts control groups.
const mountPoint = "/sys/fs/cgroup"

// kind is who gives us a control group.
type kind int

const (
	none      kind = iota
	scope          // the user's systemd, a transient unit
	delegated      // the unit that we are in
	hierarchy      // root: the hierarchy itself, version 2
	separate       // root: the hierarchies of version 1
)

// place is where a container's control group can be made.
type place struct {
	kind        kind
	dir         string   // delegated: the unit's
	controllers []string // that can limit there
	why, fix    string   // what is missing, what to do about it
}

// Version is that of the machine's hierarchy, 0 without one.
func Version() int {
	var fs unix.Statfs_t
	if unix.Statfs(mountPoint, &fs) != nil {
		return 0
	}
	if fs.Type == unix.CGROUP2_SUPER_MAGIC {
		return 2
	}
	return 1
}

// find looks where this process may make a control group.
func find() place {
	version := Version()
	switch {
	case version == 0:
		return place{why: "no control groups are mounted on " + mountPoint}
	case version == 1 && rootless.Rootless():
		return place{
			why: "this machine has cgroup version 1, where an ordinary user has no limits",
			fix: "boot it with systemd.unified_cgroup_hierarchy=1, or run the container as root",
		}
	case version == 1:
		return place{kind: separate, controllers: []string{"memory", "cpu", "cpuset", "pids", "blkio"}}
	case !rootless.Rootless() && ownUnit() == "":
		return place{kind: hierarchy, controllers: controllers(mountPoint)}
	}
	if dir := ownUnit(); dir != "" {
		return place{
			kind: delegated, dir: dir, controllers: controllers(dir),
			fix: "add them to Delegate= of the unit that this runs in",
		}
	}
	if socket() == "" {
		return place{
			why: "there is no systemd of this user to ask for a control group",
			fix: fmt.Sprintf("log in, or run `loginctl enable-linger` once, so that %s exists", "/run/user/"+strconv.Itoa(rootless.UID())+"/systemd/private"),
		}
	}
	uid := strconv.Itoa(rootless.UID())
	manager := filepath.Join(mountPoint, "user.slice/user-"+uid+".slice/user@"+uid+".service")
	return place{
		kind: scope, controllers: controllers(manager),
		fix: "as root, put the lines [Service] and Delegate=cpu cpuset io memory pids into " +
			"/etc/systemd/system/user@.service.d/delegate.conf, run `systemctl daemon-reload` and log in again",
	}
}

// controllers are those that a group hands on.
func controllers(dir string) []string {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(data))
}

// supervisor is the leaf that the processes of a group move into, so that it may
// have children with limits (cgroups(7), "no internal processes").
const supervisor = "supervisor"

// ownUnit returns the directory of the unit that this process is in if its
// subtree was delegated to us, else "". It asks once.
var ownUnit = sync.OnceValue(findOwnUnit)

func findOwnUnit() string {
	path := of(os.Getpid())
	if path == "" {
		return ""
	}
	dir := filepath.Join(mountPoint, path)
	if filepath.Base(dir) == supervisor {
		dir = filepath.Dir(dir)
	}
	if !isDelegated(dir) {
		return ""
	}
	if unix.Access(dir, unix.W_OK) != nil || unix.Access(filepath.Join(dir, "cgroup.procs"), unix.W_OK) != nil {
		return ""
	}
	return dir
}

// isDelegated reports whether systemd leaves what is below a group to others
// (Delegate= in systemd.resource-control(5)): systemd marks it so since version
// 254, and before that where only root sees it; the system's gives it to the unit's
// user, and a user's, whose groups are all that user's, answers when it is asked.
func isDelegated(dir string) bool {
	mark := make([]byte, 1)
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		if n, err := unix.Getxattr(dir, name, mark); err == nil && n == 1 {
			return mark[0] == '1'
		}
	}
	if !rootless.Rootless() {
		return false
	}
	var own, parent unix.Stat_t
	if unix.Stat(dir, &own) != nil || unix.Stat(filepath.Dir(dir), &parent) != nil {
		return false
	}
	if own.Uid != parent.Uid {
		return true // access is looked at by whoever asks
	}
	name := filepath.Base(dir)
	return (strings.HasSuffix(name, ".service") || strings.HasSuffix(name, ".scope")) && askDelegated(name)
}

// of returns a process's group of version 2, from the top.
func of(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path
		}
	}
	return ""
}

// Check refuses a --cgroups mode that there is not, and split outside of a unit
// whose subtree is ours.
func Check(mode string) error {
	switch mode {
	case "", "enabled", "disabled", "no-conmon":
		return nil
	case "split":
		if Version() == 2 && ownUnit() != "" {
			return nil
		}
		return errors.New("split needs cgroup v2 and a unit of the user's with Delegate= to run in")
	}
	return errors.New("one of enabled, split, disabled and no-conmon")
}

// off reports whether the container is to have no control group.
func off(h *container.Host) bool { return h.CgroupMode == "disabled" || h.CgroupMode == "no-conmon" }

// Wanted reports whether a container of this configuration gets a control group
// of its own, and whether on version 2.
func Wanted(h *container.Host) (wanted, unified bool) {
	version := Version()
	if off(h) || version == 0 {
		return false, false
	}
	wanted = h.CgroupMode == "split" || h.CgroupParent != "" || len(Settings(h, version)) > 0
	return wanted && find().kind != none, version == 2
}

// Warnings names the limits of h that cannot be applied on this machine, in
// docker's words, and then once what to do about it.
func Warnings(h *container.Host) (warnings []string) {
	settings := Settings(h, max(Version(), 1))
	if len(settings) == 0 {
		return nil
	}
	p := find()
	if off(h) {
		p = place{why: "--cgroups=" + h.CgroupMode + " leaves the container without a control group"}
	}
	var missing []string
	for _, s := range settings {
		if slices.Contains(p.controllers, s.Controller) || s.Flag == "--memory-swap" && h.MemorySwap == 0 {
			continue
		}
		if !slices.Contains(missing, s.Controller) {
			missing = append(missing, s.Controller)
		}
		if !slices.Contains(warnings, s.Discarded) {
			warnings = append(warnings, s.Discarded)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	why := p.why
	if why == "" {
		why = "the cgroup controllers " + strings.Join(missing, ", ") + " are not delegated"
	}
	if p.fix != "" {
		why += "; " + p.fix
	}
	warnings[len(warnings)-1] += "\nhint: " + why
	return warnings
}

// Group is a container's control group.
type Group struct {
	Dirs []string // one, or on version 1 one a controller
	// Events is the file that counts what the memory controller killed, empty
	// without that controller.
	Events string
}

// Make makes the control group of the container with the id, and writes its
// limits. monitor is the process that stays with it. On error nothing is left
// that does not go with the monitor.
func Make(id string, h *container.Host, monitor int) (*Group, error) {
	p := find()
	var g *Group
	var err error
	switch p.kind {
	case none:
		return nil, errors.New(p.why)
	case separate:
		return makeSeparate(id, h)
	case hierarchy:
		parent := filepath.Join(mountPoint, "skiff")
		if h.CgroupParent != "" {
			parent = filepath.Join(mountPoint, filepath.Join("/", h.CgroupParent))
		}
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return nil, fmt.Errorf("make control group: %w", err)
		}
		enable(mountPoint, h)
		g, err = makeBelow(parent, id, h)
	case delegated:
		if err := vacate(p.dir); err != nil {
			return nil, err
		}
		g, err = makeBelow(p.dir, id, h)
	case scope:
		var dir string
		if dir, err = startScope(id, h, monitor); err != nil {
			return nil, err
		}
		if err := vacate(dir); err != nil {
			return nil, err
		}
		g, err = makeBelow(dir, id, h)
	}
	return g, err
}

// vacate moves the processes of a group into a leaf below it.
func vacate(dir string) error {
	leaf := filepath.Join(dir, supervisor)
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make control group: %w", err)
	}
	// New ones may come while we move the others.
	for range 10 {
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return fmt.Errorf("read control group: %w", err)
		}
		pids := strings.Fields(string(data))
		if len(pids) == 0 {
			break
		}
		for _, pid := range pids {
			if err := write(leaf, "cgroup.procs", pid); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
	return nil
}

// enable lets the children of a group have the controllers that h needs. What
// cannot be enabled is missed by whoever writes a limit.
func enable(dir string, h *container.Host) {
	done := map[string]bool{}
	for _, s := range Settings(h, 2) {
		if !done[s.Controller] {
			_ = write(dir, "cgroup.subtree_control", "+"+s.Controller)
			done[s.Controller] = true
		}
	}
	// What stats shows, where it costs nothing more.
	for _, c := range []string{"memory", "pids", "cpu", "io"} {
		if !done[c] && slices.Contains(controllers(dir), c) {
			_ = write(dir, "cgroup.subtree_control", "+"+c)
		}
	}
}

// EnableFor lets a container's group on version 2 have one more controller, and
// reports whether it has it then.
func EnableFor(dir, controller string) bool {
	return write(filepath.Dir(dir), "cgroup.subtree_control", "+"+controller) == nil &&
		slices.Contains(controllers(dir), controller)
}

// makeBelow makes the group on version 2.
func makeBelow(parent, id string, h *container.Host) (*Group, error) {
	enable(parent, h)
	dir := filepath.Join(parent, id)
	// One of a monitor that was killed has no processes left.
	_ = os.Remove(dir)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make control group: %w", err)
	}
	available := controllers(dir)
	for _, s := range Settings(h, 2) {
		if !slices.Contains(available, s.Controller) {
			continue // create has said so
		}
		if err := write(dir, s.File, s.Value); err != nil && !absent(s, err) {
			_ = os.Remove(dir)
			return nil, fmt.Errorf("%s: %w", s.Flag, err)
		}
	}
	g := &Group{Dirs: []string{dir}}
	if slices.Contains(available, "memory") {
		g.Events = filepath.Join(dir, "memory.events")
	}
	return g, nil
}

// absent reports whether a file is one that not every kernel has.
func absent(s Setting, err error) bool {
	return errors.Is(err, os.ErrNotExist) && (strings.Contains(s.File, "swap") || strings.Contains(s.File, "memsw") || strings.Contains(s.File, "weight"))
}

// makeSeparate makes a group in each hierarchy of version 1 that has a limit.
func makeSeparate(id string, h *container.Host) (*Group, error) {
	g := &Group{}
	undo := func() {
		for _, dir := range g.Dirs {
			_ = os.Remove(dir)
		}
	}
	parent := "skiff"
	if h.CgroupParent != "" {
		parent = filepath.Join("/", h.CgroupParent)
	}
	for _, s := range Settings(h, 1) {
		top := filepath.Join(mountPoint, s.Controller)
		if _, err := os.Stat(filepath.Join(top, "cgroup.procs")); err != nil {
			continue // create has said so
		}
		dir := filepath.Join(top, parent, id)
		if !slices.Contains(g.Dirs, dir) {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				undo()
				return nil, fmt.Errorf("make control group: %w", err)
			}
			g.Dirs = append(g.Dirs, dir)
			if s.Controller == "cpuset" {
				inherit(top, filepath.Join(parent, id))
			}
			if s.Controller == "memory" {
				g.Events = filepath.Join(dir, "memory.oom_control")
			}
		}
		if err := write(dir, s.File, s.Value); err != nil && !absent(s, err) {
			undo()
			return nil, fmt.Errorf("%s: %w", s.Flag, err)
		}
	}
	return g, nil
}

// inherit gives new groups of the version 1 cpuset hierarchy what their parents
// have: empty ones take no process.
func inherit(top, path string) {
	dir := top
	for _, name := range strings.Split(strings.Trim(path, "/"), "/") {
		next := filepath.Join(dir, name)
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			own, err := os.ReadFile(filepath.Join(next, file))
			if err == nil && strings.TrimSpace(string(own)) == "" {
				if from, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
					_ = write(next, file, strings.TrimSpace(string(from)))
				}
			}
		}
		dir = next
	}
}

func write(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(value); err != nil {
		return fmt.Errorf("write %q to %s: %w", value, file, errors.Unwrap(err))
	}
	return nil
}

// startScope puts the monitor into a transient unit of the user's systemd and
// returns the directory of its control group.
func startScope(id string, h *container.Host, monitor int) (string, error) {
	// The id is in the name of the group below, and only there.
	name := "skiff-" + id[:12] + ".scope"
	slice := ""
	if strings.HasSuffix(h.CgroupParent, ".slice") {
		slice = h.CgroupParent
	}
	if err := startTransient(name, slice, monitor); err != nil {
		return "", fmt.Errorf("ask systemd for a control group: %w", err)
	}
	// The answer comes before the job is done.
	for end := time.Now().Add(scopeWait); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if path := of(monitor); filepath.Base(path) == name {
			return filepath.Join(mountPoint, path), nil
		}
	}
	return "", fmt.Errorf("systemd did not put process %d into %s within %v", monitor, name, scopeWait)
}

// scopeWait bounds how long systemd may take for a unit.
const scopeWait = 10 * time.Second
