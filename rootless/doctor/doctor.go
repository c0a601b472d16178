// Package doctor examines what skiff needs of a machine and of a user's account,
// and knows what mends it. It only looks; Examine changes nothing. What can be
// known only by trying, an overlay or a user namespace, the caller tries and
// tells in Machine.
package doctor

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// State of one finding.
type State string

// The states, from good to bad.
const (
	// OK needs nothing.
	OK State = "ok"
	// Warning works, but not as it could.
	Warning State = "warning"
	// Failure keeps containers from running.
	Failure State = "failure"
)

// Finding is what one check found.
type Finding struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// Found is what there is, in a few words.
	Found string `json:"found"`
	// Meaning is what follows for the user; empty when all is well.
	Meaning string `json:"meaning,omitempty"`
	// Cure is a shell command that mends it, empty when there is none.
	Cure string `json:"cure,omitempty"`
	// Root tells that the cure needs root.
	Root bool `json:"root,omitempty"`
}

// Machine is what is examined.
type Machine struct {
	// FS is the directory that stands for /, for tests; empty for the machine's.
	FS string
	// UID is the user's id outside of any namespace, User his name.
	UID  int
	User string
	// Store is the store's directory, which need not exist.
	Store string
	// RuntimeDir is $XDG_RUNTIME_DIR.
	RuntimeDir string
	// Program is the path of this program.
	Program string
	// Namespace is why the user namespace could not be entered, nil if it was.
	Namespace error
	// Overlay is why the kernel mounts no overlay, nil if it does.
	Overlay error
	// LookPath finds a program, or returns "".
	LookPath func(name string) string
	Now      time.Time
}

// Examine makes every check, in the order in which a start needs them.
func Examine(m *Machine) []Finding {
	var list []Finding
	for _, check := range []func(*Machine) []Finding{
		one((*Machine).namespaces), (*Machine).appArmor, (*Machine).subordinate, (*Machine).mappers, one((*Machine).store),
		one((*Machine).overlay), one((*Machine).fuse), one((*Machine).runtimeDir), (*Machine).cgroup, (*Machine).linger,
		one((*Machine).ports), one((*Machine).network), one((*Machine).resolver), one((*Machine).clock), one((*Machine).binfmt),
	} {
		list = append(list, check(m)...)
	}
	return list
}

// one makes a check with a single finding a list.
func one(check func(*Machine) Finding) func(*Machine) []Finding {
	return func(m *Machine) []Finding { return []Finding{check(m)} }
}

func (m *Machine) path(p string) string { return filepath.Join(m.FS, p) }

// read returns a small file's text without blanks around it, "" when it cannot be
// read.
func (m *Machine) read(p string) string {
	data, err := os.ReadFile(m.path(p))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (m *Machine) exists(p string) bool {
	_, err := os.Stat(m.path(p))
	return err == nil
}

// sysctl is the cure that sets a kernel parameter now and after each boot.
func sysctl(name, value string) string {
	return fmt.Sprintf("echo %s=%s >/etc/sysctl.d/60-skiff.%s.conf && sysctl -w %s=%s", name, value, name, name, value)
}

func (m *Machine) namespaces() Finding {
	f := Finding{Name: "user namespaces", State: OK, Found: "this user can make them"}
	if m.UID == 0 {
		f.Found = "not needed by root"
		return f
	}
	if m.Namespace == nil {
		return f
	}
	f.State, f.Found = Failure, m.Namespace.Error()
	f.Meaning = "no container can be started, and no image be unpacked"
	for _, s := range []struct{ file, bad, name, good string }{
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone", "1"},
		{"/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces", "15000"},
	} {
		if m.read(s.file) == s.bad {
			f.Found = s.name + " is " + s.bad
			f.Cure, f.Root = sysctl(s.name, s.good), true
		}
	}
	return f
}

// appArmor is about Ubuntu's restriction of user namespaces to programs with a
// profile (23.10 and later).
func (m *Machine) appArmor() []Finding {
	if m.UID == 0 || m.read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") != "1" {
		return nil
	}
	f := Finding{Name: "AppArmor", State: OK, Found: "restricts user namespaces, but not for this program"}
	if m.Namespace != nil {
		f.State, f.Found = Failure, "restricts user namespaces to programs with a profile"
		f.Meaning = "this program needs one, for the path " + m.Program
		f.Cure = fmt.Sprintf(`printf 'abi <abi/4.0>,\ninclude <tunables/global>\n\nprofile skiff %s flags=(unconfined) {\n  userns,\n}\n' `+
			`>/etc/apparmor.d/skiff && apparmor_parser -r /etc/apparmor.d/skiff`, m.Program)
		f.Root = true
	}
	return []Finding{f}
}

// wantedIDs is how many subordinate ids let any image be unpacked.
const wantedIDs = 65536

func (m *Machine) subordinate() []Finding {
	if m.UID == 0 {
		return nil
	}
	var list []Finding
	for _, kind := range []struct{ name, file, flag string }{
		{"subordinate user ids", "/etc/subuid", "--add-subuids"},
		{"subordinate group ids", "/etc/subgid", "--add-subgids"},
	} {
		mine, others := m.ranges(kind.file)
		total := 0
		for _, r := range mine {
			total += r.count
		}
		start := 100000
		for _, r := range append(others, mine...) {
			start = max(start, r.start+r.count)
		}
		f := Finding{Name: kind.name, State: OK, Found: fmt.Sprintf("%d in %s", total, kind.file)}
		cure := fmt.Sprintf("usermod %s %d-%d %s", kind.flag, start, start+wantedIDs-1, m.User)
		switch {
		case total == 0:
			f.State, f.Found = Warning, "none in "+kind.file
			f.Meaning = "only root exists in containers: images with files of other users lose their owners, and programs cannot change user"
			f.Cure, f.Root = cure, true
		case total < wantedIDs:
			f.State = Warning
			f.Meaning = fmt.Sprintf("files and users with ids from %d on cannot be had", total+1)
			f.Cure, f.Root = cure, true
		}
		for _, r := range mine {
			for _, o := range others {
				if r.start < o.start+o.count && o.start < r.start+r.count {
					f.State, f.Found = Failure, fmt.Sprintf("%s gives %d also to %s", kind.file, max(r.start, o.start), o.user)
					f.Meaning = "containers of the two users could touch each other's files"
					f.Cure = ""
				}
			}
		}
		list = append(list, f)
	}
	return list
}

type idRange struct {
	user         string
	start, count int
}

// ranges reads a file of subid(5): the user's own lines and the others'.
func (m *Machine) ranges(file string) (mine, others []idRange) {
	in, err := os.Open(m.path(file))
	if err != nil {
		return nil, nil
	}
	defer in.Close()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		field := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if len(field) != 3 {
			continue
		}
		start, err1 := strconv.Atoi(field[1])
		count, err2 := strconv.Atoi(field[2])
		if err := errors.Join(err1, err2); err != nil || count <= 0 {
			continue
		}
		r := idRange{field[0], start, count}
		if r.user == m.User || r.user == strconv.Itoa(m.UID) {
			mine = append(mine, r)
		} else {
			others = append(others, r)
		}
	}
	return mine, others
}

// mappers looks at the two programs that write id maps.
func (m *Machine) mappers() []Finding {
	if m.UID == 0 {
		return nil
	}
	var list []Finding
	for _, name := range []string{"newuidmap", "newgidmap"} {
		f := Finding{Name: name, State: OK}
		f.Found = m.LookPath(name)
		if f.Found == "" {
			f.State, f.Found = Warning, "not installed"
			f.Meaning = "subordinate ids cannot be used without it"
			f.Cure, f.Root = "apt-get install -y uidmap || dnf install -y shadow-utils", true
		} else if m.Namespace != nil && !privileged(f.Found) {
			// Within a namespace root's files are nobody's; but then it has worked.
			f.State = Failure
			f.Meaning = "it is neither set-user-id root nor has file capabilities, and cannot write an id map"
			f.Cure, f.Root = "chmod u+s "+f.Found, true
		}
		list = append(list, f)
	}
	return list
}

func privileged(program string) bool {
	var st unix.Stat_t
	if err := unix.Stat(program, &st); err != nil {
		return false
	}
	n, err := unix.Getxattr(program, "security.capability", nil)
	return st.Uid == 0 && st.Mode&unix.S_ISUID != 0 || err == nil && n > 0
}

// fileSystems that cannot hold a store, or not well, by their magic numbers
// (statfs(2)).
var fileSystems = map[int64]string{
	unix.NFS_SUPER_MAGIC: "NFS", 0x517B: "SMB", 0xFF534D42: "CIFS", 0xFE534D42: "SMB2", 0xF15F: "eCryptfs", 0x65735546: "FUSE",
	0x47504653: "GPFS", 0x0BD00BD0: "Lustre",
}

// littleSpace is how many free bytes are too few for an ordinary image.
const littleSpace = 1 << 30

func (m *Machine) store() Finding {
	f := Finding{Name: "store", State: OK}
	dir := m.Store
	for !exists(dir) && dir != "/" && dir != "." {
		dir = filepath.Dir(dir)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return Finding{Name: f.Name, State: Failure, Found: m.Store + ": " + err.Error(), Meaning: "nothing can be stored"}
	}
	free := fs.Bavail * uint64(fs.Bsize)
	f.Found = fmt.Sprintf("%s, %.1f GB free", m.Store, float64(free)/1e9)
	elsewhere := "export XDG_DATA_HOME=/some/local/directory"
	switch name := fileSystems[int64(uint32(fs.Type))]; {
	case unix.Access(dir, unix.W_OK|unix.X_OK) != nil || !isDir(dir) || fs.Flags&unix.ST_RDONLY != 0:
		f.State, f.Found = Failure, dir+" cannot be written to"
		f.Meaning = "images that are there can be looked at, and nothing else"
		f.Cure = elsewhere
	case name != "":
		f.State, f.Found = Warning, m.Store+" lies on "+name
		f.Meaning = "such a file system keeps no owners of containers' files, or is no ground for an overlay"
		f.Cure = elsewhere
	case fs.Flags&unix.ST_NOEXEC != 0:
		f.State, f.Found = Warning, m.Store+" lies on a file system that is mounted noexec"
		f.Meaning = "programs of images cannot be executed"
		f.Cure = elsewhere
	case free < littleSpace:
		f.State = Warning
		f.Meaning = "large images will not fit"
		f.Cure = "skiff system prune"
	}
	return f
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func (m *Machine) overlay() Finding {
	f := Finding{Name: "overlay", State: OK, Found: "the kernel mounts it"}
	if m.Overlay == nil {
		return f
	}
	f.State, f.Found = Failure, m.Overlay.Error()
	f.Meaning = "layers cannot be put together"
	if fuse := m.LookPath("fuse-overlayfs"); fuse != "" && m.exists("/dev/fuse") {
		f.State = Warning
		f.Meaning = "fuse-overlayfs does it instead, more slowly"
		return f
	}
	f.Cure, f.Root = "apt-get install -y fuse-overlayfs || dnf install -y fuse-overlayfs", true
	return f
}

func (m *Machine) fuse() Finding {
	f := Finding{Name: "FUSE", State: OK, Found: "/dev/fuse can be opened"}
	if m.Overlay == nil {
		f.Found = "not needed: the kernel mounts overlay"
		return f
	}
	if err := unix.Access(m.path("/dev/fuse"), unix.R_OK|unix.W_OK); err != nil {
		f.State, f.Found = Failure, "/dev/fuse: "+err.Error()
		f.Meaning = "fuse-overlayfs cannot step in for the kernel's overlay"
		f.Cure, f.Root = "modprobe fuse && chmod 666 /dev/fuse", true
	}
	return f
}

func (m *Machine) runtimeDir() Finding {
	f := Finding{Name: "runtime directory", State: OK, Found: m.RuntimeDir}
	if m.RuntimeDir == "" {
		f.Found = "none, and none is needed"
		return f
	}
	var st unix.Stat_t
	err := unix.Stat(m.RuntimeDir, &st)
	switch {
	case err != nil:
		f.State, f.Found = Warning, "$XDG_RUNTIME_DIR is "+m.RuntimeDir+": "+err.Error()
	case int(st.Uid) != m.UID && int(st.Uid) != os.Getuid():
		f.State, f.Found = Warning, "$XDG_RUNTIME_DIR is "+m.RuntimeDir+", another user's"
	default:
		return f
	}
	f.Meaning = "it was left over from su or sudo; the user's systemd is not reached, so that limits and units do not work"
	f.Cure = "unset XDG_RUNTIME_DIR, or log in through ssh or machinectl shell " + m.User + "@"
	return f
}

// cgroup is about limits.
func (m *Machine) cgroup() []Finding {
	f := Finding{Name: "cgroup", State: OK}
	var fs unix.Statfs_t
	err := unix.Statfs(m.path("/sys/fs/cgroup"), &fs)
	if err != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		f.Found = "version 1 or none"
		if m.UID != 0 {
			f.State = Warning
			f.Meaning = "--memory, --cpus and other limits have no effect: the kernel gives an ordinary user only version 2"
			f.Cure, f.Root = "grubby --update-kernel=ALL --args=systemd.unified_cgroup_hierarchy=1 || "+
				"sed -i 's/^GRUB_CMDLINE_LINUX=\"/&systemd.unified_cgroup_hierarchy=1 /' /etc/default/grub && update-grub", true
		}
		return []Finding{f}
	}
	if m.UID == 0 {
		f.Found = "version 2, controllers " + m.read("/sys/fs/cgroup/cgroup.controllers")
		return []Finding{f}
	}
	slice := fmt.Sprintf("/sys/fs/cgroup/user.slice/user-%d.slice/user@%d.service", m.UID, m.UID)
	have := strings.Fields(m.read(slice + "/cgroup.controllers"))
	f.Found = "version 2, delegated: " + strings.Join(have, " ")
	if !m.exists(slice) {
		f.State, f.Found = Warning, "version 2, without a systemd of the user"
		f.Meaning = "--memory, --cpus and other limits have no effect"
		f.Cure = "log in through ssh, a console or machinectl shell " + m.User + "@"
		return []Finding{f}
	}
	var missing []string
	for _, c := range []string{"cpu", "cpuset", "io", "memory", "pids"} {
		if !contains(have, c) {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		f.State = Warning
		f.Meaning = "limits of " + strings.Join(missing, ", ") + " have no effect"
		f.Cure = `mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\nDelegate=cpu cpuset io memory pids\n' ` +
			`>/etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload`
		f.Root = true
	}
	return []Finding{f}
}

func contains(list []string, word string) bool {
	for _, w := range list {
		if w == word {
			return true
		}
	}
	return false
}

// linger is about containers that outlive a login. Without systemd nobody ends
// them.
func (m *Machine) linger() []Finding {
	if m.UID == 0 || !m.exists("/run/systemd/system") {
		return nil
	}
	f := Finding{Name: "lingering", State: OK, Found: "on"}
	if !m.exists("/var/lib/systemd/linger/" + m.User) {
		f.State, f.Found = Warning, "off"
		f.Meaning = "your containers are ended when you log out, and are not started at boot"
		f.Cure = "loginctl enable-linger " + m.User
	}
	return []Finding{f}
}

func (m *Machine) ports() Finding {
	f := Finding{Name: "ports", State: OK, Found: "any"}
	if m.UID == 0 {
		return f
	}
	first, err := strconv.Atoi(m.read("/proc/sys/net/ipv4/ip_unprivileged_port_start"))
	if err != nil {
		first = 1024
	}
	f.Found = fmt.Sprintf("from %d on", first)
	if first > 80 {
		f.State = Warning
		f.Meaning = "ports 80 and 443 cannot be published"
		f.Cure, f.Root = sysctl("net.ipv4.ip_unprivileged_port_start", "80"), true
	}
	return f
}

// network is about the programs that connect a container's network with the
// machine's, and the device that they need.
func (m *Machine) network() Finding {
	f := Finding{Name: "network", State: OK, Found: m.LookPath("pasta")}
	if err := unix.Access(m.path("/dev/net/tun"), unix.R_OK|unix.W_OK); err != nil {
		f.State, f.Found = Warning, "/dev/net/tun: "+err.Error()
		f.Meaning = "containers have no network but --network host and none"
		f.Cure, f.Root = "modprobe tun && chmod 666 /dev/net/tun", true
		return f
	}
	if f.Found == "" {
		f.State, f.Found = Warning, "pasta is not installed"
		f.Meaning = "networks are slower without it"
		f.Cure, f.Root = "apt-get install -y passt || dnf install -y passt", true
	}
	return f
}

func (m *Machine) resolver() Finding {
	f := Finding{Name: "resolver", State: OK}
	var servers []string
	for line := range strings.Lines(m.read("/etc/resolv.conf")) {
		if field := strings.Fields(line); len(field) > 1 && field[0] == "nameserver" {
			servers = append(servers, field[1])
		}
	}
	f.Found = strings.Join(servers, " ")
	if len(servers) == 0 {
		f.State, f.Found = Warning, "no server in /etc/resolv.conf"
		f.Meaning = "names of registries are not found, nor any from within containers"
	}
	return f
}

// firstYear is before any certificate in use today.
const firstYear = 2025

func (m *Machine) clock() Finding {
	f := Finding{Name: "clock", State: OK, Found: m.Now.UTC().Format(time.RFC3339)}
	if m.Now.Year() < firstYear {
		f.State = Failure
		f.Meaning = "no registry's certificate is valid yet"
		f.Cure, f.Root = "timedatectl set-ntp true", true
	}
	return f
}

func (m *Machine) binfmt() Finding {
	f := Finding{Name: "other architectures", State: OK, Found: "none"}
	names, _ := filepath.Glob(m.path("/proc/sys/fs/binfmt_misc/qemu-*"))
	for i, name := range names {
		names[i] = strings.TrimPrefix(filepath.Base(name), "qemu-")
	}
	if len(names) > 0 {
		f.Found = strings.Join(names, " ")
	}
	return f
}
