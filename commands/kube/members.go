package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	ccontainer "skiff/commands/container"
	"skiff/commands/env"
	"skiff/commands/kube/plan"
	"skiff/commands/pod"
	"skiff/runtime/lifecycle"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/image"
)

// members makes the containers of a pod, and starts them: each init container runs
// to its end before the next. main are the others.
func members(ctx context.Context, e *env.Env, st *storage.Store, planned *plan.Pod, infra *container.Container, start bool) (ids []string, main []*container.Container, err error) {
	ready := make(chan error, 1)
	if start {
		// What the members join comes up while they are made.
		go func() {
			_, err := lifecycle.Start(ctx, infra, lifecycle.StartOptions{})
			ready <- err
		}()
	} else {
		ready <- nil
	}
	made, err := makeAll(ctx, e, st, planned)
	if err = errors.Join(err, <-ready); err != nil {
		return nil, nil, err
	}
	for i, c := range made {
		ids = append(ids, c.Config.ID)
		if !planned.Containers[i].Init {
			main = append(main, c)
		} else if start {
			if err := pod.RunInit(ctx, c); err != nil {
				return nil, nil, err
			}
		}
	}
	if start {
		err = startAll(ctx, e, main)
	}
	return ids, main, err
}

// makeAll makes the containers, side by side where no image is to be pulled first.
func makeAll(ctx context.Context, e *env.Env, st *storage.Store, planned *plan.Pod) ([]*container.Container, error) {
	made := make([]*container.Container, len(planned.Containers))
	now := time.Now().UTC()
	err := each(len(made), !pulls(st, planned.Containers), func(i int) (err error) {
		want := &planned.Containers[i]
		made[i], err = ccontainer.Make(ctx, e, now.Add(time.Duration(i)*time.Microsecond), append([]string{"--pod=" + planned.Name, "--name=" + want.Name}, want.Args...))
		if err != nil {
			return fmt.Errorf("container %s: %w", want.Name, err)
		}
		return nil
	})
	return made, err
}

// pulls reports whether an image must be pulled, or may be.
func pulls(st *storage.Store, list []plan.Container) bool {
	there := map[string]bool{}
	for i := range list {
		if slices.Contains(list[i].Args, "--pull=always") {
			return true
		}
		if name := list[i].Image; !there[name] {
			if _, err := image.Resolve(st, name); err != nil {
				return true
			}
			there[name] = true
		}
	}
	return false
}

// startAll starts containers side by side, but those behind one with a PostStart hook
// when that has ended, as the kubelet does.
func startAll(ctx context.Context, e *env.Env, list []*container.Container) error {
	for len(list) > 0 {
		n := slices.IndexFunc(list, func(c *container.Container) bool { l := c.Config.Host.Lifecycle; return l != nil && l.PostStart != nil }) + 1
		if n == 0 {
			n = len(list)
		}
		err := each(n, true, func(i int) error {
			if _, err := lifecycle.Start(ctx, list[i], lifecycle.StartOptions{}); err != nil {
				return fmt.Errorf("container %s: %w", list[i].Config.Name, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		ccontainer.WarnPostStart(ctx, e, list[n-1])
		list = list[n:]
	}
	return nil
}

// each does something for 0 to n-1: for all at once, or until it fails for one. The
// error is that of the first in this order.
func each(n int, atOnce bool, do func(i int) error) error {
	failed := make([]error, n)
	var w sync.WaitGroup
	for i := range n {
		if atOnce {
			w.Go(func() { failed[i] = do(i) })
		} else if failed[i] = do(i); failed[i] != nil {
			return failed[i]
		}
	}
	w.Wait()
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}
