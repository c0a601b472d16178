// Package kube is the commands that take containers to Kubernetes and back: YAML in
// (play, down) and out (generate). The translation itself is a program of its own,
// with Kubernetes' types (translate); this package makes what it plans.
package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	ccontainer "skiff/commands/container"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/kube/embedded"
	"skiff/commands/kube/plan"
	"skiff/commands/pod"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/courier/client"
	"skiff/storage/courier/message"
	"skiff/storage/volume"
)

// maxInput bounds what is read, in bytes.
const maxInput = 8 << 20

// ownLabel marks the volumes that go with their pod; its value says what they are.
const ownLabel = "io.skiff.kube.own"

// The values of ownLabel, and true of those that were made before there were values.
const (
	ownEmpty  = "emptyDir"
	ownFiles  = "configMap"
	ownSecret = "secret"
)

// Commands are the members of the management group `kube`.
func Commands(e *env.Env) []*cli.Command {
	return []*cli.Command{downCommand(e), GenerateCommand(e, "generate"), PlayCommand(e, "play")}
}

// PlayCommand is `kube play` and, by another name, `play kube`.
func PlayCommand(e *env.Env, name string) *cli.Command {
	return &cli.Command{
		Name: name, Usage: "Create pods and volumes from Kubernetes YAML", ArgsUsage: "[OPTIONS] FILE|URL|-",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "annotation", Usage: "Add an annotation to the containers (key=value)"},
			&cli.BoolFlag{Name: "build", Usage: "Build each image of whose name there is a directory with a Containerfile or Dockerfile, also those that are there (default: only those that are not)"},
			&cli.StringSliceFlag{Name: "configmap", Usage: "File with ConfigMaps and Secrets that the YAML refers to"},
			&cli.StringFlag{Name: "context-dir", Usage: "Where the directories to build are (default: that of the YAML)"},
			&cli.BoolFlag{Name: "down", Usage: "Remove what the YAML describes, as kube down does"},
			&cli.BoolFlag{Name: "force", Usage: "With --down, remove its volumes too"},
			&cli.StringFlag{Name: "log-driver", Usage: "Logging driver of the containers"},
			flags.TypedList(&cli.StringSliceFlag{Name: "network", Usage: "Connect the pods to a network"}, "network"),
			&cli.StringSliceFlag{Name: "publish", Usage: "Publish a port of the first pod, beside those of its hostPort"},
			&cli.BoolFlag{Name: "replace", Usage: "Remove pods of the same names first"},
			&cli.StringFlag{Name: "service-exit-code-propagation", Value: "none", Hidden: true, Usage: "With --wait, fail when any, all or none of the containers have failed"},
			&cli.BoolFlag{Name: "start", Value: true, Usage: "Start the pods"},
			&cli.BoolFlag{Name: "wait", Aliases: []string{"w"}, Usage: "Stay until the containers have ended or a signal comes, then remove the pods"},
		},
		Action: func(c *cli.Context) error {
			p, err := planOf(c, e)
			if err != nil {
				return err
			}
			if c.Bool("down") {
				return down(c.Context, e, p, c.Bool("force"))
			}
			how := c.String("service-exit-code-propagation")
			switch {
			case propagations[how] == nil:
				return failure.Local("--service-exit-code-propagation: %q is none of all, any and none", how)
			case c.Bool("wait") && !c.Bool("start"):
				return failure.Local("conflicting options: --wait and --start=false")
			}
			for i := range p.Pods {
				for j := range p.Pods[i].Containers {
					own := &p.Pods[i].Containers[j]
					own.Args = append(extra(c), own.Args...)
				}
				for _, n := range c.StringSlice("network") {
					p.Pods[i].Flags = append(p.Pods[i].Flags, "--network="+n)
				}
			}
			if ports := c.StringSlice("publish"); len(ports) > 0 && len(p.Pods) > 0 {
				for _, port := range ports {
					p.Pods[0].Flags = append(p.Pods[0].Flags, "--publish="+port)
				}
			}
			if err := buildImages(c, e, p); err != nil {
				return err
			}
			started, err := play(c.Context, e, p, c.Bool("replace"), c.Bool("start"))
			if err != nil || !c.Bool("wait") {
				return err
			}
			return wait(c.Context, e, p, started, how)
		},
	}
}

// extra are flags of `create` for every container.
func extra(c *cli.Context) (args []string) {
	for _, a := range c.StringSlice("annotation") {
		args = append(args, "--annotation="+a)
	}
	if driver := c.String("log-driver"); driver != "" {
		args = append(args, "--log-driver="+driver)
	}
	return args
}

func downCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name: "down", Usage: "Remove the pods that Kubernetes YAML describes", ArgsUsage: "[OPTIONS] FILE|URL|-",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "force", Usage: "Remove its volumes too"}},
		Action: func(c *cli.Context) error {
			p, err := planOf(c, e)
			if err != nil {
				return err
			}
			return down(c.Context, e, p, c.Bool("force"))
		},
	}
}

// planOf reads the YAML that the command names.
func planOf(c *cli.Context, e *env.Env) (*plan.Plan, error) {
	if err := flags.ExactArgs(c, 1); err != nil {
		return nil, err
	}
	name := c.Args().First()
	text, err := read(c.Context, e, name)
	if err != nil {
		return nil, failure.Local("%v", err)
	}
	q := plan.Question{Play: text}
	for _, file := range c.StringSlice("configmap") {
		more, err := read(c.Context, e, file)
		if err != nil {
			return nil, failure.Local("%v", err)
		}
		q.ConfigMaps = append(q.ConfigMaps, more)
	}
	st, err := e.Store()
	if err != nil {
		return nil, err
	}
	a, err := embedded.Translate(c.Context, st.Cache(), q)
	if err != nil {
		return nil, failure.Local("%s: %v", name, err)
	}
	for _, w := range a.Warnings {
		fmt.Fprintln(e.Err, "WARNING: "+w)
	}
	return a.Plan, nil
}

func read(ctx context.Context, e *env.Env, name string) ([]byte, error) {
	in := io.Reader(e.In)
	switch {
	case strings.HasPrefix(name, "http://"), strings.HasPrefix(name, "https://"):
		return fetch(ctx, name)
	case name != "-":
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err == nil && len(data) > maxInput {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxInput)
	}
	return data, err
}

// fetch returns what is behind a URL. It goes into memory that cannot grow: a
// server may send without end.
func fetch(ctx context.Context, url string) ([]byte, error) {
	fd, err := unix.MemfdCreate("kube", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), url)
	defer f.Close()
	if err := f.Truncate(maxInput); err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_GROW); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if _, err = client.Download(ctx, f, message.Download{URL: url}); err != nil {
		if n, _ := f.Seek(0, io.SeekCurrent); n == maxInput {
			err = fmt.Errorf("it is larger than %d bytes", maxInput)
		}
		return nil, fmt.Errorf("fetch %s: %w", url, err)
	}
	n, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	data := make([]byte, n)
	_, err = io.ReadFull(io.NewSectionReader(f, 0, n), data)
	return data, err
}

// play makes what is planned, whole or not at all, and returns the containers
// that no others wait for.
func play(ctx context.Context, e *env.Env, p *plan.Plan, replace, start bool) (made []*container.Container, err error) {
	st, err := e.Store()
	if err != nil {
		return nil, err
	}
	for i := range p.Pods {
		_, err := ccontainer.FindPod(st, p.Pods[i].Name)
		switch {
		case err == nil && !replace:
			return nil, failure.Engine(nil, "pod %s is there already: remove it (skiff kube down), or use --replace", p.Pods[i].Name)
		case err == nil:
			err = end(ctx, st, p.Pods[i].Name)
		case errors.Is(err, container.ErrNotFound):
			err = nil
		}
		if err != nil {
			return nil, err
		}
	}
	for _, path := range p.Paths {
		if err := checkPath(path); err != nil {
			return nil, err
		}
	}
	for _, img := range p.Images {
		if err := ccontainer.Provide(ctx, e, st, img.Reference, img.Pull); err != nil {
			return nil, err
		}
	}
	var volumes []string
	var pods []string
	defer func() {
		if err == nil {
			return
		}
		for _, name := range pods {
			err = errors.Join(err, pod.Remove(context.WithoutCancel(ctx), st, name))
		}
		for _, name := range volumes {
			err = errors.Join(err, volume.Remove(st, name))
		}
	}()
	for i := range p.Volumes {
		fresh, err := makeVolume(st, &p.Volumes[i])
		if fresh {
			volumes = append(volumes, p.Volumes[i].Name)
		}
		if err != nil {
			return nil, fmt.Errorf("volume %s: %w", p.Volumes[i].Name, err)
		}
	}
	var lines []string
	for i := range p.Pods {
		planned := &p.Pods[i]
		infra, err := pod.Create(ctx, e, st, &container.Infra{Name: planned.Name, Share: planned.Share, Services: planned.Services}, planned.Flags, false)
		if err != nil {
			return nil, fmt.Errorf("pod %s: %w", planned.Name, err)
		}
		pods = append(pods, planned.Name)
		ids, main, err := members(ctx, e, st, planned, infra, start)
		made = append(made, main...)
		if err != nil {
			return nil, fmt.Errorf("pod %s: %w", planned.Name, err)
		}
		word := "Container"
		if len(ids) > 1 {
			word = "Containers"
		}
		lines = append(lines, "Pod:", infra.Config.ID, word+":", strings.Join(ids, "\n"), "")
	}
	_, err = fmt.Fprint(e.Out, strings.Join(lines, "\n"))
	return made, err
}

// end stops a pod as its containers want it, with their hooks, signals and grace
// times, and removes it.
func end(ctx context.Context, st *storage.Store, name string) error {
	if err := pod.Stop(ctx, st, name); err != nil {
		return err
	}
	return pod.Remove(ctx, st, name)
}

// makeVolume makes a volume unless it is there; one that goes with its pod is made
// anew.
func makeVolume(st *storage.Store, want *plan.Volume) (fresh bool, err error) {
	have, err := volume.Inspect(st, want.Name)
	if err == nil && want.Own && have.Labels[ownLabel] != "" {
		err = volume.Remove(st, want.Name)
		have = nil
	} else if err == nil && want.Own {
		return false, errors.New("a volume of that name is there, which is not the pod's: rename it")
	}
	if err != nil && !errors.Is(err, volume.ErrNotFound) {
		return false, err
	}
	if have != nil && err == nil {
		return false, nil
	}
	labels := map[string]string{}
	for k, v := range want.Labels {
		labels[k] = v
	}
	switch {
	case want.Own && want.Files == nil:
		labels[ownLabel] = ownEmpty
	case want.Own && want.Secret:
		labels[ownLabel] = ownSecret
	case want.Own:
		labels[ownLabel] = ownFiles
	}
	v, err := volume.Create(st, volume.Volume{Name: want.Name, Labels: labels})
	if err != nil {
		return false, err
	}
	if want.Own && want.Files == nil {
		// As Kubernetes has it: whoever the containers run as may write.
		return true, os.Chmod(v.Mountpoint, 0o777)
	}
	root, err := os.OpenRoot(v.Mountpoint)
	if err != nil {
		return true, err
	}
	defer root.Close()
	for name, f := range want.Files {
		if !filepath.IsLocal(name) {
			return true, fmt.Errorf("the file name %q leaves the volume", name)
		}
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return true, err
		}
		out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return true, err
		}
		_, err = out.Write(f.Data)
		if err = errors.Join(err, out.Chmod(os.FileMode(f.Mode)), out.Close()); err != nil {
			return true, err
		}
	}
	return true, nil
}

// down removes the pods, and the volumes that go with them.
func down(ctx context.Context, e *env.Env, p *plan.Plan, force bool) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	var failed failure.Several
	fmt.Fprintln(e.Out, "Pods removed:")
	for i := range p.Pods {
		infra, err := ccontainer.FindPod(st, p.Pods[i].Name)
		if errors.Is(err, container.ErrNotFound) {
			continue
		}
		if err == nil {
			err = end(ctx, st, p.Pods[i].Name)
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		fmt.Fprintln(e.Out, infra.Config.ID)
	}
	fmt.Fprintln(e.Out, "Volumes removed:")
	for _, v := range p.Volumes {
		have, err := volume.Inspect(st, v.Name)
		if errors.Is(err, volume.ErrNotFound) || err == nil && !force && have.Labels[ownLabel] == "" {
			continue
		}
		if err == nil {
			err = volume.Remove(st, v.Name)
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if have.Labels[ownLabel] == "" {
			fmt.Fprintln(e.Out, v.Name)
		}
	}
	return failed.Err()
}

// checkPath looks whether a hostPath is what it shall be, and makes an empty file
// where it may be missing.
func checkPath(p plan.Path) error {
	if p.Type == "FileOrCreate" {
		f, err := os.OpenFile(p.Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err == nil {
			return f.Close()
		}
		if !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("hostPath %s: %w", p.Path, err)
		}
	}
	info, err := os.Stat(p.Path)
	if err != nil {
		return fmt.Errorf("hostPath %s: %w", p.Path, err)
	}
	is := map[string]bool{
		"Directory": info.IsDir(), "File": info.Mode().IsRegular(), "FileOrCreate": info.Mode().IsRegular(),
		"Socket": info.Mode()&os.ModeSocket != 0, "CharDevice": info.Mode()&os.ModeCharDevice != 0,
		"BlockDevice": info.Mode()&(os.ModeDevice|os.ModeCharDevice) == os.ModeDevice,
	}
	if ok, known := is[p.Type]; known && !ok {
		return failure.Engine(nil, "hostPath type check failed: %s is not a %s", p.Path, strings.TrimSuffix(p.Type, "OrCreate"))
	}
	return nil
}
