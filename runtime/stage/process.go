package stage

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/capability"
	"skiff/runtime/stage/message"
)

// usualTimerSlack is Linux' own for an ordinary process, in nanoseconds.
const usualTimerSlack = 50_000

// executable is a process that lacks nothing but execve.
type executable struct {
	*message.Process
	path string
	// control is the connection to the parent, which takes its end for a start.
	control int
}

// enter makes the calling thread what p describes, up to execve: standard
// streams, limits, ids, capabilities, seccomp. Its program is looked up if it is to
// execute one.
func enter(p *message.Process, terminal int, program bool) (*executable, error) {
	if terminal >= 0 {
		if err := takeTerminal(terminal); err != nil {
			return nil, err
		}
	}
	id, err := who(p)
	if err != nil {
		return nil, err
	}
	if err := ownStreams(id.uid, terminal >= 0); err != nil {
		return nil, err
	}
	for _, name := range p.Own {
		if err := own(name, id.uid, id.gid); err != nil {
			return nil, fmt.Errorf("give %s to the user %d: %w", name, id.uid, err)
		}
	}
	for _, r := range p.Rlimits {
		lim := unix.Rlimit{Cur: r.Soft, Max: r.Hard}
		if err := unix.Prlimit(0, r.Resource, &lim, nil); err != nil {
			return nil, fmt.Errorf("set resource limit %d: %w", r.Resource, err)
		}
	}
	// Nothing of this machine may be reachable by a descriptor any more when the
	// working directory, which the image chose, is entered (CVE-2024-21626).
	if err := closeOnExec(3 + p.KeepFDs); err != nil {
		return nil, err
	}
	if err := releaseGiven(p); err != nil {
		return nil, err
	}
	if err := changeDir(p.Cwd, p.CwdExists); err != nil {
		return nil, err
	}
	if p.Umask >= 0 {
		unix.Umask(p.Umask)
	}
	if err := label(p); err != nil {
		return nil, err
	}
	if p.SetHome {
		setHome(p, id.home)
	}
	// The file is looked up as the user who will execute it sees it, but with
	// our capabilities still on it could be found where he may not look; the
	// kernel has the last word at execve.
	if p.NoNewPrivs {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return nil, fmt.Errorf("no_new_privs: %w", err)
		}
	} else if err := filter(p); err != nil { // needs CAP_SYS_ADMIN (seccomp(2))
		return nil, err
	}
	if err := become(p, id); err != nil {
		return nil, err
	}
	if p.NoNewPrivs {
		if err := filter(p); err != nil {
			return nil, err
		}
	}
	if !program {
		return &executable{p, "", controlFD}, nil
	}
	file, failed := findExecutable(p)
	if failed != nil {
		return nil, failed
	}
	return &executable{p, file, controlFD}, nil
}

// execute replaces the process. With reaper it stays as the first process and
// looks after the other (--init). It returns only what went wrong.
func (e *executable) execute(reaper bool) error {
	// Ours is longer (rootless/early.h). Only of the calling thread, and of what
	// it forks.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, usualTimerSlack, 0, 0, 0)
	if reaper {
		return e.reap()
	}
	e.activate(os.Getpid())
	return e.explain(unix.Exec(e.path, e.Args, e.Env))
}

// activate tells the process with this pid that the descriptors that it keeps
// are for it (sd_listen_fds(3)).
func (e *executable) activate(pid int) {
	has := func(name string) bool {
		return slices.ContainsFunc(e.Env, func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
	}
	if e.KeepFDs > 0 && has("LISTEN_FDS") && !has("LISTEN_PID") {
		e.Env = append(e.Env, "LISTEN_PID="+strconv.Itoa(pid))
	}
}

func (e *executable) explain(err error) error {
	code := 126
	switch {
	case errors.Is(err, unix.ENOENT):
		code = 127
	case errors.Is(err, unix.ENOEXEC):
		return &message.Failure{Code: 126, Text: fmt.Sprintf("exec %s: exec format error", e.path)}
	}
	return &message.Failure{Code: code, Text: fmt.Sprintf("exec %s: %v", e.path, err)}
}

// takeTerminal makes the slave the controlling terminal and the standard
// streams.
func takeTerminal(slave int) error {
	if err := unix.IoctlSetInt(slave, unix.TIOCSCTTY, 0); err != nil {
		return fmt.Errorf("take terminal: %w", err)
	}
	for fd := range 3 {
		if err := unix.Dup3(slave, fd, 0); err != nil {
			return fmt.Errorf("take terminal: %w", err)
		}
	}
	return unix.Close(slave)
}

func who(p *message.Process) (*identity, error) {
	if !p.HasIDs {
		id, err := lookUp(p.UserSpec, p.AddGroups)
		if err != nil {
			return nil, &message.Failure{Code: 125, Text: err.Error()}
		}
		return id, nil
	}
	id := &identity{uid: p.UID, gid: p.GID, groups: p.Groups, home: "/"}
	if p.SetHome {
		if by, err := lookUp(fmt.Sprint(p.UID), nil); err == nil {
			id.home = by.home
		}
	}
	return id, nil
}

// ownStreams gives the standard streams to the user, so that /dev/stdout can be
// opened again by name; not this machine's own files, whose owner stays.
func ownStreams(uid int, terminal bool) error {
	if uid == 0 && !terminal {
		return nil
	}
	for fd := range 3 {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return fmt.Errorf("stat stream %d: %w", fd, err)
		}
		kind := st.Mode & unix.S_IFMT
		if int(st.Uid) == uid || kind != unix.S_IFIFO && kind != unix.S_IFSOCK && !terminal {
			continue
		}
		// One that comes from outside our ids cannot be given away (OCI command
		// line); it still works by descriptor.
		_ = unix.Fchown(fd, uid, -1)
	}
	return nil
}

// changeDir makes the working directory, as docker does, and enters it. It
// refuses a directory outside the root.
func changeDir(dir string, exists bool) error {
	if dir == "" {
		dir = "/"
	}
	if err := unix.Chdir(dir); errors.Is(err, unix.ENOENT) && !exists {
		if err := makeDirs(dir); err != nil {
			return fmt.Errorf("make working directory %q: %w", dir, err)
		}
		if err := unix.Chdir(dir); err != nil {
			return fmt.Errorf("chdir to cwd (%q) set in config.json failed: %w", dir, err)
		}
	} else if err != nil {
		return &message.Failure{Code: 126, Text: fmt.Sprintf("chdir to cwd (%q) set in config.json failed: %v", dir, err)}
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Getcwd(buf)
	if err != nil || n < 2 || buf[0] != '/' {
		return fmt.Errorf("current working directory is outside of container mount namespace root -- possible container breakout detected")
	}
	return nil
}

func makeDirs(dir string) error {
	made := ""
	for _, name := range strings.Split(strings.Trim(path.Clean(dir), "/"), "/") {
		made += "/" + name
		if err := unix.Mkdir(made, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return nil
}

// label sets what a security module gives to the next program.
func label(p *message.Process) error {
	if p.AppArmor != "" {
		if err := writeAttr("apparmor/exec", "exec "+p.AppArmor); err != nil {
			return fmt.Errorf("apparmor profile %s: %w", p.AppArmor, err)
		}
	}
	if p.SELinux != "" {
		if err := writeAttr("exec", p.SELinux); err != nil {
			return fmt.Errorf("selinux label %s: %w", p.SELinux, err)
		}
	}
	return nil
}

// writeAttr writes through a procfs of our own, since /proc is the container's.
func writeAttr(name, value string) error {
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return err
	}
	proc, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(proc)
	fd, err := unix.Openat(proc, fmt.Sprintf("self/task/%d/attr/%s", unix.Gettid(), name), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(value))
	return err
}

func setHome(p *message.Process, home string) {
	for _, kv := range p.Env {
		if strings.HasPrefix(kv, "HOME=") && kv != "HOME=" {
			return
		}
	}
	p.Env = append(p.Env, "HOME="+home)
}

// filter installs the seccomp program on the calling thread.
func filter(p *message.Process) error {
	if len(p.Seccomp) == 0 {
		return nil
	}
	prog := unix.SockFprog{
		Len:    uint16(len(p.Seccomp) / 8), // sizeof(struct sock_filter)
		Filter: (*unix.SockFilter)(unsafe.Pointer(&p.Seccomp[0])),
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(p.Flags), uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}

// become takes the ids and capabilities on, in the order that keeps the right
// to do each next step.
func become(p *message.Process, id *identity) error {
	if err := capability.Bound(p.Caps.Bounding); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	if err := setGroups(id.groups); err != nil {
		return err
	}
	// Raw calls: the package's own change every thread, and only this one lives
	// on.
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(id.gid), uintptr(id.gid), uintptr(id.gid)); errno != 0 {
		return idError("setgid", id.gid, errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(id.uid), uintptr(id.uid), uintptr(id.uid)); errno != 0 {
		return idError("setuid", id.uid, errno)
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	if err := capability.Apply(&p.Caps); err != nil {
		return err
	}
	// Changing ids cleared it (prctl(2)); the monitor's death shall end us still.
	if os.Getpid() == 1 && !p.Orphan {
		return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
	}
	return nil
}

func setGroups(groups []int) error {
	list := make([]uint32, len(groups))
	for i, g := range groups {
		list[i] = uint32(g)
	}
	var first unsafe.Pointer
	if len(list) > 0 {
		first = unsafe.Pointer(&list[0])
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(list)), uintptr(first), 0)
	// A user without subordinate ids may not (user_namespaces(7)); the groups he
	// keeps are his own.
	if errno != 0 && !(errno == unix.EPERM && deniesGroups()) {
		return fmt.Errorf("setgroups: %w", errno)
	}
	return nil
}

func deniesGroups() bool {
	data, err := os.ReadFile("/proc/self/setgroups")
	return err == nil && strings.TrimSpace(string(data)) == "deny"
}

func idError(call string, id int, errno syscall.Errno) error {
	if errno == unix.EINVAL {
		return fmt.Errorf("%s %d: the id is not mapped into the container; give the user more in /etc/subuid and /etc/subgid", call, id)
	}
	return fmt.Errorf("%s %d: %w", call, id, errno)
}

// closeOnExec marks every descriptor from first on.
func closeOnExec(first int) error {
	if err := unix.CloseRange(uint(first), ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err == nil {
		return nil
	}
	dir, err := os.Open("/proc/self/fd") // before Linux 5.11
	if err != nil {
		return fmt.Errorf("close descriptors: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("close descriptors: %w", err)
	}
	for _, n := range names {
		var fd int
		if _, err := fmt.Sscan(n, &fd); err == nil && fd >= first {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// findExecutable looks Args[0] up as execvp(3) does, with docker's words for
// what fails.
func findExecutable(p *message.Process) (string, *message.Failure) {
	name := p.Args[0]
	if strings.Contains(name, "/") {
		var st unix.Stat_t
		if err := unix.Stat(name, &st); err != nil {
			code := 126
			if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
				code = 127
			}
			return "", &message.Failure{Text: fmt.Sprintf("exec: %q: stat %s: %v", name, name, err), Code: code}
		}
		return name, notExecutable(name, name, &st)
	}
	list := ""
	for _, kv := range p.Env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			list = v
		}
	}
	denied := false
	for _, dir := range strings.Split(list, ":") {
		if dir == "" {
			dir = "."
		}
		full := dir + "/" + name
		var st unix.Stat_t
		if unix.Stat(full, &st) != nil {
			continue
		}
		if notExecutable(name, full, &st) == nil {
			return full, nil
		}
		denied = denied || st.Mode&unix.S_IFMT == unix.S_IFREG
	}
	if denied {
		return "", &message.Failure{Text: fmt.Sprintf("exec: %q: permission denied", name), Code: 126}
	}
	return "", &message.Failure{Text: fmt.Sprintf("exec: %q: executable file not found in $PATH", name), Code: 127}
}

func notExecutable(name, file string, st *unix.Stat_t) *message.Failure {
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return &message.Failure{Text: fmt.Sprintf("exec: %q: is a directory: permission denied", name), Code: 126}
	}
	if unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS) != nil {
		return &message.Failure{Text: fmt.Sprintf("exec: %q: permission denied", name), Code: 126}
	}
	return nil
}
