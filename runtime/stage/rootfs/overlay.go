package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

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
		if err := unix.FsconfigSetString(fs, dir[0], dir[1]); err != nil {
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

// addLower names the lower layers, topmost first: one by one where the kernel
// can (6.8), else in one string, which is bounded.
func addLower(fs int, prefix string, lower []string) error {
	for i, dir := range lower {
		err := unix.FsconfigSetString(fs, "lowerdir+", prefix+dir)
		if i == 0 && errors.Is(err, unix.EINVAL) {
			all := prefix + strings.Join(lower, ":"+prefix)
			if err := unix.FsconfigSetString(fs, "lowerdir", all); err != nil {
				return fmt.Errorf("overlay lowerdir: %w", err)
			}
			return nil
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

// Fuse mounts o with fuse-overlayfs on o.Target. The program stays until the
// mount namespace goes.
func Fuse(o *message.Overlay) error {
	lower := make([]string, len(o.Lower))
	for i, dir := range o.Lower {
		lower[i] = filepath.Join(o.Base, dir)
	}
	opts := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(lower, ":"), o.Upper, o.Work)
	p, err := os.StartProcess(o.Fuse, []string{o.Fuse, "-o", opts, o.Target}, &os.ProcAttr{
		Dir: o.Base, Files: []*os.File{nil, nil, os.Stderr}, Env: []string{},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", o.Fuse, err)
	}
	st, err := p.Wait()
	if err != nil {
		return fmt.Errorf("wait for %s: %w", o.Fuse, err)
	}
	if !st.Success() {
		return fmt.Errorf("%s: %s", o.Fuse, st)
	}
	return nil
}
