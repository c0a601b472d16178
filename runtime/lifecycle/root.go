package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/runtime/launch"
	"skiff/runtime/spec"
	"skiff/runtime/stage/message"
	"skiff/runtime/stage/rootfs"
	"skiff/storage/container"
	"skiff/storage/container/archive"
)

// Root returns the container's root directory, with its volumes in it, whether
// it runs or not. Nothing there leads out of it, whatever the container does
// meanwhile. The caller calls release, until when a stopped container is not
// started.
func Root(ctx context.Context, c *container.Container) (tree archive.Tree, release func(), err error) {
	if err := rootless.Await(); err != nil {
		return tree, nil, err
	}
	fd, err := openInit(c)
	if err == nil {
		defer unix.Close(fd)
		dir, err := runningRoot(c, fd)
		if err != nil {
			return tree, nil, err
		}
		owners, err := shownOwners(c)
		if err != nil {
			dir.Close()
			return tree, nil, err
		}
		return archive.InRoot(dir).WithOwners(owners), func() { dir.Close() }, nil
	}
	if !errors.Is(err, ErrNotRunning) {
		return tree, nil, err
	}
	op, err := c.Lock(ctx)
	if err != nil {
		return tree, nil, err
	}
	dir, err := mountedRoot(ctx, c)
	if err != nil {
		op.Release()
		return tree, nil, err
	}
	return archive.InRoot(dir), func() { dir.Close(); op.Release() }, nil
}

// shownOwners says whose the files of a running container's root are when its
// root shows them as another's; nil where it does not.
func shownOwners(c *container.Container) (*archive.Owners, error) {
	var f spec.Facts
	if err := idMaps(&f, &c.Config.Host); err != nil || !unowned(&f) {
		return nil, err
	}
	list := func(from []rspec.LinuxIDMapping) (to []archive.IDs) {
		for _, m := range from {
			to = append(to, archive.IDs{Inside: int(m.ContainerID), Outside: int(m.HostID), Size: int(m.Size)})
		}
		return to
	}
	return &archive.Owners{UIDs: list(f.UIDMap), GIDs: list(f.GIDMap)}, nil
}

// runningRoot opens the root as the container sees it. The pidfd proves that
// the pid was its own throughout.
func runningRoot(c *container.Container, pidfd int) (*os.File, error) {
	st, err := c.State()
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("/proc/%d/root", st.Pid)
	fd, err := unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.PidfdSendSignal(pidfd, 0, nil, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("open root of container %.12s: %w", c.Config.ID, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// mountedRoot mounts a stopped container's root in this process's own mount
// namespace, which takes it along when it ends.
func mountedRoot(ctx context.Context, c *container.Container) (*os.File, error) {
	o, err := overlay(ctx, c)
	if err != nil {
		return nil, err
	}
	mfd := -1
	if o == nil {
		mfd, err = rootfs.CloneDir(c.Config.Rootfs)
	} else {
		var cwd string
		if cwd, err = os.Getwd(); err != nil {
			return nil, fmt.Errorf("working directory: %w", err)
		}
		mfd, err = rootfs.Overlay(o)
		if cerr := os.Chdir(cwd); cerr != nil {
			return nil, errors.Join(err, cerr)
		}
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(mfd), c.Config.ID)
	root, err := rootfs.FromMount(mfd, filepath.Join(c.Dir(), container.WorkDir))
	if err != nil {
		f.Close()
		return nil, err
	}
	facts, err := gatherFacts(ctx, c)
	if err != nil {
		f.Close()
		return nil, err
	}
	s, err := spec.Build(c.Config, facts)
	if err != nil {
		f.Close()
		return nil, err
	}
	images := imageMounts(c)
	for i := range s.Mounts {
		m, err := launch.Mount(&s.Mounts[i])
		if err == nil && m.Opened() {
			m.Image = images[m.Destination]
			err = root.Mount(m, -1)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// imageMounts are the layers of the images that the container mounts, and the
// directories that it mounts below a layer of its own, by their destinations: each with a writable layer of the container's own above, which
// goes with it.
func imageMounts(c *container.Container) map[string]*message.Overlay {
	all := map[string]*message.Overlay{}
	for i, m := range c.Config.Mounts {
		if m.Type != message.ImageMount && !m.Overlay {
			continue
		}
		dir := filepath.Join(c.Dir(), "image-"+strconv.Itoa(i))
		o := &message.Overlay{
			Base: c.Store.Layers(), Upper: filepath.Join(dir, container.UpperDir), Work: filepath.Join(dir, container.WorkDir),
			UserAttr: rootless.Rootless(), Volatile: c.Config.Host.AutoRemove, Target: filepath.Join(dir, container.RootDir),
		}
		for _, id := range m.Layers {
			o.Lower = append(o.Lower, id+"/diff")
		}
		if m.Overlay {
			o.Lower = []string{m.Source}
		}
		all[m.Destination] = o
	}
	return all
}
