package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/runtime/cdi"
	"skiff/runtime/cgroup"
	"skiff/runtime/embedded"
	"skiff/runtime/launch"
	"skiff/runtime/seccomp"
	"skiff/runtime/spec"
	"skiff/runtime/stage"
	"skiff/runtime/stage/message"
	"skiff/runtime/stage/rootfs"
	"skiff/storage"
	"skiff/storage/atomicfile"
	"skiff/storage/container"
	"skiff/storage/container/state"
	snetwork "skiff/storage/network"
	"skiff/storage/temp"
)

// Create publishes the container that cfg describes and returns it. cfg.ID,
// Created and Version are filled when empty; cfg.Layers and Mounts must be
// resolved. It returns a *container.NameTakenError or InvalidNameError as
// docker words them.
//
// With starting, Start follows; until it has, the container goes with this
// process if it is to vanish at its end.
//
// It also sweeps what killed commands left; that costs a clean store one look.
func Create(ctx context.Context, st *storage.Store, cfg *container.Config, starting bool) (*container.Container, error) {
	sweep(st)
	if isAuto(cfg.Host.UsernsMode) {
		held, err := chooseIDs(ctx, st, cfg)
		if err != nil {
			return nil, err
		}
		defer held.Release()
	}
	c, err := container.Publish(ctx, st, cfg, starting)
	if err == nil {
		c.Emit("create")
		if restarted(cfg.Host.RestartPolicy) {
			err = KeepBootUnit(st, cfg.Host.RestartPolicy)
		}
	}
	return c, err
}

// volumeUses are the volumes among mounts, for the record of events.
func volumeUses(mounts []container.Mount) (uses []message.VolumeUse) {
	for _, m := range mounts {
		if m.Type == "volume" {
			uses = append(uses, message.VolumeUse{
				Name: m.Name, Destination: m.Destination, Propagation: m.Propagation, ReadOnly: !m.RW,
			})
		}
	}
	return uses
}

// networkUses are the networks that the container is on, for the record of
// events.
func networkUses(c *container.Container) (uses []message.NetworkUse) {
	wanted := c.Config.Endpoints()
	if mode := c.Config.Host.NetworkMode; mode == snetwork.None || mode == snetwork.Host {
		wanted = []container.Endpoint{{Network: mode}}
	}
	for _, e := range wanted {
		if n, err := snetwork.Find(c.Store, e.Network); err == nil {
			uses = append(uses, message.NetworkUse{ID: n.ID, Name: n.Name, Driver: n.Driver})
		}
	}
	return uses
}

// sweep deletes what the dead left. What cannot be deleted now is tried again by
// the next command, and is nobody's failure.
func sweep(st *storage.Store) { _ = container.Sweep(st, rootless.Await) }

// settled returns who holds the container, 0 for nobody, and its state, once these
// belong together: a monitor without a process is ending, or starting still, for
// somebody who was killed.
//
// Requires the op lock, exclusive.
func settled(ctx context.Context, c *container.Container) (holder int, st state.State, err error) {
	for wait := shortWait; ; wait = wait.next() {
		if holder, err = c.Holder(); err != nil {
			return 0, st, err
		}
		if st, err = c.State(); err != nil || holder == 0 || st.Pid != 0 || st.Restarting {
			return holder, st, err
		}
		if err := wait.pass(ctx); err != nil {
			return 0, st, err
		}
	}
}

// Start starts a created or stopped container under a monitor of its own and
// returns once its process was executed. Already running: nil, nil for no
// attachment, else a session on the running process. A failure before that is
// a *StartError and is also recorded in the container's state.
func Start(ctx context.Context, c *container.Container, o StartOptions) (Session, error) {
	defer rootless.EndTurn()
	if err := startRequired(ctx, c); err != nil {
		return nil, startError(err)
	}
	op, err := c.Lock(ctx)
	if err != nil {
		return nil, startError(err)
	}
	defer op.Release()
	defer c.Started()
	holder, st, err := settled(ctx, c)
	if err != nil {
		return nil, startError(err)
	}
	switch {
	case holder != 0 && st.Pid != 0 && o.Attach == nil:
		return nil, nil
	case holder != 0 && st.Pid != 0:
		return Attach(ctx, c, *o.Attach)
	case holder != 0:
		return nil, nil // it comes by itself
	case st.Pid != 0:
		// A monitor was killed and its container lives on.
		if err := container.Reap(st); err != nil {
			return nil, startError(err)
		}
	}
	network, err := chooseNetwork(ctx, c)
	if err != nil {
		return nil, startError(err)
	}
	defer network.release()
	m, err := monitorConfig(ctx, c, network, o)
	if err != nil {
		return nil, startError(err)
	}
	if err := rootless.Await(); err != nil {
		return nil, startError(err)
	}
	if err := c.MarkRunning(); err != nil {
		return nil, startError(err)
	}
	session, err := startMonitor(c, m, o.Ahead)
	if err != nil {
		err = explain(c, err)
	}
	return session, err
}

// LayerMissingError says that a container cannot start because its image, or a part
// of it, is not in the store: it was damaged, and set aside.
type LayerMissingError struct {
	Layer string // its id
	Image string // as the user named it
	Cause error
}

func (e *LayerMissingError) Error() string {
	return fmt.Sprintf("layer %.12s of %s is missing: %v", e.Layer, e.Image, e.Cause)
}

func (e *LayerMissingError) Unwrap() error { return e.Cause }

// Hint returns what the user can do about it.
func (e *LayerMissingError) Hint() string {
	return "pull, load or build " + e.Image + " again; `skiff system check` says what else is damaged"
}

// explain finds out whether a start has failed because a layer is missing. Only then:
// looking costs time, and every start would pay.
func explain(c *container.Container, err error) error {
	for _, id := range c.Config.Layers {
		if _, gone := os.Stat(filepath.Join(c.Store.Layers(), id, "diff")); errors.Is(gone, os.ErrNotExist) {
			return &StartError{Code: 125, Err: &LayerMissingError{Layer: id, Image: c.Config.Config.Image, Cause: err}}
		}
	}
	return err
}

// startRequired starts what must run before c. It cannot go round in a circle: a
// container requires only what was there before it.
func startRequired(ctx context.Context, c *container.Container) error {
	for _, id := range c.Config.Host.Requires {
		other, err := container.Find(c.Store, id)
		if err == nil {
			_, err = Start(ctx, other, StartOptions{})
		}
		if err != nil {
			return fmt.Errorf("start container %.12s, which this one requires: %w", id, err)
		}
	}
	return nil
}

// startError makes any failure before the container's own a StartError.
func startError(err error) error {
	var f *message.Failure
	if errors.As(err, &f) {
		return &StartError{Code: f.Code, Err: err}
	}
	return &StartError{Code: 125, Err: err}
}

// monitorConfig prepares everything that the stage applies.
func monitorConfig(ctx context.Context, c *container.Container, network network, o StartOptions) (*message.Monitor, error) {
	cfg, attach := c.Config, o.Attach
	facts, err := gatherFacts(ctx, c)
	if err != nil {
		return nil, err
	}
	if facts.Edits, err = cdi.Find(ctx, c.Store.Cache(), os.Getenv, cfg.Host.DeviceRequests); err != nil {
		return nil, err
	}
	s, err := spec.Build(cfg, facts)
	if err != nil {
		return nil, err
	}
	if err := passNotifySocket(s, o.NotifySocket); err != nil {
		return nil, err
	}
	in := &launch.Input{
		Given: o.given(), ID: cfg.ID, Bundle: c.Dir(), UserByName: true, AddGroups: cfg.Host.GroupAdd,
		// Anything would do that hides nothing which init still opens.
		Mountpoint: filepath.Join(c.Dir(), container.WorkDir),
		Reaper:     cfg.Host.Init != nil && *cfg.Host.Init,
		Pause:      cfg.Infra != nil,
	}
	if attach != nil {
		in.Size = message.Size{Rows: attach.Rows, Cols: attach.Cols}
	}
	if strings.HasPrefix(cfg.Host.UsernsMode, "keep-id") && cfg.Config.User == "" {
		s.Process.User.Username = keptUser(facts.UIDMap) + ":" + keptUser(facts.GIDMap)
	}
	for _, gid := range s.Process.User.AdditionalGids {
		in.AddGroups = append(slices.Clip(in.AddGroups), strconv.FormatUint(uint64(gid), 10))
	}
	if in.Overlay, err = overlay(ctx, c); err != nil {
		return nil, err
	}
	if in.Overlay == nil {
		in.RootDir = cfg.Rootfs
	}
	in.Images = imageMounts(c)
	in.OpenSources = len(facts.UIDMap)+len(in.Images) > 0
	if unowned(facts) {
		if err := shift(c, in.Overlay, facts); err != nil {
			return nil, err
		}
		in.Mountpoint = openDir
	}
	if len(cfg.Host.DeviceRequests) > 0 {
		if err := bundle(c, s, in, facts); err != nil {
			return nil, err
		}
	}
	env, err := secretVariables(c)
	if err != nil {
		return nil, err
	}
	s.Process.Env = append(append(s.Process.Env, env...), o.Sockets.environment()...)
	if in.Filter, err = filter(c, &cfg.Host, s.Process.Capabilities.Bounding); err != nil {
		return nil, err
	}
	in.Network, in.Hub = network.helper, network.hub
	if in.Files, err = writeFiles(c, network, facts); err != nil {
		return nil, err
	}
	secrets, err := secretFiles(c, facts)
	if err != nil {
		return nil, err
	}
	in.Files = append(in.Files, secrets...)
	for _, m := range cfg.Mounts {
		if m.Copy && m.Source != "" && !m.Tmpfs {
			in.Copies = append(in.Copies, message.Copy{Path: m.Destination, To: m.Source})
		}
		if m.Own {
			in.Own = append(in.Own, m.Destination)
		}
	}
	in.OwnCgroup, _ = cgroup.Wanted(&cfg.Host)
	l, err := launch.Messages(s, in)
	if err != nil {
		return nil, err
	}
	m := &message.Monitor{
		ID: cfg.ID, Dir: c.Dir(), RunningLink: c.RunningLink(), NameLink: c.NameLink(),
		AutoRemove: cfg.Host.AutoRemove, Discard: c.Trash(), Launch: *l,
		Given: o.given(), Tty: cfg.Config.Tty, OpenStdin: cfg.Config.OpenStdin, StdinOnce: cfg.Config.StdinOnce,
		OpenFiles: rootless.OpenFiles(), Durable: !cfg.Host.AutoRemove, BootID: container.BootID(),
		Events: message.Events{Dir: c.Store.Events(), Attributes: container.EventAttributes(cfg), Volumes: volumeUses(cfg.Mounts), Networks: networkUses(c)},
	}
	if p := cfg.Host.RestartPolicy; p.Name != "no" {
		m.Restart = message.Restart{Name: p.Name, Max: p.MaximumRetryCount}
	}
	if m.Health, err = healthConfig(c); err != nil {
		return nil, err
	}
	if err := lifeConfig(c, m); err != nil {
		return nil, err
	}
	m.Timeout = time.Duration(cfg.Host.Timeout) * time.Second
	if m.AutoRemove {
		m.Trash = c.AnonymousVolumes()
	}
	if m.Log, err = logConfig(c); err != nil {
		return nil, err
	}
	m.Direct = passthrough(&cfg.Host) && o.Direct
	if attach != nil {
		m.Attach = &message.Attach{
			Stdin: attach.Stdin, Stdout: attach.Stdout, Stderr: attach.Stderr, Rows: attach.Rows, Cols: attach.Cols,
		}
	}
	return m, nil
}

// openDir is a directory that every user may enter. Nothing that init opens
// is there.
const openDir = "/tmp"

// overlay is how the root is assembled; nil where it is a directory as it is.
func overlay(ctx context.Context, c *container.Container) (*message.Overlay, error) {
	if !c.Config.OwnsRoot() {
		return nil, nil
	}
	o := &message.Overlay{
		Base: c.Store.Layers(), Upper: filepath.Join(c.Dir(), container.UpperDir),
		Work: filepath.Join(c.Dir(), container.WorkDir), UserAttr: rootless.Rootless(),
		Volatile: c.Config.Host.AutoRemove,
		Target:   filepath.Join(c.Dir(), container.RootDir), Fuse: lookPath("fuse-overlayfs"),
	}
	foreign := false
	for _, id := range c.Config.Layers {
		o.Lower = append(o.Lower, id+"/diff")
		foreign = foreign || strings.Contains(id, "/")
	}
	if c.Config.Rootfs != "" {
		// By its whole name: the kernel follows it from anywhere.
		o.Lower = append(o.Lower, c.Config.Rootfs)
	}
	if foreign || len(c.Config.Layers) == 0 {
		// Layers of another store, and the lowest, are found from the directory of
		// our own, which comes with the first image.
		if err := os.MkdirAll(o.Base, 0o700); err != nil {
			return nil, fmt.Errorf("make directory of layers: %w", err)
		}
	}
	var err error
	if o.Lower, err = withSkeleton(ctx, c.Store, o.Base, o.Lower); err != nil {
		return nil, err
	}
	return o, nil
}

// given is how many descriptors the process gets beside its standard streams.
func (o *StartOptions) given() int { return o.Sockets.Count + o.Preserve }

// environment announces the sockets to the process; init adds LISTEN_PID.
func (s Sockets) environment() []string {
	if s.Count == 0 {
		return nil
	}
	env := []string{"LISTEN_FDS=" + strconv.Itoa(s.Count)}
	if s.Names != "" {
		env = append(env, "LISTEN_FDNAMES="+s.Names)
	}
	return env
}

// filter chooses the seccomp filter; nil is none.
func filter(c *container.Container, h *container.Host, caps []string) (*seccomp.Filter, error) {
	cache := c.Store.Cache()
	profile := "default"
	for _, o := range h.SecurityOpt {
		if v, ok := strings.CutPrefix(strings.Replace(o, ":", "=", 1), "seccomp="); ok {
			profile = v
		}
	}
	switch {
	case profile == "unconfined" || h.Privileged && profile == "default":
		return nil, nil
	case profile == "default" || profile == "builtin":
		return seccomp.Default(cache, caps)
	}
	return seccomp.FromFile(cache, profile, caps)
}

// startMonitor gives the monitor its configuration and waits for the container's
// process to be executed.
func startMonitor(c *container.Container, m *message.Monitor, ahead *Ahead) (Session, error) {
	root := mountAhead(m.Launch.Overlay)
	conn, err := ahead.take(m)
	if err != nil {
		var pid int
		conn, pid, err = spawnMonitor(c.Store.Cache(), "", ownStreams(m))
		if err == nil {
			err = limit(c, m, pid)
		}
		if err != nil && pid > 0 {
			conn.Close()
		}
	}
	if err != nil {
		closeAll(root)
		return nil, startError(err)
	}
	err = sendMonitor(conn, c, m)
	if err == nil {
		err = conn.SendLaunch(&m.Launch, root...)
	}
	closeAll(root)
	if err == nil {
		_, err = conn.Expect(message.Started, nil)
	}
	if err != nil {
		conn.Close()
		return nil, startError(err)
	}
	if m.Attach == nil {
		conn.Close()
		return nil, nil
	}
	return newStream(conn, c), nil
}

// sendMonitor sends the configuration, with what the monitor's own work needs.
func sendMonitor(conn message.Conn, c *container.Container, m *message.Monitor) error {
	var fds []int
	for _, p := range []struct {
		wanted bool
		open   func() (*os.File, error)
	}{
		{m.Joiner != "", func() (*os.File, error) { return os.Open("/proc/self/exe") }},
		{m.Probes, func() (*os.File, error) { return embedded.Prober(c.Store.Cache()) }},
	} {
		if !p.wanted {
			continue
		}
		f, err := p.open()
		if err != nil {
			return err
		}
		defer f.Close()
		fds = append(fds, int(f.Fd()))
	}
	err := conn.SendConfig(message.MonitorConfig, m, append(fds, preserved(m.Given)...)...)
	if errors.Is(err, unix.EPIPE) {
		err = fmt.Errorf("the container's monitor died before it was told what to start: %w", err)
	}
	return err
}

// limit gives the container its control group, if it gets one.
func limit(c *container.Container, m *message.Monitor, monitor int) error {
	if wanted, _ := cgroup.Wanted(&c.Config.Host); !wanted {
		return nil
	}
	g, err := cgroup.Make(c.Config.ID, &c.Config.Host, monitor)
	if err != nil {
		return fmt.Errorf("limit resources: %w", err)
	}
	m.Cgroups, m.OOM = g.Dirs, g.Events
	return nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// mountAhead assembles the root while the monitor is still starting. Where that
// fails the monitor tries again, with other means, and says why.
func mountAhead(o *message.Overlay) []int {
	if o == nil || !rootfs.Short(o) || len(o.UIDMap) > 0 {
		return nil // there is none, the working directory is the user's, or the kernel cannot
	}
	fd, err := rootfs.Overlay(o)
	if err != nil {
		return nil
	}
	return []int{fd}
}

// ownStreams are this process's streams, for a container that gets them itself.
func ownStreams(m *message.Monitor) (streams [3]*os.File) {
	if !m.Direct {
		return streams
	}
	streams = [3]*os.File{nil, os.Stdout, os.Stderr}
	if m.OpenStdin {
		streams[0] = os.Stdin
	}
	return streams
}

// spawnMonitor starts a monitor and returns its pid. It waits for its configuration on the
// returned connection and ends when that is closed before.
func spawnMonitor(cache, hint string, streams [3]*os.File) (message.Conn, int, error) {
	ours, theirs, err := message.Pair()
	if err != nil {
		return ours, 0, err
	}
	pid, err := spawnStage(cache, stage.RoleMonitor, hint, theirs, streams)
	theirs.Close()
	if err != nil {
		ours.Close()
	}
	return ours, pid, err
}

// spawnStage starts the stage program in a role, in a session of its own, with
// its standard streams on /dev/null, or those that are given.
func spawnStage(cache string, role stage.Role, hint string, conn message.Conn, streams [3]*os.File) (pid int, err error) {
	path, file, err := embedded.Stage(cache)
	if err != nil {
		return 0, err
	}
	if file != nil {
		defer file.Close()
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	files := []uintptr{null.Fd(), null.Fd(), null.Fd(), uintptr(conn.FD)}
	for i, f := range streams {
		if f != nil {
			files[i] = f.Fd()
		}
	}
	args := []string{string(role)}
	if hint != "" {
		args = append(args, hint)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err == nil && unix.Prctl(unix.PR_SET_TIMERSLACK, rootless.StageTimerSlack, 0, 0, 0) == nil {
		defer func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0) }()
	}
	pid, err = syscall.ForkExec(path, args, &syscall.ProcAttr{
		Env:   stage.Environ(),
		Files: files,
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", role, err)
	}
	return pid, nil
}

// recordStop notes that a user stopped the container, for unless-stopped.
//
// Requires the op lock, exclusive.
func recordStop(c *container.Container) error {
	st, err := c.State()
	if err != nil || st.Stopped {
		return err
	}
	st.Stopped = true
	data, err := state.Encode(st)
	if err != nil {
		return err
	}
	// The monitor, who writes it otherwise, would not take away what a kill leaves.
	return temp.WriteFile(context.Background(), c.Store, filepath.Join(c.Dir(), state.File), data, 0o600, atomicfile.Volatile)
}
