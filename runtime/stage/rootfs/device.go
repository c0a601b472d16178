package rootfs

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
)

// defaultDevices are what the OCI specification wants in every container
// (runtime-spec, config-linux.md "Default Devices").
var defaultDevices = []struct {
	path         string
	major, minor int64
}{
	{"/dev/null", 1, 3},
	{"/dev/zero", 1, 5},
	{"/dev/full", 1, 7},
	{"/dev/random", 1, 8},
	{"/dev/urandom", 1, 9},
	{"/dev/tty", 5, 0},
}

// defaultLinks are the symbolic links of the same section.
var defaultLinks = [][2]string{
	{"pts/ptmx", "/dev/ptmx"},
	{"/proc/self/fd", "/dev/fd"},
	{"/proc/self/fd/0", "/dev/stdin"},
	{"/proc/self/fd/1", "/dev/stdout"},
	{"/proc/self/fd/2", "/dev/stderr"},
	{"/proc/kcore", "/dev/core"},
}

// DefaultDevices fills /dev.
func (r *Root) DefaultDevices() error {
	for _, d := range defaultDevices {
		err := r.Device(&message.Device{Path: d.path, Source: d.path, Type: 'c', Major: d.major, Minor: d.minor, Mode: 0o666})
		if err != nil {
			return err
		}
	}
	for _, l := range defaultLinks {
		if err := r.link(l[0], l[1]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Root) link(target, p string) error {
	dir, err := r.ensure(path.Dir(p), true)
	if err != nil {
		return fmt.Errorf("link %s: %w", p, err)
	}
	defer unix.Close(dir)
	if err := unix.Symlinkat(target, dir, path.Base(p)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("link %s: %w", p, err)
	}
	return nil
}

// Device makes one device node, by mknod(2) where the kernel lets us (root
// outside of any user namespace) and else by binding this machine's.
func (r *Root) Device(d *message.Device) error {
	if err := r.device(d); err != nil {
		return fmt.Errorf("device %s: %w", d.Path, err)
	}
	return nil
}

func (r *Root) device(d *message.Device) error {
	dir, err := r.ensure(path.Dir(d.Path), true)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	kind := map[byte]uint32{'c': unix.S_IFCHR, 'u': unix.S_IFCHR, 'b': unix.S_IFBLK, 'p': unix.S_IFIFO}[d.Type]
	name := path.Base(d.Path)
	// The umask is ours and zero here; the mode arrives as asked for.
	err = unix.Mknodat(dir, name, kind|d.Mode, int(unix.Mkdev(uint32(d.Major), uint32(d.Minor))))
	if err == nil {
		if d.UID == 0 && d.GID == 0 {
			return nil
		}
		return unix.Fchownat(dir, name, d.UID, d.GID, unix.AT_SYMLINK_NOFOLLOW)
	}
	if errors.Is(err, unix.EEXIST) {
		return r.sameDevice(dir, name, d)
	}
	if !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("mknod: %w", err)
	}
	if d.Source == "" {
		return fmt.Errorf("mknod: %w", err)
	}
	source, err := unix.Open(d.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", d.Source, err)
	}
	defer unix.Close(source)
	return r.bindFile(source, d.Path)
}

// sameDevice accepts a node that is there already if it is the wanted one.
func (r *Root) sameDevice(dir int, name string, d *message.Device) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if st.Rdev == unix.Mkdev(uint32(d.Major), uint32(d.Minor)) && st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	source, err := unix.Open(d.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", d.Source, err)
	}
	defer unix.Close(source)
	return r.bindFile(source, d.Path)
}

// bindFile mounts what source is open on over p, an empty file if missing.
func (r *Root) bindFile(source int, p string) error {
	target, err := r.ensure(p, false)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return cloneOnto(source, target)
}

// File binds a small file of this machine over p in the root. given is what
// OpenFile returned, -1 to open it here.
func (r *Root) File(f *message.File, given int) error {
	if given < 0 {
		var err error
		if given, err = OpenFile(f); err != nil {
			return err
		}
	}
	defer unix.Close(given)
	target, err := r.ensure(f.Path, false)
	if err == nil {
		defer unix.Close(target)
		err = attach(given, target)
	}
	if err != nil {
		return fmt.Errorf("bind %s: %w", f.Path, err)
	}
	return nil
}

// Terminal opens a new terminal of the container's own devpts, puts it on
// /dev/console and returns its two ends. uid becomes its owner.
func (r *Root) Terminal(uid int) (master, slave int, err error) {
	master, err = r.openPlain("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY)
	if err != nil {
		return -1, -1, fmt.Errorf("open /dev/pts/ptmx: %w", err)
	}
	slave, err = peer(master)
	if err == nil {
		err = unix.Fchown(slave, uid, -1)
	}
	if err == nil {
		err = r.bindFile(slave, "/dev/console")
	}
	if err != nil {
		unix.Close(master)
		return -1, -1, fmt.Errorf("terminal: %w", err)
	}
	return master, slave, nil
}

// OpenTerminal opens a new terminal of the devpts that is mounted in the
// process's own root, for a process that enters a running container.
func OpenTerminal() (master, slave int, err error) {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, -1, fmt.Errorf("open root: %w", err)
	}
	defer unix.Close(root)
	master, err = (&Root{root}).openPlain("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY)
	if err != nil {
		return -1, -1, fmt.Errorf("open /dev/pts/ptmx: %w", err)
	}
	if slave, err = peer(master); err != nil {
		unix.Close(master)
		return -1, -1, fmt.Errorf("terminal: %w", err)
	}
	return master, slave, nil
}

// peer unlocks a terminal and opens its other end without naming it, after
// making sure that it is one (runc CVE-2025-52565).
func peer(master int) (int, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(master, &fs); err != nil || fs.Type != unix.DEVPTS_SUPER_MAGIC {
		return -1, fmt.Errorf("/dev/pts is not a devpts")
	}
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, fmt.Errorf("unlock: %w", err)
	}
	flags := uintptr(unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC)
	slave, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, flags)
	if errno != 0 {
		return -1, fmt.Errorf("open peer: %w", errno)
	}
	return int(slave), nil
}
