package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
)

// ErrNoOverlay says that the kernel does not mount overlay for this process.
var ErrNoOverlay = errors.New("the kernel refuses overlay")

// maxString is fsconfig(2)'s limit of a string, its NUL included.
const maxString = 256

// Overlay assembles layers and upper into one overlay and returns a detached
// mount fd, which the caller attaches or closes. It must run inside the user
// namespace. It returns ErrNoOverlay where the kernel refuses (before 5.11
// there). Where the layers' names are too long for fsconfig it changes the
// working directory to o.Base, which makes them short; see Short.
// https://docs.kernel.org/filesystems/overlayfs.html
func Overlay(o *message.Overlay) (int, error) {
	prefix := o.Base + "/"
	if !Short(o) {
		if err := unix.Chdir(o.Base); err != nil {
			return -1, fmt.Errorf("enter %s: %w", o.Base, err)
		}
		prefix = ""
	}
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		return -1, fmt.Errorf("%w: fsopen: %w", ErrNoOverlay, err)
	}
	if err != nil {
		return -1, fmt.Errorf("fsopen overlay: %w", err)
	}
	defer unix.Close(fs)
	if err := addLower(fs, prefix, o.Lower); err != nil {
		return -1, err
	}
	for _, dir := range [][2]string{{"upperdir", o.Upper}, {"workdir", o.Work}} {
		// Here, unlike for a lower one, the kernel takes a backslash as an escape.
		err := unix.FsconfigSetString(fs, dir[0], strings.ReplaceAll(dir[1], `\`, `\\`))
		if errors.Is(err, unix.EINVAL) {
			// Its file system cannot be an upper layer: another overlay, NFS, ...
			err = fmt.Errorf("%w: %w%s", ErrNoOverlay, err, kernelLog(fs))
		}
		if err != nil {
			return -1, fmt.Errorf("overlay %s: %w", dir[0], err)
		}
	}
	if o.UserAttr {
		if err := unix.FsconfigSetFlag(fs, "userxattr"); err != nil {
			return -1, fmt.Errorf("overlay userxattr: %w", err)
		}
	}
	if o.Volatile {
		// Else unmounting syncs the whole file system of upper. Not known before
		// Linux 5.10, and then only slower.
		_ = unix.FsconfigSetFlag(fs, "volatile")
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
			err = fmt.Errorf("%w: %w", ErrNoOverlay, err)
		}
		return -1, fmt.Errorf("create overlay: %w%s", err, kernelLog(fs))
	}
	mfd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("fsmount overlay: %w", err)
	}
	return mfd, nil
}

// Short reports whether Overlay leaves the working directory alone.
func Short(o *message.Overlay) bool {
	for _, dir := range o.Lower {
		if len(o.Base)+1+len(dir) >= maxString {
			return false
		}
	}
	return true
}

// OldOverlay is Overlay for kernels that do not know lowerdir+ (before 6.8; those
// before 6.5 say so only in the end). They take all options in one page
// (mount(2)), which bounds the number of layers, and only at a mount point: it
// uses o.Target for a moment. It changes the working directory.
func OldOverlay(o *message.Overlay) (int, error) {
	if err := unix.Chdir(o.Base); err != nil {
		return -1, fmt.Errorf("enter %s: %w", o.Base, err)
	}
	if err := os.Mkdir(o.Target, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return -1, fmt.Errorf("make mount point: %w", err)
	}
	// Nothing is looked for there, and it would be in the way of nobody.
	defer os.Remove(o.Target)
	escape := strings.NewReplacer(`\`, `\\`, `,`, `\,`)
	lower := make([]string, len(o.Lower))
	for i, dir := range o.Lower {
		lower[i] = strings.NewReplacer(`\`, `\\`, `,`, `\,`, `:`, `\:`).Replace(dir)
	}
	options := "lowerdir=" + strings.Join(lower, ":") + ",upperdir=" + escape.Replace(o.Upper) + ",workdir=" + escape.Replace(o.Work)
	if o.UserAttr {
		options += ",userxattr"
	}
	if len(options) >= os.Getpagesize() {
		return -1, fmt.Errorf("%w: %d layers are more than this kernel takes", ErrNoOverlay, len(o.Lower))
	}
	err := syscall.EINVAL
	if o.Volatile {
		err = asErrno(unix.Mount("overlay", o.Target, "overlay", 0, options+",volatile"))
	}
	if err == syscall.EINVAL {
		err = asErrno(unix.Mount("overlay", o.Target, "overlay", 0, options))
	}
	if err != 0 {
		return -1, fmt.Errorf("%w: mount overlay: %w", ErrNoOverlay, err)
	}
	defer func() { _ = unix.Unmount(o.Target, unix.MNT_DETACH) }()
	fd, failed := unix.OpenTree(unix.AT_FDCWD, o.Target, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if failed != nil {
		return -1, fmt.Errorf("detach overlay: %w", failed)
	}
	return fd, nil
}

// asErrno is the error number of a system call's error.
func asErrno(err error) syscall.Errno {
	var n syscall.Errno
	errors.As(err, &n)
	return n
}

// addLower names the lower layers, topmost first.
func addLower(fs int, prefix string, lower []string) error {
	for i, dir := range lower {
		name := prefix + dir
		if path.IsAbs(dir) {
			name = dir
		}
		err := unix.FsconfigSetString(fs, "lowerdir+", name)
		if i == 0 && errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("%w: it knows no lowerdir+", ErrNoOverlay)
		}
		if err != nil {
			return fmt.Errorf("overlay layer %s: %w%s", dir, err, kernelLog(fs))
		}
	}
	return nil
}

// kernelLog returns what the kernel said about a mount, ready to append.
func kernelLog(fs int) string {
	buf := make([]byte, 512)
	n, err := unix.Read(fs, buf)
	if err != nil || n <= 2 {
		return ""
	}
	return " (" + strings.TrimSpace(string(buf[2:n])) + ")"
}

// fuseMagic is FUSE's file system type (statfs(2)).
const fuseMagic = 0x65735546

// fuseWait bounds how long fuse-overlayfs may take to mount.
const fuseWait = 10 * time.Second

// Fuse mounts o with fuse-overlayfs on o.Target, which it makes. The program is
// the calling thread's child and dies with it; kill it and unmount o.Target when
// the root is not wanted any more.
func Fuse(o *message.Overlay) (*os.Process, error) {
	if err := os.Mkdir(o.Target, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make mount point: %w", err)
	}
	lower := make([]string, len(o.Lower))
	for i, dir := range o.Lower {
		lower[i] = dir
		if !path.IsAbs(dir) {
			lower[i] = filepath.Join(o.Base, dir)
		}
	}
	escape := strings.NewReplacer(`\`, `\\`, `,`, `\,`) // of libfuse's options
	opts := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", escape.Replace(strings.Join(lower, ":")), escape.Replace(o.Upper), escape.Replace(o.Work)) +
		mapping("uidmapping", o.UIDMap) + mapping("gidmapping", o.GIDMap)
	fd, err := unix.MemfdCreate("stderr", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	said := os.NewFile(uintptr(fd), "stderr")
	defer said.Close()
	// It takes whatever descriptors are free for its layers.
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	p, err := os.StartProcess(o.Fuse, []string{o.Fuse, "-f", "-o", opts, o.Target}, &os.ProcAttr{
		Dir: o.Base, Files: []*os.File{null, null, said}, Env: []string{}, Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Fuse, err)
	}
	if mounted(p.Pid, o.Target) {
		return p, nil
	}
	_ = p.Kill()
	_, _ = p.Wait()
	text := make([]byte, 512)
	n, _ := said.ReadAt(text, 0)
	return nil, fmt.Errorf("%s: %s", o.Fuse, strings.Join(strings.Fields(string(text[:n])), " "))
}

// mapping words one of fuse-overlayfs's options of ids.
func mapping(option string, list []message.IDMap) string {
	var b strings.Builder
	for i, m := range list {
		if i == 0 {
			fmt.Fprintf(&b, ",%s=", option)
		} else {
			b.WriteByte(':')
		}
		fmt.Fprintf(&b, "%d:%d:%d", m.Container, m.Host, m.Size)
	}
	return b.String()
}

// mounted waits until target is a FUSE mount, or the program that should make it
// has ended.
func mounted(pid int, target string) bool {
	for end := time.Now().Add(fuseWait); time.Now().Before(end); time.Sleep(time.Millisecond) {
		var fs unix.Statfs_t
		if unix.Statfs(target, &fs) == nil && fs.Type == fuseMagic {
			return true
		}
		var info unix.Siginfo
		if unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == nil && info.Signo != 0 {
			return false
		}
	}
	return false
}
