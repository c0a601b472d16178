// Package container is the commands about containers. Each verb has a file:
// flags to options, one call below, print. create and run share options.go
// (what was asked), configure.go (with what the image says), mount.go (what is
// mounted) and source.go (where the image comes from).
package container

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage/container"
)

// createOptions is what the user asked for; nothing below it sees a flag.
type createOptions struct {
	Name       string
	Image      string
	Args       []string
	Entrypoint []string // nil: the image's; one empty string: none
	Pull       string   // always, missing, never
	Platform   string
	Quiet      bool
	CIDFile    string
	Created    time.Time // zero: now
	Replace    bool      // a container of that name gives way
	Rootfs     bool      // Image is a directory, with :O behind it if it shall stay as it is
	Starting   bool      // it is started at once: run
	Pod        string    // that it joins, a name or an id
	// Infra makes it the container of a pod, without an image.
	Infra *container.Infra

	Process container.Process // only what was asked, to be merged with the image's
	Host    container.Host

	Networks []container.Endpoint // empty: what Host.NetworkMode says

	Volumes     []flags.Volume
	VolumesFrom []string

	// Warnings are what the user must know about flags that have no effect.
	Warnings []string
}

func createFlags() []cli.Flag {
	own := []cli.Flag{
		flags.TypedList(&cli.StringSliceFlag{Name: "annotation", Usage: "Add an annotation to the container (passed through to the OCI runtime)"}, "map"),
		&cli.StringSliceFlag{Name: "attach", Aliases: []string{"a"}, Usage: "Attach to STDIN, STDOUT or STDERR"},
		&cli.StringFlag{Name: "cgroupns", Usage: "Cgroup namespace to use (host|private)"},
		&cli.StringFlag{Name: "cidfile", Usage: "Write the container ID to the file"},
		&cli.BoolFlag{Name: "disable-content-trust", Value: true, Hidden: true, Usage: "Skip image verification"},
		&cli.StringFlag{Name: "entrypoint", Usage: "Overwrite the default ENTRYPOINT of the image"},
		&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "Set environment variables"},
		&cli.StringSliceFlag{Name: "env-file", Usage: "Read in a file of environment variables"},
		&cli.BoolFlag{Name: "init", Usage: "Run an init inside the container that forwards signals and reaps processes"},
		&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "Keep STDIN open even if not attached"},
		&cli.StringFlag{Name: "ipc", Usage: "IPC mode to use"},
		&cli.StringFlag{Name: "isolation", Usage: "Container isolation technology"},
		&cli.StringSliceFlag{Name: "label", Aliases: []string{"l"}, Usage: "Set meta data on a container"},
		&cli.StringSliceFlag{Name: "label-file", Usage: "Read in a line delimited file of labels"},
		flags.TypedList(&cli.StringSliceFlag{Name: "mount", Usage: "Attach a filesystem mount to the container"}, "mount"),
		&cli.StringFlag{Name: "name", Usage: "Assign a name to the container"},
		&cli.StringFlag{Name: "pid", Usage: "PID namespace to use"},
		&cli.StringFlag{Name: "pod", Usage: "Pod to join, with its network, ipc and names"},
		&cli.StringFlag{Name: "platform", Usage: "Set platform if server is multi-platform capable"},
		&cli.StringFlag{Name: "pull", Value: "missing", Usage: `Pull image before running ("always", "missing", "never")`},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "Suppress the pull output"},
		&cli.BoolFlag{Name: "replace", Usage: "Remove a container of the same name first, even if it runs"},
		&cli.BoolFlag{Name: "rm", Usage: "Automatically remove the container and its associated anonymous volumes when it exits"},
		&cli.BoolFlag{Name: "rootfs", Usage: "The first argument is not an image but a directory to run from: changed by the container, or left as it is with :O behind its name"},
		&cli.StringFlag{Name: "runtime", Usage: "Runtime to use for this container"},
		&cli.StringSliceFlag{Name: "storage-opt", Usage: "Storage driver options for the container"},
		&cli.StringSliceFlag{Name: "tmpfs", Usage: "Mount a tmpfs directory"},
		&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "Allocate a pseudo-TTY"},
		&cli.BoolFlag{Name: "use-api-socket", Usage: "Bind mount Docker API socket and required auth"},
		&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "Username or UID (format: <name|uid>[:<group|gid>])"},
		&cli.StringFlag{Name: "uts", Usage: "UTS namespace to use"},
		&cli.StringSliceFlag{Name: "volume", Aliases: []string{"v"}, Usage: "Bind mount a volume"},
		&cli.StringFlag{Name: "volume-driver", Usage: "Optional volume driver for the container"},
		&cli.StringSliceFlag{Name: "volumes-from", Usage: "Mount volumes from the specified container(s)"},
		&cli.StringFlag{Name: "workdir", Aliases: []string{"w"}, Usage: "Working directory inside the container"},
	}
	return slices.Concat(own, flags.ResourceFlags(), flags.SecurityFlags(), flags.NetworkFlags(), flags.LifeFlags(), flags.ExtraFlags())
}

// UnitLabel is the environment variable in which units name themselves, and the
// label of the containers made there.
const UnitLabel = "PODMAN_SYSTEMD_UNIT"

// parseCreate reads the flags that create and run share. It touches nothing but
// the files that the flags name. Its errors make exit code 125.
func parseCreate(c *cli.Context, e *env.Env) (createOptions, error) {
	o := createOptions{
		Name:        c.String("name"),
		Image:       c.Args().First(),
		Args:        c.Args().Tail(),
		Pull:        c.String("pull"),
		Platform:    c.String("platform"),
		Quiet:       c.Bool("quiet"),
		CIDFile:     c.String("cidfile"),
		Replace:     c.Bool("replace"),
		Rootfs:      c.Bool("rootfs"),
		Pod:         c.String("pod"),
		VolumesFrom: c.StringSlice("volumes-from"),
	}
	if o.Replace && o.Name == "" {
		return o, errors.New("cannot replace container without --name being set")
	}
	if o.Platform == "" {
		o.Platform = e.Getenv("DOCKER_DEFAULT_PLATFORM")
	}
	if c.IsSet("entrypoint") {
		o.Entrypoint = []string{c.String("entrypoint")}
	}
	switch o.Pull {
	case "always", "missing", "never":
	case "":
		o.Pull = "missing"
	default:
		return o, fmt.Errorf("invalid pull option: '%s': must be one of \"always\", \"missing\" or \"never\"", o.Pull)
	}
	for _, group := range []func() ([]string, error){
		func() ([]string, error) { return flags.Resources(c, &o.Host) },
		func() ([]string, error) { return flags.Security(c, &o.Host) },
		func() (warnings []string, err error) {
			o.Networks, warnings, err = flags.Network(c, &o.Process, &o.Host)
			return warnings, err
		},
		func() ([]string, error) { return flags.Life(c, &o.Process, &o.Host) },
		func() ([]string, error) { return nil, flags.Extra(c, &o.Process, &o.Host) },
		func() ([]string, error) { return o.process(c, e) },
		func() ([]string, error) { return o.namespaces(c) },
		func() ([]string, error) { return nil, o.mounts(c) },
	} {
		warnings, err := group()
		if err != nil {
			return o, err
		}
		o.Warnings = append(o.Warnings, warnings...)
	}
	if err := o.checkPassthrough(false); err != nil {
		return o, err
	}
	return o, o.refuse(c)
}

// checkPassthrough refuses what needs somebody between the container and the
// caller's streams.
func (o *createOptions) checkPassthrough(detached bool) error {
	switch {
	case o.Host.LogConfig.Type != "passthrough":
	case o.Process.Tty:
		return errors.New("conflicting options: --tty and --log-driver=passthrough, which has no terminal to offer")
	case detached:
		return errors.New("conflicting options: --detach and --log-driver=passthrough, which gives the caller's own streams to the container")
	}
	return nil
}

func (o *createOptions) process(c *cli.Context, e *env.Env) (warnings []string, err error) {
	p := &o.Process
	p.Tty, p.OpenStdin = c.Bool("tty"), c.Bool("interactive")
	p.User, p.WorkingDir, p.Image = c.String("user"), c.String("workdir"), o.Image
	if p.Env, err = flags.Environment(c.StringSlice("env-file"), c.StringSlice("env"), flags.Environ(e.Environ())); err != nil {
		return nil, err
	}
	p.Env = flags.Merge(p.Env, flags.Proxies(e, c.StringSlice("env")))
	if p.Labels, err = flags.Labels(c.StringSlice("label-file"), c.StringSlice("label")); err != nil {
		return nil, err
	}
	// As podman does it: in which unit to restart the container (auto-update).
	if unit := e.Getenv(UnitLabel); unit != "" {
		if p.Labels == nil {
			p.Labels = map[string]string{}
		}
		p.Labels[UnitLabel] = unit
	}
	for _, stream := range c.StringSlice("attach") {
		switch strings.ToLower(stream) {
		case "stdin":
			p.AttachStdin = true
		case "stdout":
			p.AttachStdout = true
		case "stderr":
			p.AttachStderr = true
		default:
			return nil, &failure.Value{Flag: "attach", Value: stream, Err: errors.New("valid streams are STDIN, STDOUT and STDERR")}
		}
	}
	// With -i it is attached whatever else is, as with docker.
	p.AttachStdin = p.AttachStdin || p.OpenStdin && len(c.StringSlice("attach")) > 0
	for _, a := range c.StringSlice("annotation") {
		key, value, ok := strings.Cut(a, "=")
		if !ok || key == "" {
			return nil, &failure.Value{Flag: "annotation", Value: a, Err: errors.New("must be formatted as key=value")}
		}
		if o.Host.Annotations == nil {
			o.Host.Annotations = map[string]string{}
		}
		o.Host.Annotations[key] = value
	}
	o.Host.AutoRemove = c.Bool("rm")
	if o.Host.AutoRemove && o.Host.RestartPolicy.Name != "no" {
		return nil, errors.New("conflicting options: cannot specify both --restart and --rm")
	}
	if c.IsSet("init") {
		with := c.Bool("init")
		o.Host.Init = &with
	}
	return nil, nil
}

func (o *createOptions) namespaces(c *cli.Context) (warnings []string, err error) {
	h := &o.Host
	h.PidMode, h.IpcMode, h.UTSMode, h.CgroupnsMode = c.String("pid"), c.String("ipc"), c.String("uts"), c.String("cgroupns")
	for _, n := range []struct {
		value   string
		err     string
		allowed []string
	}{
		{h.PidMode, "--pid: invalid PID mode", []string{"", "host", "container"}},
		{h.IpcMode, "", []string{"", "none", "private", "shareable", "host", "container"}},
		{h.UTSMode, "--uts: invalid UTS mode", []string{"", "host"}},
		{h.CgroupnsMode, "--cgroupns: invalid CGROUP mode", []string{"", "host", "private"}},
	} {
		kind, ref, isRef := strings.Cut(n.value, ":")
		if !slices.Contains(n.allowed, kind) || isRef != (kind == "container") || isRef && ref == "" {
			if n.err == "" {
				return nil, failure.Engine(nil, "invalid IPC mode: %s", n.value)
			}
			return nil, errors.New(n.err)
		}
	}
	if h.UTSMode == "host" && o.Process.Hostname != "" {
		return nil, errors.New("conflicting options: hostname and the UTS mode")
	}
	if strings.HasPrefix(h.NetworkMode, "container:") && o.Process.Hostname != "" {
		return nil, errors.New("conflicting options: hostname and the network mode")
	}
	h.Runtime = "skiff"
	switch name := c.String("runtime"); name {
	case "", "skiff":
	case "runc", "crun", "io.containerd.runc.v2":
		warnings = append(warnings, "--runtime "+name+" is not supported; the built-in runtime is used.")
	default:
		return nil, failure.Engine(nil, "unknown or invalid runtime name: %s", name)
	}
	return warnings, nil
}

func (o *createOptions) mounts(c *cli.Context) error {
	dir, err := os.Getwd()
	if err != nil {
		// Only relative sources need it, and they say so when they do not exist.
		dir = "/"
	}
	seen := map[string]bool{}
	claim := func(dest string) error {
		if seen[dest] {
			return fmt.Errorf("Duplicate mount point: %s", dest)
		}
		seen[dest] = true
		return nil
	}
	typed := map[string]bool{}
	for _, raw := range c.StringSlice("volume") {
		if typed[raw] {
			continue // the very same twice is once, as with docker
		}
		typed[raw] = true
		v, err := flags.ParseVolume(raw, dir)
		if err != nil {
			return err
		}
		if err := claim(v.Destination); err != nil {
			return err
		}
		o.Volumes = append(o.Volumes, v)
	}
	for _, raw := range c.StringSlice("mount") {
		m, err := flags.ParseMount(raw, dir)
		if err != nil {
			var said *failure.Error
			if errors.As(err, &said) {
				return err
			}
			return &failure.Value{Flag: "mount", Value: raw, Err: err}
		}
		if m.Target, err = flags.CheckDestination(m.Target); err != nil {
			return fmt.Errorf("invalid mount config for type %q: %w", m.Type, err)
		}
		if err := claim(m.Target); err != nil {
			return err
		}
		o.Host.Mounts = append(o.Host.Mounts, m)
	}
	for _, raw := range c.StringSlice("tmpfs") {
		dest, options, err := flags.ParseTmpfs(raw)
		if err != nil {
			return failure.Engine(err, "%v", err)
		}
		if err := claim(dest); err != nil {
			return err
		}
		if o.Host.Tmpfs == nil {
			o.Host.Tmpfs = map[string]string{}
		}
		o.Host.Tmpfs[dest] = options
	}
	return nil
}

// refuse answers for the flags that would change what the user gets in a way
// that a warning cannot make good.
func (o *createOptions) refuse(c *cli.Context) error {
	if c.Bool("use-api-socket") {
		return errors.New("--use-api-socket is not supported: there is no API socket")
	}
	if driver := c.String("volume-driver"); driver != "" && driver != "local" {
		return fmt.Errorf("volume driver %q is not supported, only \"local\" is", driver)
	}
	if kind := c.String("isolation"); kind != "" && kind != "default" {
		return failure.Engine(nil, "Invalid isolation: %q - linux only supports 'default'", kind)
	}
	if c.IsSet("storage-opt") {
		o.Warnings = append(o.Warnings, "--storage-opt is not supported and has no effect.")
	}
	return nil
}
