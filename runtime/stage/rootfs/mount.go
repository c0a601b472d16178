package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
	"skiff/storage/beneath"
)

// procFiles may be bound over although they are in /proc: containers are told
// another truth there by lxcfs.
var procFiles = []string{
	"/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime",
	"/proc/loadavg", "/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid",
}

// Mount makes one mount and attaches it beneath the root. given is what OpenMount
// returned for it, -1 to open it here.
func (r *Root) Mount(m *message.Mount, given int) error {
	if err := r.mount(m, given); err != nil {
		return mountError(m, err)
	}
	return nil
}

func (r *Root) mount(m *message.Mount, mfd int) (err error) {
	defer func() {
		if mfd >= 0 {
			unix.Close(mfd)
		}
	}()
	dest := path.Clean("/" + m.Destination)
	if dest == "/" {
		return fmt.Errorf("destination can't be '/'")
	}
	kernel := m.Type == "proc" || m.Type == "sysfs"
	if !kernel {
		if err := checkProc(dest); err != nil {
			return err
		}
	}
	if mfd < 0 {
		if mfd, err = detached(m); err != nil {
			if m.Optional {
				return nil
			}
			return err
		}
	}
	dir, err := isDir(mfd)
	if err != nil {
		return err
	}
	target, err := r.ensure(dest, dir)
	if err != nil {
		return err
	}
	defer func() { unix.Close(target) }()
	if kernel {
		// A link in the place of /proc would let the image choose what our own
		// writes to /proc/sys go to (runc CVE-2019-19921).
		plain, err := r.openPlain(dest, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return fmt.Errorf("the image has no plain directory there: %w", err)
		}
		unix.Close(target)
		target = plain
	}
	if targetDir, err := isDir(target); err != nil {
		return err
	} else if targetDir != dir {
		return fmt.Errorf("not a directory: Are you trying to mount a directory onto a file (or vice-versa)? " +
			"Check if the specified host path exists and is the expected type")
	}
	if m.CopyUp {
		if err := copyUp(target, mfd, slices.ContainsFunc(m.Data, isMode)); err != nil {
			return fmt.Errorf("copy what the image has: %w", err)
		}
	}
	if err := attach(mfd, target); err != nil || m.Type != message.ImageMount || m.Subpath == "" {
		return err
	}
	return r.part(mfd, m.Subpath, dest)
}

// part shows only what is at subpath of the mount on dest there.
func (r *Root) part(mount int, subpath, dest string) error {
	sub, err := beneath.Open(mount, subpath, unix.O_PATH|unix.O_DIRECTORY, 0, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	if err != nil {
		return fmt.Errorf("open directory %s of the image: %w", subpath, err)
	}
	defer unix.Close(sub)
	target, err := r.ensure(dest, true)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return cloneOnto(sub, target)
}

func isMode(option string) bool { return strings.HasPrefix(option, "mode=") }

// checkProc refuses to cover procfs, which the runtime itself still trusts.
func checkProc(dest string) error {
	if dest != "/proc" && !strings.HasPrefix(dest, "/proc/") {
		return nil
	}
	for _, f := range procFiles {
		if dest == f {
			return nil
		}
	}
	return fmt.Errorf("%q cannot be mounted because it is inside /proc", dest)
}

func attach(mfd, target int) error {
	if err := unix.MoveMount(mfd, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount: %w", err)
	}
	return nil
}

// detached makes the mount that m describes, attached to nothing yet.
func detached(m *message.Mount) (int, error) {
	switch m.Type {
	case "bind":
		return bind(m)
	case message.ImageMount:
		return image(m)
	}
	mfd, err := New(m.Type, m.Source, m.Data, m.Set|m.RecSet)
	if errors.Is(err, unix.EPERM) && m.Type == "sysfs" {
		// sysfs shows a network namespace and may only be mounted by its owner
		// (kernel 7a5eb3a): with the host's, show the host's, read-only.
		return bind(&message.Mount{
			Source: "/sys", Recursive: true, RecSet: unix.MOUNT_ATTR_RDONLY,
			Set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC,
		})
	}
	if errors.Is(err, unix.EPERM) && m.Type == "proc" && procIsOurs() {
		// It shows a pid namespace and may only be mounted by its owner: with the
		// host's, show the host's.
		return bind(&message.Mount{
			Source: "/proc", Recursive: true, Set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC,
		})
	}
	if errors.Is(err, unix.EPERM) && m.Type == "proc" {
		err = fmt.Errorf("%w (the pid namespace is of another user namespace: give both containers the same --userns)", err)
	}
	if err != nil {
		return -1, err
	}
	if m.Propagation != 0 {
		if err := setattr(mfd, m.Propagation&unix.MS_REC != 0, propagation(m.Propagation)); err != nil {
			unix.Close(mfd)
			return -1, err
		}
	}
	return mfd, nil
}

// procIsOurs reports whether the /proc that is mounted shows the pid namespace
// that the calling process is in: then it counts as one namespace in its line NSpid.
func procIsOurs() bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false // of another namespace, where we are nobody
	}
	for line := range strings.Lines(string(status)) {
		if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			return len(strings.Fields(ids)) == 1
		}
	}
	return false
}

// New makes a mount of a file system type that is attached to nothing.
// data are its options, "key" or "key=value"; attr is MOUNT_ATTR_*.
func New(fstype, source string, data []string, attr uint64) (int, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen %s: %w", fstype, err)
	}
	defer unix.Close(fs)
	if source != "" {
		if err := unix.FsconfigSetString(fs, "source", source); err != nil {
			return -1, fmt.Errorf("fsconfig source: %w", err)
		}
	}
	for _, d := range data {
		key, value, has := strings.Cut(d, "=")
		if has {
			err = unix.FsconfigSetString(fs, key, value)
		} else {
			err = unix.FsconfigSetFlag(fs, key)
		}
		if err != nil {
			return -1, fmt.Errorf("option %s: %w", d, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("create %s: %w", fstype, err)
	}
	mfd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, int(attr))
	if err != nil {
		return -1, fmt.Errorf("fsmount %s: %w", fstype, err)
	}
	return mfd, nil
}

func bind(m *message.Mount) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if m.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	dirfd, source := unix.AT_FDCWD, m.Source
	if m.Subpath != "" {
		// What is below a volume is under the containers' control.
		base, err := unix.Open(m.Source, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, fmt.Errorf("open %s: %w", m.Source, err)
		}
		defer unix.Close(base)
		sub, err := beneath.Open(base, m.Subpath, unix.O_PATH, 0, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
		if err != nil {
			return -1, fmt.Errorf("open %s in %s: %w", m.Subpath, m.Source, err)
		}
		defer unix.Close(sub)
		dirfd, source = sub, ""
		flags |= unix.AT_EMPTY_PATH
	}
	mfd, err := unix.OpenTree(dirfd, source, flags)
	if errors.Is(err, unix.EINVAL) && strings.HasPrefix(source, "/proc/") {
		mfd, err = openElsewhere(source, flags)
	}
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", m.Source, err)
	}
	if err := dress(mfd, m); err != nil {
		unix.Close(mfd)
		return -1, err
	}
	return mfd, nil
}

// openElsewhere copies a mount of another mount namespace, which is named as
// /proc/<pid>/root/<path>: only from within can it be copied (open_tree(2)).
func openElsewhere(source string, flags uint) (int, error) {
	pid, path, ok := strings.Cut(strings.TrimPrefix(source, "/proc/"), "/root/")
	if !ok {
		return -1, unix.EINVAL
	}
	type result struct {
		fd  int
		err error
	}
	done := make(chan result)
	go func() {
		// The thread is not given back: it ends in the other namespace.
		runtime.LockOSThread()
		fd, err := func() (int, error) {
			ns, err := unix.Open("/proc/"+pid+"/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return -1, err
			}
			defer unix.Close(ns)
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return -1, err
			}
			if err := unix.Setns(ns, unix.CLONE_NEWNS); err != nil {
				return -1, err
			}
			return unix.OpenTree(unix.AT_FDCWD, "/"+path, flags|unix.AT_SYMLINK_NOFOLLOW)
		}()
		done <- result{fd, err}
	}()
	r := <-done
	return r.fd, r.err
}

// dress gives a bind its attributes and propagation.
func dress(mfd int, m *message.Mount) error {
	// Private unless asked for otherwise: our namespace's mounts are slaves, and
	// what the host mounts later shall not appear in a container unasked.
	prop := m.Propagation
	if prop == 0 {
		prop = unix.MS_PRIVATE | unix.MS_REC
	}
	if err := setattr(mfd, prop&unix.MS_REC != 0, propagation(prop)); err != nil {
		return err
	}
	if m.Set != 0 || m.Clear != 0 {
		if err := setattr(mfd, false, &unix.MountAttr{Attr_set: m.Set, Attr_clr: m.Clear}); err != nil {
			return err
		}
	}
	if m.RecSet != 0 {
		return setattr(mfd, true, &unix.MountAttr{Attr_set: m.RecSet})
	}
	return nil
}

func propagation(flags uintptr) *unix.MountAttr {
	return &unix.MountAttr{Propagation: uint64(flags &^ unix.MS_REC)}
}
