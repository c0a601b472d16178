package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/rootless"
	"skiff/runtime/lifecycle"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/image"
	"skiff/storage/lock"
	"skiff/storage/secret"
)

// CreateCommand makes a container and does not start it.
func CreateCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "Create a new container",
		ArgsUsage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
		Flags:     createFlags(),
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 1); err != nil {
				return err
			}
			o, err := parseCreate(c, e)
			if err != nil {
				return &failure.Setup{Command: "create", Err: err, Local: true}
			}
			if len(c.StringSlice("attach")) == 0 {
				o.attachAll()
			}
			return runCreate(c.Context, e, o)
		},
	}
}

func runCreate(ctx context.Context, e *env.Env, o createOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	c, err := create(ctx, e, st, userStore{st, e}, o)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.Out, c.Config.ID)
	return err
}

// attachAll is what docker attaches when nothing was said.
func (o *createOptions) attachAll() {
	o.Process.AttachStdout, o.Process.AttachStderr = true, true
	o.Process.AttachStdin = o.Process.OpenStdin
}

// create makes the container of o whole or not at all.
func create(ctx context.Context, e *env.Env, st *storage.Store, from source, o createOptions) (c *container.Container, err error) {
	for _, w := range o.Warnings {
		fmt.Fprintln(e.Err, "WARNING: "+w)
	}
	if rootless.OneID() {
		fmt.Fprintln(e.Err, "WARNING: no subordinate ids in /etc/subuid and /etc/subgid: only root exists inside containers")
	}
	if o.Name != "" {
		o.Name = strings.TrimPrefix(o.Name, "/")
		if err := container.CheckName(o.Name); err != nil {
			return nil, err
		}
	}
	cid, err := claimCIDFile(o.CIDFile)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cid.finish(c)) }()
	if err := joinPod(st, &o); err != nil {
		return nil, err
	}
	if err := resolveModes(st, &o.Host); err != nil {
		return nil, err
	}
	if err := resolveNetworks(st, &o); err != nil {
		return nil, err
	}
	ineffective, err := lifecycle.CheckDevices(ctx, st, o.Host.DeviceRequests)
	if err != nil {
		return nil, err
	}
	for _, w := range ineffective {
		fmt.Fprintln(e.Err, "WARNING: "+w)
	}
	fetched := o.Pull == "always" && !o.Rootfs && o.Infra == nil
	if fetched {
		if err := bring(ctx, e, from, o, nil); err != nil {
			return nil, err
		}
	}
	c, err = publish(ctx, st, from, o, fetched)
	if fetched || !errors.Is(err, image.ErrNotFound) {
		return c, err
	}
	if err := bring(ctx, e, from, o, err); err != nil {
		return nil, err
	}
	return publish(ctx, st, from, o, true)
}

// publish resolves the image and makes the container over it, under the lock
// that keeps the image from being removed. An image for another platform than
// the wanted counts as absent, unless it was just fetched.
func publish(ctx context.Context, st *storage.Store, from source, o createOptions, fetched bool) (c *container.Container, err error) {
	held, err := lock.Shared(ctx, st.ImagesLock())
	if err != nil {
		return nil, err
	}
	defer held.Release()
	img, err := imageOf(from, o)
	if err == nil && !o.Rootfs && !fetched && o.Platform != "" && !img.Suits(o.Platform) {
		err = &otherPlatform{name: o.Image, wanted: o.Platform, have: img.Platform()}
	}
	if _, bad := image.ParseReference(o.Image); err != nil && bad != nil && !o.Rootfs {
		err = failure.Local("%v", bad) // docker's client looks at the name
	}
	if err != nil {
		return nil, err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	o.Process.StdinOnce = o.Process.OpenStdin && o.Process.AttachStdin
	cfg, err := configure(o, img, hostname)
	if err == nil && o.Rootfs {
		err = setRootfs(cfg, o.Image)
	}
	if err != nil {
		return nil, err
	}
	mounts, err := planMounts(st, cfg, o, img)
	if err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		if o.Name == "" {
			cfg.Name = randomName()
		}
		if try > 3 && o.Name == "" {
			// Unlucky or crowded: the id makes it unique.
			cfg.Name += "_" + cfg.ID[:12]
		}
		c, err = lifecycle.Create(ctx, st, cfg, o.Starting)
		if err == nil {
			// One that stays is looked at, and deleted, by the next command.
			_ = mounts.note.Done()
			return c, nil
		}
		if o.Replace && try < maxReplaced && errors.Is(err, container.ErrNameTaken) {
			if err = giveWay(ctx, st, o.Name); err == nil {
				continue
			}
		}
		if o.Name != "" || !errors.Is(err, container.ErrNameTaken) || try > 4 {
			return nil, errors.Join(err, mounts.undo())
		}
	}
}

// maxReplaced bounds how often --replace removes what others keep making.
const maxReplaced = 10

// giveWay removes the container called name for one that replaces it. That it
// is gone already is as good.
func giveWay(ctx context.Context, st *storage.Store, name string) error {
	c, err := container.Find(st, name)
	if err == nil && c.Config.Name == name {
		err = lifecycle.Remove(ctx, c, lifecycle.RemoveOptions{Force: true})
	}
	if errors.Is(err, container.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("replace container %q: %w", name, err)
	}
	return nil
}

// otherPlatform says that the image is here, but for another platform: as good
// as absent, unless nothing may be fetched.
type otherPlatform struct{ name, wanted, have string }

func (o *otherPlatform) Error() string {
	return fmt.Sprintf("image with reference %s was found but does not match the specified platform: wanted %s, actual: %s",
		o.name, o.wanted, o.have)
}

func (o *otherPlatform) Unwrap() error { return image.ErrNotFound }

// resolveModes turns container:<name> into container:<id> wherever a namespace
// is shared or a container required, because a name may be given to another
// container later. It also checks that the secrets are there.
func resolveModes(st *storage.Store, h *container.Host) error {
	for _, mode := range []*string{&h.NetworkMode, &h.PidMode, &h.IpcMode} {
		ref, ok := strings.CutPrefix(*mode, "container:")
		if !ok {
			continue
		}
		c, err := find(st, ref)
		if err != nil {
			return err
		}
		*mode = "container:" + c.Config.ID
	}
	for _, use := range h.Secrets {
		if _, err := secret.Find(st, use.Name); err != nil {
			return err
		}
	}
	for i, ref := range h.Requires {
		c, err := find(st, ref)
		if err != nil {
			return err
		}
		h.Requires[i] = c.Config.ID
	}
	return nil
}

// resolveNetworks checks that the networks are there and can do what was asked
// of them, and gives the names that containers of --link have now.
func resolveNetworks(st *storage.Store, o *createOptions) error {
	cfg := container.Config{Host: o.Host, Networks: o.Networks}
	for _, want := range cfg.Endpoints() {
		e, err := lifecycle.WireEndpoint(st, want, nil)
		var missing *lifecycle.NotFoundError
		if errors.As(err, &missing) {
			return failure.Engine(err, "network %s not found", missing.Name)
		}
		if err != nil {
			return err
		}
		if err := lifecycle.CheckEndpoint(e); err != nil {
			return err
		}
	}
	for i, link := range o.Host.Links {
		name, alias, ok := strings.Cut(link, ":")
		c, err := container.Find(st, name)
		if errors.Is(err, container.ErrNotFound) {
			return failure.Engine(err, "could not get container for %s: No such container: %s", name, name)
		}
		if err != nil {
			return err
		}
		if !ok {
			alias = name
		}
		o.Host.Links[i] = c.Config.Name + ":" + alias
	}
	return nil
}

// cidFile is the file of --cidfile while a container is being made.
type cidFile struct{ path string }

// claimCIDFile makes the file exclusively, so that two cannot use it.
func claimCIDFile(path string) (cidFile, error) {
	if path == "" {
		return cidFile{}, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, os.ErrExist) {
		return cidFile{}, failure.Local("container ID file found, make sure the other container isn't running or delete %s", path)
	}
	if err != nil {
		return cidFile{}, failure.Local("failed to create the container ID file: %v", err)
	}
	return cidFile{path}, f.Close()
}

// finish writes the id, or removes the file when there is no container.
func (f cidFile) finish(c *container.Container) error {
	switch {
	case f.path == "":
		return nil
	case c == nil:
		return os.Remove(f.path)
	}
	return os.WriteFile(f.path, []byte(c.Config.ID), 0o644)
}
