package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/runtime/embedded"
	"skiff/runtime/launch"
	"skiff/runtime/network/wire"
	"skiff/runtime/spec"
	"skiff/runtime/stage"
	"skiff/runtime/stage/message"
	"skiff/runtime/stage/rootfs"
	"skiff/storage"
	"skiff/storage/container"
)

// Step is a container that is not published: it runs to its end with the
// caller's streams and leaves nothing but what it wrote into Upper.
type Step struct {
	// Config says what to run and how; ID is only shown. Layers is not used.
	Config *container.Config
	// Dir is the caller's own directory, in which small files are made. Upper and
	// Work are directories on one file system for overlay; Lower are absolute,
	// topmost first.
	Dir, Upper, Work string
	Lower            []string
	// Stdout and Stderr are the process's; its input is empty.
	Stdout, Stderr *os.File
}

// LayersRoot returns the overlay of the layers lower, topmost first, of which
// there must be one. target is where fuse-overlayfs mounts, if need be.
func LayersRoot(st *storage.Store, lower []string, upper, work, target string) (*message.Overlay, error) {
	o := &message.Overlay{
		Base: st.Layers(), Upper: upper, Work: work, UserAttr: rootless.Rootless(), Volatile: true,
		Target: target, Fuse: lookPath("fuse-overlayfs"),
	}
	for _, dir := range lower {
		rel, err := filepath.Rel(o.Base, dir)
		if err != nil {
			return nil, err
		}
		o.Lower = append(o.Lower, rel)
	}
	return o, nil
}

// RunStep runs s to its end and returns its exit code as a shell would tell it.
// A failure before the process was executed is a *StartError. Cancelling ctx
// kills it.
func RunStep(ctx context.Context, st *storage.Store, s *Step) (int, error) {
	if err := rootless.Await(); err != nil {
		return 0, startError(err)
	}
	c := &container.Container{Store: st, Config: s.Config}
	network, err := stepNetwork(ctx, c, s.Dir)
	if err != nil {
		return 0, startError(err)
	}
	defer network.release()
	l, err := stepMessages(ctx, st, c, network, s)
	if err != nil {
		return 0, startError(err)
	}
	ours, theirs, err := message.Pair()
	if err != nil {
		return 0, startError(err)
	}
	defer ours.Close()
	// The parent-death signal is tied to the thread that starts the child, so
	// that this goroutine keeps it until the child has ended.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := spawnStep(st.Cache(), theirs, s)
	theirs.Close()
	if err != nil {
		return 0, startError(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = p.Kill() })
	defer func() {
		_, _ = p.Wait()
		stop()
	}()
	if err = ours.SendConfig(message.LaunchConfig, l); err == nil {
		err = ours.SendLaunch(l)
	}
	var exit message.Exit
	if err == nil {
		_, err = ours.Expect(message.Exited, &exit)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case err != nil:
		return 0, startError(err)
	}
	return exit.Code, nil
}

// stepNetwork is chooseNetwork for a container whose directory is dir.
func stepNetwork(ctx context.Context, c *container.Container, dir string) (network, error) {
	n, err := chooseNetwork(ctx, c)
	if err != nil {
		return n, err
	}
	if h := n.helper; h != nil {
		h.Netns, h.Ready = filepath.Join(dir, filepath.Base(h.Netns)), filepath.Join(dir, filepath.Base(h.Ready))
		for i, arg := range h.Args {
			if rest, ok := strings.CutPrefix(arg, c.Dir()+"/"); ok {
				h.Args[i] = filepath.Join(dir, rest)
			}
		}
	}
	if n.hub != nil {
		var ask wire.Attach
		if err = json.Unmarshal(n.hub.Request, &ask); err == nil {
			ask.Dir = dir
			n.hub.Request, err = json.Marshal(ask)
		}
		if err != nil {
			n.release()
		}
	}
	return n, err
}

func stepMessages(ctx context.Context, st *storage.Store, c *container.Container, network network, s *Step) (*message.Launch, error) {
	cfg := s.Config
	facts, err := gatherFacts(ctx, c)
	if err != nil {
		return nil, err
	}
	rs, err := spec.Build(cfg, facts)
	if err != nil {
		return nil, err
	}
	in := &launch.Input{
		ID: cfg.ID, Bundle: s.Dir, UserByName: true, RootDir: filepath.Join(s.Dir, container.RootDir), Mountpoint: s.Work, Network: network.helper, Hub: network.hub,
	}
	// The layer of mount points is below them, as in every container.
	lower, err := withSkeleton(ctx, st, "", s.Lower)
	if err != nil {
		return nil, err
	}
	if in.Overlay, err = LayersRoot(st, lower, s.Upper, s.Work, in.RootDir); err != nil {
		return nil, err
	}
	if in.Filter, err = filter(c, &cfg.Host, rs.Process.Capabilities.Bounding); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		path string
		make func() ([]byte, error)
	}{
		{"/etc/hosts", func() ([]byte, error) { return hosts(c, network) }},
		{"/etc/resolv.conf", func() ([]byte, error) { return resolvConf(&cfg.Host, network) }},
	} {
		if overmounted(cfg, f.path) {
			continue
		}
		source := filepath.Join(s.Dir, filepath.Base(f.path))
		data, err := f.make()
		if err == nil {
			err = os.WriteFile(source, data, 0o644)
		}
		if err == nil {
			err = os.Chmod(source, 0o644) // whatever the user's umask
		}
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", f.path, err)
		}
		in.Files = append(in.Files, message.File{Path: f.path, Source: source})
	}
	return launch.Messages(rs, in)
}

func spawnStep(cache string, conn message.Conn, s *Step) (*os.Process, error) {
	path, file, err := embedded.Stage(cache)
	if err != nil {
		return nil, err
	}
	if file != nil {
		defer file.Close()
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	// conn stays the caller's to close.
	fd, err := unix.FcntlInt(uintptr(conn.FD), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	dup := os.NewFile(uintptr(fd), "control")
	defer dup.Close()
	p, err := os.StartProcess(path, []string{string(stage.RoleStep)}, &os.ProcAttr{
		Env: stage.Environ(), Files: []*os.File{null, s.Stdout, s.Stderr, dup},
		Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", stage.RoleStep, err)
	}
	return p, nil
}

// MountRoot assembles o in this process's own mount namespace and opens it. The
// caller calls release, after which nothing is mounted. Where overlay would
// change the working directory, it is put back.
func MountRoot(o *message.Overlay) (dir *os.File, release func(), err error) {
	if err := rootless.Await(); err != nil {
		return nil, nil, err
	}
	cwd := ""
	if !rootfs.Short(o) {
		if cwd, err = os.Getwd(); err != nil {
			return nil, nil, err
		}
	}
	fd, err := rootfs.Overlay(o)
	if cwd != "" {
		err = errors.Join(err, os.Chdir(cwd))
	}
	if err == nil {
		f := os.NewFile(uintptr(fd), "root")
		return f, func() { f.Close() }, nil
	}
	if !errors.Is(err, rootfs.ErrNoOverlay) || o.Fuse == "" {
		return nil, nil, err
	}
	p, err := rootfs.Fuse(o)
	if err != nil {
		return nil, nil, err
	}
	end := func() {
		_ = unix.Unmount(o.Target, unix.MNT_DETACH)
		_ = p.Kill()
		_, _ = p.Wait()
	}
	f, err := os.OpenFile(o.Target, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		end()
		return nil, nil, err
	}
	return f, func() { f.Close(); end() }, nil
}

// AttachRoot is MountRoot that leaves the root on o.Target, which it makes, where
// a step that is started later finds it.
func AttachRoot(o *message.Overlay) (release func(), err error) {
	if err := os.Mkdir(o.Target, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	fuse := o.Fuse
	o.Fuse = ""
	dir, end, err := MountRoot(o)
	if errors.Is(err, rootfs.ErrNoOverlay) && fuse != "" {
		o.Fuse = fuse
		_, end, err = MountRoot(o)
		return end, err
	}
	if err != nil {
		return nil, err
	}
	return attach(dir, end, o.Target)
}

// AttachMemory mounts an empty file system on dir that is kept in memory only.
func AttachMemory(dir string) (release func(), err error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsopen tmpfs: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "mode", "0700"); err != nil {
		return nil, fmt.Errorf("tmpfs mode: %w", err)
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("create tmpfs: %w", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsmount tmpfs: %w", err)
	}
	f := os.NewFile(uintptr(fd), dir)
	return attach(f, func() { f.Close() }, dir)
}

// attach puts a detached mount on target; end gives up what is held of it.
func attach(mount *os.File, end func(), target string) (release func(), err error) {
	err = unix.MoveMount(int(mount.Fd()), "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
	end()
	if err != nil {
		return nil, fmt.Errorf("attach mount on %s: %w", target, err)
	}
	return func() { _ = unix.Unmount(target, unix.MNT_DETACH) }, nil
}
