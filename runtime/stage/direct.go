package stage

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/capability"
	"skiff/runtime/stage/message"
)

// Direct describes p, for the container of the process behind pidfd, so that its
// monitor can execute it itself, which spares it the start of a Go runtime. It is
// nil where more is wanted than can be done between fork and exec.
func Direct(pidfd int, p *message.Process) *message.Direct {
	if p.Terminal || p.KeepFDs+p.Given+len(p.Own) > 0 || p.AppArmor+p.SELinux != "" || !p.CwdExists || p.Orphan {
		return nil
	}
	var id *identity
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Never unlocked: the thread stays in the container's mount namespace, where
		// the databases of users are, and ends with this goroutine.
		runtime.LockOSThread()
		if err = unix.Unshare(unix.CLONE_FS); err == nil {
			err = unix.Setns(pidfd, unix.CLONE_NEWNS)
		}
		if err == nil {
			id, err = who(p)
		}
	}()
	<-done
	if err != nil {
		return nil // the other way finds that, too, and says it
	}
	if p.SetHome {
		setHome(p, id.home)
	}
	d := &message.Direct{
		Paths: paths(p), Args: p.Args, Env: p.Env, Cwd: p.Cwd, UID: id.uid, GID: id.gid, Groups: id.groups,
		Umask: p.Umask, Rlimits: p.Rlimits, Caps: p.Caps, NoNewPrivs: p.NoNewPrivs, Filter: p.Seccomp, Flags: p.Flags,
	}
	if d.Cwd == "" {
		d.Cwd = "/"
	}
	return d
}

// paths are where the program may be (execvp(3)).
func paths(p *message.Process) []string {
	name := p.Args[0]
	if strings.Contains(name, "/") {
		return []string{name}
	}
	var list []string
	for _, kv := range p.Env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			list = strings.Split(v, ":")
		}
	}
	for i, dir := range list {
		if dir == "" {
			dir = "."
		}
		list[i] = dir + "/" + name
	}
	return list
}

// errNotDirect says that what a client wants is not what Direct describes.
var errNotDirect = errors.New("it cannot be executed directly")

// program is the list of calls that make a fork of this thread what d describes, and
// execute it: what runExec and enter do, in their order. files are its standard
// streams and the socket to who wants it. It begins when a byte comes through the
// pipe gate, if that is not negative.
func (in *Inside) program(d *message.Direct, gate [2]int) (*calls, error) {
	if len(in.Files) != controlFD+1 || len(d.Args) == 0 {
		return nil, errNotDirect
	}
	l := &calls{report: int(in.Files[controlFD])}
	// A hostile container sees the child from here on; it must not look into it.
	// execve makes it dumpable again (prctl(2)).
	l.add(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0)
	if gate[0] >= 0 {
		l.add(unix.SYS_CLOSE, uintptr(gate[1])) // so that it ends with who holds it
		l.then(full, unix.SYS_READ, uintptr(gate[0]), l.bytes(make([]byte, 1)), 1)
	}
	l.add(unix.SYS_SETSID)
	l.add(unix.SYS_SETNS, uintptr(in.Pidfd), unix.CLONE_NEWNS)
	for i, fd := range in.Files[:controlFD] {
		if fd < controlFD {
			return nil, errNotDirect
		}
		l.add(unix.SYS_DUP3, fd, uintptr(i), 0)
		var st unix.Stat_t
		if err := unix.Fstat(int(fd), &st); err != nil {
			return nil, fmt.Errorf("stat stream %d: %w", i, err)
		}
		if kind := st.Mode & unix.S_IFMT; d.UID != 0 && int(st.Uid) != d.UID && (kind == unix.S_IFIFO || kind == unix.S_IFSOCK) {
			l.then(may, unix.SYS_FCHOWN, uintptr(i), uintptr(d.UID), ^uintptr(0)) // see ownStreams
		}
	}
	// The Go runtime has raised our own.
	var limits []message.Rlimit
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err == nil && in.OpenFiles > 0 {
		limits = append(limits, message.Rlimit{Resource: unix.RLIMIT_NOFILE, Soft: min(in.OpenFiles, own.Max), Hard: own.Max})
	}
	for _, r := range append(limits, d.Rlimits...) {
		lim := &unix.Rlimit{Cur: r.Soft, Max: r.Hard}
		l.kept = append(l.kept, lim)
		l.add(unix.SYS_PRLIMIT64, 0, uintptr(r.Resource), uintptr(unsafe.Pointer(lim)), 0)
	}
	// Nothing of this machine may be reachable by a descriptor any more when the
	// working directory is entered (CVE-2024-21626).
	l.add(unix.SYS_CLOSE_RANGE, controlFD, uintptr(^uint32(0)), unix.CLOSE_RANGE_CLOEXEC)
	if err := l.enter(d); err != nil {
		return nil, err
	}
	return l, l.execute(d)
}

// enter is the working directory, seccomp, ids and capabilities.
func (l *calls) enter(d *message.Direct) error {
	cwd, err := l.text(d.Cwd)
	if err != nil {
		return err
	}
	l.add(unix.SYS_CHDIR, cwd)
	l.then(inside, unix.SYS_GETCWD, uintptr(unsafe.Pointer(&l.cwd)), unix.PathMax)
	if d.Umask >= 0 {
		l.add(unix.SYS_UMASK, uintptr(d.Umask))
	}
	if d.NoNewPrivs {
		l.add(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
	} else {
		l.filter(d) // needs CAP_SYS_ADMIN (seccomp(2))
	}
	if err := l.become(d); err != nil {
		return err
	}
	if d.NoNewPrivs {
		l.filter(d)
	}
	return nil
}

func (l *calls) filter(d *message.Direct) {
	if len(d.Filter) == 0 {
		return
	}
	prog := &unix.SockFprog{
		Len:    uint16(len(d.Filter) / 8), // sizeof(struct sock_filter)
		Filter: (*unix.SockFilter)(unsafe.Pointer(&d.Filter[0])),
	}
	l.kept = append(l.kept, prog)
	l.add(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(d.Flags), uintptr(unsafe.Pointer(prog)))
}

// become is the function of that name as calls.
func (l *calls) become(d *message.Direct) error {
	for i := range uintptr(64) {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, i, 0, 0, 0)
		if err != nil {
			break // past the kernel's last capability
		}
		if has != 0 && d.Caps.Bounding&(1<<i) == 0 {
			l.add(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, i)
		}
	}
	l.add(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1)
	groups := make([]uint32, len(d.Groups)+1) // one more, so that it has an address
	for i, g := range d.Groups {
		groups[i] = uint32(g)
	}
	l.kept = append(l.kept, groups)
	l.add(unix.SYS_SETGROUPS, uintptr(len(d.Groups)), uintptr(unsafe.Pointer(&groups[0])))
	l.add(unix.SYS_SETRESGID, uintptr(d.GID), uintptr(d.GID), uintptr(d.GID))
	l.add(unix.SYS_SETRESUID, uintptr(d.UID), uintptr(d.UID), uintptr(d.UID))
	l.add(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 0)
	sets, ambient, err := capability.Sets(&d.Caps)
	if err != nil {
		return err
	}
	l.kept = append(l.kept, sets)
	l.add(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&sets.Header)), uintptr(unsafe.Pointer(&sets.Data)))
	l.add(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL)
	for i := range uintptr(64) {
		if ambient&(1<<i) != 0 {
			l.add(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, i)
		}
	}
	return nil
}

// execute tries each path, as findExecutable does. What it finds and cannot execute
// ends the child: who asks again by the other way hears why.
func (l *calls) execute(d *message.Direct) error {
	argv, err := l.texts(d.Args)
	if err != nil {
		return err
	}
	envv, err := l.texts(d.Env)
	if err != nil {
		return err
	}
	l.then(may, unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, usualTimerSlack)
	for _, name := range d.Paths {
		file, err := l.text(name)
		if err != nil {
			return err
		}
		at := unix.AT_FDCWD
		l.then(guard, unix.SYS_FACCESSAT2, uintptr(at), file, unix.X_OK, unix.AT_EACCESS)
		l.add(unix.SYS_EXECVE, file, argv, envv)
	}
	// None was found; no call fails as surely as this.
	l.add(unix.SYS_CLOSE, ^uintptr(0))
	return nil
}

func (l *calls) bytes(b []byte) uintptr {
	l.kept = append(l.kept, b)
	return uintptr(unsafe.Pointer(&b[0]))
}

// text is a string as C has it.
func (l *calls) text(s string) (uintptr, error) {
	b, err := unix.ByteSliceFromString(s)
	if err != nil {
		return 0, err
	}
	return l.bytes(b), nil
}

// texts is a list of strings with a null at the end.
func (l *calls) texts(list []string) (uintptr, error) {
	pointers := make([]*byte, len(list)+1)
	for i, s := range list {
		p, err := unix.BytePtrFromString(s)
		if err != nil {
			return 0, err
		}
		pointers[i] = p
	}
	l.kept = append(l.kept, pointers)
	return uintptr(unsafe.Pointer(&pointers[0])), nil
}
