package container

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage"
	"skiff/storage/container"
)

// infraSuffix is what the name of a pod's infra container has behind the pod's.
const infraSuffix = "-infra"

// InfraName is the name of the infra container of a pod called name.
func InfraName(name string) string { return name + infraSuffix }

// FindPod returns the infra container of the pod that ref means, a name or an id
// or the beginning of one.
func FindPod(st *storage.Store, ref string) (*container.Container, error) {
	c, err := container.Find(st, ref+infraSuffix)
	if err == nil && c.Config.Infra != nil && c.Config.Infra.Name == ref {
		return c, nil
	}
	c, err = container.Find(st, ref)
	switch {
	case errors.Is(err, container.ErrAmbiguous):
		return nil, failure.Engine(err, "multiple IDs found with provided prefix: %s", ref)
	case err == nil && c.Config.Infra != nil && strings.HasPrefix(c.Config.ID, ref):
		return c, nil
	case err == nil || errors.Is(err, container.ErrNotFound):
		return nil, failure.Engine(container.ErrNotFound, "no pod with name or ID %s found: no such pod", ref)
	}
	return nil, err
}

// MakePod makes the infra container of a pod as create does with these arguments,
// which name neither an image nor a container.
func MakePod(ctx context.Context, e *env.Env, infra *container.Infra, args []string) (*container.Container, error) {
	return makeWith(ctx, e, append([]string{"--name", infra.Name + infraSuffix}, args...), func(o *createOptions) {
		o.Infra, o.Image, o.Entrypoint = infra, "", []string{"/pause"}
	})
}

// Make makes a container as create does with these arguments. at is when, by which
// lists are sorted.
func Make(ctx context.Context, e *env.Env, at time.Time, args []string) (*container.Container, error) {
	return makeWith(ctx, e, args, func(o *createOptions) { o.Created = at })
}

func makeWith(ctx context.Context, e *env.Env, args []string, change func(*createOptions)) (made *container.Container, err error) {
	create := &cli.Command{
		Name: "create", Flags: flags.Needed(createFlags(), args), HideHelp: true, HideHelpCommand: true, UseShortOptionHandling: true,
		Action: func(c *cli.Context) error {
			o, err := parseCreate(c, e)
			if err != nil {
				return err
			}
			o.attachAll()
			change(&o)
			st, err := e.Store()
			if err == nil {
				made, err = createFrom(c.Context, e, st, o)
			}
			return err
		},
	}
	app := &cli.App{
		Name: e.Program, Commands: []*cli.Command{create}, Writer: e.Out, ErrWriter: e.Err, HideHelp: true, HideVersion: true,
		ExitErrHandler: func(*cli.Context, error) {}, DisableSliceFlagSeparator: true, UseShortOptionHandling: true,
	}
	err = app.RunContext(ctx, append([]string{e.Program, create.Name}, args...))
	return made, err
}

func createFrom(ctx context.Context, e *env.Env, st *storage.Store, o createOptions) (*container.Container, error) {
	return create(ctx, e, st, userStore{st, e}, o)
}

// joinPod makes o a member of the pod that it names: what the pod shares is that
// of its infra container, which is started first.
func joinPod(st *storage.Store, o *createOptions) error {
	if o.Pod == "" {
		return nil
	}
	pod, err := FindPod(st, o.Pod)
	if err != nil {
		return err
	}
	h, infra := &o.Host, pod.Config
	shared := func(what string) bool { return slices.Contains(infra.Infra.Share, what) }
	if shared("net") {
		switch {
		case len(h.PortBindings) > 0 || h.PublishAllPorts:
			return failure.Engine(nil, "cannot publish ports of a container in a pod: publish those of the pod (skiff pod create -p)")
		case h.NetworkMode != "default" && h.NetworkMode != "" || len(o.Networks) > 0:
			return failure.Engine(nil, "cannot set the network of a container in pod %s, which shares its own", infra.Infra.Name)
		case o.Process.Hostname != "" && shared("uts"):
			return failure.Engine(nil, "cannot set the hostname of a container in pod %s, which shares its own", infra.Infra.Name)
		case len(h.DNS)+len(h.DNSSearch)+len(h.DNSOptions)+len(h.ExtraHosts) > 0:
			return failure.Engine(nil, "cannot set name servers or hosts of a container in pod %s, which shares its own", infra.Infra.Name)
		}
	}
	o.Pod = infra.ID
	for what, mode := range map[string]*string{"net": &h.NetworkMode, "ipc": &h.IpcMode, "pid": &h.PidMode, "uts": &h.UTSMode} {
		onHost := what == "net" && infra.Host.NetworkMode == "host"
		switch {
		case shared(what) && onHost && (*mode == "" || *mode == "default"):
			*mode = "host" // nobody may join this machine's own by way of another
		case shared(what) && (*mode == "" || *mode == "default"):
			*mode = "container:" + infra.ID
		case what == "uts" && infra.Host.NetworkMode == "host":
		case what == "uts" && *mode == "" && shared("net"):
			*mode = "private" // else it goes with the network
		}
	}
	// With the pod's ids, unless it shares its processes: what shows them belongs to
	// the pod's own user namespace, and each container has another one.
	if h.UsernsMode == "" && !shared("pid") {
		h.UsernsMode, h.IDMappings = infra.Host.UsernsMode, infra.Host.IDMappings
		if h.IDMappings != nil {
			h.UsernsMode = "private"
		}
	}
	h.Requires = append(h.Requires, infra.ID)
	return nil
}

// inPod reports whether a container is in the pod that ref means.
func inPod(st *storage.Store, cfg *container.Config, ref string) bool {
	return cfg.Pod != "" && (strings.HasPrefix(cfg.Pod, ref) || podName(st, cfg.Pod) == ref)
}

// podName is the name of a pod, empty when it is gone.
func podName(st *storage.Store, id string) string {
	if c, err := container.Find(st, id); err == nil && c.Config.Infra != nil {
		return c.Config.Infra.Name
	}
	return ""
}
