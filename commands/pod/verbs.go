package pod

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/confirm"
	ccontainer "skiff/commands/container"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/kube/plan"
	"skiff/runtime/lifecycle"
	"skiff/storage"
	"skiff/storage/container"
)

// verb is a command that does the same to each of several pods.
func verb(e *env.Env, name, usage string, list []cli.Flag, do func(c *cli.Context, p *pod) error) *cli.Command {
	return &cli.Command{
		Name: name, Usage: usage, ArgsUsage: "[OPTIONS] POD [POD...]",
		Flags: append(list, &cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "All pods"}),
		Action: func(c *cli.Context) error {
			if c.Args().Len() == 0 && !c.Bool("all") {
				return flags.MinArgs(c, 1)
			}
			st, err := e.Store()
			if err != nil {
				return err
			}
			list, err := chosen(st, c.Args().Slice(), c.Bool("all"))
			if errors.Is(err, container.ErrNotFound) && c.Bool("ignore") {
				err = nil
			}
			var failed failure.Several
			if err != nil {
				failed = append(failed, err)
			}
			for _, p := range list {
				if err := do(c, p); err != nil {
					failed = append(failed, fmt.Errorf("pod %s: %w", p.name(), err))
					continue
				}
				if err := say(e, p); err != nil {
					return err
				}
			}
			return failed.Err()
		},
	}
}

// together does the same to several containers at once.
func together(list []*container.Container, do func(c *container.Container) error) error {
	failed := make([]error, len(list))
	var w sync.WaitGroup
	for i, c := range list {
		w.Go(func() {
			if err := do(c); err != nil {
				failed[i] = fmt.Errorf("container %s: %w", c.Config.Name, err)
			}
		})
	}
	w.Wait()
	return errors.Join(failed...)
}

func startCommand(e *env.Env) *cli.Command {
	return verb(e, "start", "Start one or more pods", nil, func(c *cli.Context, p *pod) error { return start(c.Context, e, p) })
}

// isInit reports whether the container runs to its end before the others of its pod.
func isInit(c *container.Container) bool {
	return c.Config.Host.Annotations[plan.InitAnnotation] == "true"
}

// RunInit runs a container to its end, which must be a good one.
func RunInit(ctx context.Context, c *container.Container) error {
	_, err := lifecycle.Start(ctx, c, lifecycle.StartOptions{})
	code := 0
	if err == nil {
		code, err = lifecycle.Wait(ctx, c)
	}
	if err == nil && code != 0 {
		err = fmt.Errorf("it ended with exit code %d", code)
	}
	if err != nil {
		return fmt.Errorf("init container %s: %w", c.Config.Name, err)
	}
	return nil
}

// start starts the infra container and then the members: those that go before the
// others one by one, unless some of the others run, then all at once. It waits for their
// PostStart hooks.
func start(ctx context.Context, e *env.Env, p *pod) error {
	begin := func(c *container.Container) error {
		_, err := lifecycle.Start(ctx, c, lifecycle.StartOptions{})
		return err
	}
	if err := begin(p.infra); err != nil {
		return err
	}
	var list []*container.Container
	for _, c := range p.members {
		if !isInit(c) {
			list = append(list, c)
		}
	}
	up := slices.ContainsFunc(list, func(c *container.Container) bool { pid, err := c.Holder(); return err == nil && pid != 0 })
	for _, c := range p.members {
		if isInit(c) && !up {
			if err := RunInit(ctx, c); err != nil {
				return err
			}
		}
	}
	err := together(list, begin)
	for _, c := range list {
		// What could not be started may have failed for a hook another time.
		if pid, held := c.Holder(); err == nil || held == nil && pid != 0 {
			ccontainer.WarnPostStart(ctx, e, c)
		}
	}
	return err
}

func stopFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "ignore", Aliases: []string{"i"}, Usage: "Ignore pods that do not exist"},
		&cli.IntFlag{Name: "time", Aliases: []string{"t"}, Usage: "Seconds to wait before killing the containers"},
	}
}

func timeout(c *cli.Context) *time.Duration {
	if !c.IsSet("time") {
		return nil
	}
	d := time.Duration(c.Int("time")) * time.Second
	return &d
}

func stopCommand(e *env.Env) *cli.Command {
	return verb(e, "stop", "Stop one or more pods", stopFlags(), func(c *cli.Context, p *pod) error {
		return stop(c.Context, p, timeout(c))
	})
}

// stop stops the members, all at once, and then the infra container.
func stop(ctx context.Context, p *pod, limit *time.Duration) error {
	end := func(c *container.Container) error { return lifecycle.Stop(ctx, c, 0, limit) }
	return errors.Join(together(p.members, end), end(p.infra))
}

func restartCommand(e *env.Env) *cli.Command {
	return verb(e, "restart", "Restart one or more pods", stopFlags(), func(c *cli.Context, p *pod) error {
		if err := stop(c.Context, p, timeout(c)); err != nil {
			return err
		}
		return start(c.Context, e, p)
	})
}

func killCommand(e *env.Env) *cli.Command {
	list := []cli.Flag{&cli.StringFlag{Name: "signal", Aliases: []string{"s"}, Value: "KILL", Usage: "Signal to send to the containers"}}
	return verb(e, "kill", "Send a signal to the containers of one or more pods", list, func(c *cli.Context, p *pod) error {
		sig, err := flags.ParseSignal(c.String("signal"))
		if err != nil {
			return err
		}
		return p.eachRunning(func(ctr *container.Container) error { return lifecycle.Kill(c.Context, ctr, syscall.Signal(sig)) })
	})
}

// eachRunning does something to the containers that run, the infra container last.
func (p *pod) eachRunning(do func(c *container.Container) error) error {
	var list []*container.Container
	for i, c := range p.members {
		if p.statuses[i].Running() {
			list = append(list, c)
		}
	}
	err := together(list, do)
	if p.state.Running() {
		err = errors.Join(err, do(p.infra))
	}
	return err
}

func pauseCommand(e *env.Env) *cli.Command {
	return verb(e, "pause", "Pause the containers of one or more pods", nil, func(c *cli.Context, p *pod) error {
		return p.eachRunning(func(ctr *container.Container) error {
			if s, err := ctr.Status(); err == nil && s.State == "paused" {
				return nil
			}
			return lifecycle.Pause(c.Context, ctr)
		})
	})
}

func unpauseCommand(e *env.Env) *cli.Command {
	return verb(e, "unpause", "Unpause the containers of one or more pods", nil, func(c *cli.Context, p *pod) error {
		return p.eachRunning(func(ctr *container.Container) error {
			if s, err := ctr.Status(); err == nil && s.State != "paused" {
				return nil
			}
			return lifecycle.Unpause(c.Context, ctr)
		})
	})
}

func removeCommand(e *env.Env) *cli.Command {
	list := []cli.Flag{
		&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "Also remove containers that run, and others of the pod"},
		&cli.BoolFlag{Name: "ignore", Aliases: []string{"i"}, Usage: "Ignore pods that do not exist"},
		&cli.IntFlag{Name: "time", Aliases: []string{"t"}, Usage: "With --force, seconds to wait before killing the containers"},
	}
	remover := verb(e, "rm", "Remove one or more pods", list, func(c *cli.Context, p *pod) error {
		force := c.Bool("force")
		if force && c.IsSet("time") {
			if err := stop(c.Context, p, timeout(c)); err != nil {
				return err
			}
		}
		return remove(c.Context, p, force)
	})
	remover.Aliases = []string{"remove"}
	return remover
}

// refuseRunning refuses to remove a pod of which a member runs.
func (p *pod) refuseRunning() error {
	for i, s := range p.statuses {
		if s.Running() || s.State == "restarting" {
			return failure.Engine(lifecycle.ErrRunning, "container %s is running: stop the pod first, or remove it with --force", p.members[i].Config.Name)
		}
	}
	return nil
}

// Members are the containers of a pod, the oldest first, without its infra
// container.
func Members(st *storage.Store, name string) ([]*container.Container, error) {
	p, err := find(st, name)
	if err != nil {
		return nil, err
	}
	return p.members, nil
}

// Stop stops a pod with all that it has, each with its own signal and grace time.
func Stop(ctx context.Context, st *storage.Store, name string) error {
	p, err := find(st, name)
	if err != nil {
		return err
	}
	return stop(ctx, p, nil)
}

// Remove removes a pod with all that it has.
func Remove(ctx context.Context, st *storage.Store, name string) error {
	p, err := find(st, name)
	if err != nil {
		return err
	}
	return remove(ctx, p, true)
}

// remove removes the members and then the infra container.
func remove(ctx context.Context, p *pod, force bool) error {
	if !force {
		if err := p.refuseRunning(); err != nil {
			return err
		}
	}
	o := lifecycle.RemoveOptions{Force: force, Volumes: true}
	gone := func(c *container.Container) error {
		err := lifecycle.Remove(ctx, c, o)
		if errors.Is(err, container.ErrNotFound) {
			return nil // somebody else was faster
		}
		return err
	}
	if err := together(p.members, gone); err != nil {
		return err
	}
	o.Force = true // of an empty pod nothing is lost
	return gone(p.infra)
}

func pruneCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name: "prune", Usage: "Remove all stopped pods and their containers", ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "Do not prompt for confirmation"}},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			if !c.Bool("force") && !confirm.Ask(e, "WARNING! This will remove all stopped pods and their containers.") {
				return nil
			}
			st, err := e.Store()
			if err != nil {
				return err
			}
			all, failed := pods(st)
			for _, p := range all {
				if s := p.status(); s != "Exited" && s != "Stopped" {
					continue
				}
				if err := remove(c.Context, p, false); err != nil {
					failed = errors.Join(failed, fmt.Errorf("pod %s: %w", p.name(), err))
					continue
				}
				if err := say(e, p); err != nil {
					return err
				}
			}
			return failed
		},
	}
}
