package pod

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	ccontainer "skiff/commands/container"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage/container"
)

func logsCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name: "logs", Usage: "Fetch the logs of a pod's containers", ArgsUsage: "[OPTIONS] POD",
		Flags: append(ccontainer.LogsFlags(),
			&cli.StringFlag{Name: "container", Aliases: []string{"c"}, Usage: "Only this container"},
			&cli.BoolFlag{Name: "names", Usage: "Put the container's name in front of each line, not its ID"},
		),
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 1); err != nil {
				return err
			}
			p, err := one(c, e)
			if err != nil {
				return err
			}
			if ref := c.String("container"); ref != "" {
				ctr, err := p.member(ref)
				if err != nil {
					return err
				}
				return ccontainer.Logs(c, e, ctr.Config.ID)
			}
			return p.logs(c, e)
		},
	}
}

// logs prints those of all members, one after the other, or at once if they are
// followed.
func (p *pod) logs(c *cli.Context, e *env.Env) error {
	var mu sync.Mutex
	show := func(ctr *container.Container) error {
		prefix := ctr.Config.ID[:12] + " "
		if c.Bool("names") {
			prefix = ctr.Config.Name + " "
		}
		out, errOut := &prefixed{w: e.Out, mu: &mu, prefix: prefix}, &prefixed{w: e.Err, mu: &mu, prefix: prefix}
		return errors.Join(ccontainer.Logs(c, e.Printing(out, errOut), ctr.Config.ID), out.flush(), errOut.flush())
	}
	if c.Bool("follow") {
		return together(p.members, show)
	}
	for _, ctr := range p.members {
		if err := show(ctr); err != nil {
			return err
		}
	}
	return nil
}

// prefixed puts something in front of each line.
type prefixed struct {
	w      io.Writer
	mu     *sync.Mutex
	prefix string
	rest   []byte // of a line without its end
}

func (p *prefixed) Write(data []byte) (int, error) {
	p.rest = append(p.rest, data...)
	for {
		line, rest, whole := bytes.Cut(p.rest, []byte{'\n'})
		if !whole {
			return len(data), nil
		}
		if err := p.print(line); err != nil {
			return 0, err
		}
		p.rest = rest
	}
}

func (p *prefixed) print(line []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := fmt.Fprintf(p.w, "%s%s\n", p.prefix, line)
	return err
}

func (p *prefixed) flush() error {
	if len(p.rest) == 0 {
		return nil
	}
	return p.print(p.rest)
}

func statsCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name: "stats", Usage: "Display a live stream of the resource usage of pods' containers", ArgsUsage: "[OPTIONS] [POD...]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "All pods"},
			&cli.StringFlag{Name: "format", Usage: flags.FormatUsage},
			&cli.BoolFlag{Name: "no-stream", Usage: "Disable streaming stats and only pull the first result"},
			&cli.BoolFlag{Name: "no-trunc", Usage: "Do not truncate output"},
		},
		Action: func(c *cli.Context) error {
			st, err := e.Store()
			if err != nil {
				return err
			}
			list, err := chosen(st, c.Args().Slice(), c.Bool("all") || c.Args().Len() == 0)
			if err != nil {
				return err
			}
			var refs []string
			for _, p := range list {
				for _, ctr := range p.members {
					refs = append(refs, ctr.Config.ID)
				}
			}
			if len(refs) == 0 {
				return failure.Local("no container is in a pod that was asked for")
			}
			return ccontainer.Stats(c, e, refs, false)
		},
	}
}

func topCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name: "top", Usage: "Display the running processes of a pod's containers", ArgsUsage: "POD [ps OPTIONS]",
		Action: func(c *cli.Context) error {
			p, err := one(c, e)
			if err != nil {
				return err
			}
			running := 0
			for i, ctr := range p.members {
				if !p.statuses[i].Running() {
					continue
				}
				var b strings.Builder
				if err := ccontainer.Top(e.Printing(&b, e.Err), ctr.Config.ID, c.Args().Tail()); err != nil {
					return err
				}
				text := b.String()
				if running++; running > 1 {
					_, text, _ = strings.Cut(text, "\n") // the headings once
				}
				if _, err := io.WriteString(e.Out, text); err != nil {
					return err
				}
			}
			if running == 0 {
				return failure.Engine(nil, "pod %s has no running containers", p.name())
			}
			return nil
		},
	}
}

func cloneCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name: "clone", Usage: "Create a pod like another, with clones of its containers", ArgsUsage: "[OPTIONS] POD [NAME]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "destroy", Usage: "Remove the original pod"},
			&cli.StringFlag{Name: "name", Aliases: []string{"n"}, Usage: "Name of the new pod (default: the original's with -clone behind)"},
			&cli.BoolFlag{Name: "start", Usage: "Start the new pod"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.RangeArgs(c, 1, 2); err != nil {
				return err
			}
			p, err := one(c, e)
			if err != nil {
				return err
			}
			name := c.Args().Get(1)
			if name == "" {
				name = c.String("name")
			}
			if name == "" {
				name = p.name() + "-clone"
			}
			clone, err := p.clone(c, name, c.Bool("destroy"))
			if err == nil && c.Bool("start") {
				err = start(c.Context, e, clone)
			}
			if err != nil {
				return err
			}
			return say(e, clone)
		},
	}
}

// clone makes the new pod, or nothing.
func (p *pod) clone(c *cli.Context, name string, destroy bool) (clone *pod, err error) {
	st := p.infra.Store
	if destroy {
		if err := p.refuseRunning(); err != nil {
			return nil, err
		}
	}
	clone = &pod{}
	defer func() {
		if err != nil && clone.infra != nil {
			err = errors.Join(err, remove(c.Context, clone, true))
		}
	}()
	old := "container:" + p.id()
	clone.infra, err = ccontainer.Clone(c.Context, st, p.infra, ccontainer.InfraName(name), func(cfg *container.Config) {
		if cfg.Config.Hostname == p.name() {
			cfg.Config.Hostname = name
		}
		cfg.Infra.Name = name
	})
	if errors.Is(err, container.ErrNameTaken) {
		return nil, failure.Engine(err, "name %q is in use: pod already exists", name)
	}
	if err != nil {
		return nil, err
	}
	for _, m := range p.members {
		made, err := ccontainer.Clone(c.Context, st, m, "", func(cfg *container.Config) {
			h := &cfg.Host
			for _, mode := range []*string{&h.NetworkMode, &h.IpcMode, &h.PidMode, &h.UTSMode} {
				if *mode == old {
					*mode = "container:" + clone.id()
				}
			}
			for i, id := range h.Requires {
				if id == p.id() {
					h.Requires[i] = clone.id()
				}
			}
			cfg.Pod = clone.id()
		})
		if err != nil {
			return nil, err
		}
		clone.members = append(clone.members, made)
	}
	if destroy {
		return clone, remove(c.Context, p, false)
	}
	return clone, nil
}
