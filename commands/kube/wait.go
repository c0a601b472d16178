package kube

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"sync"
	"syscall"

	ccontainer "skiff/commands/container"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/kube/plan"
	"skiff/runtime/lifecycle"
	"skiff/storage/container"
)

// propagations are what --service-exit-code-propagation takes: whether failed
// containers make the command fail.
var propagations = map[string]func(failed, all int) bool{
	"none": func(int, int) bool { return false },
	"any":  func(failed, _ int) bool { return failed > 0 },
	"all":  func(failed, all int) bool { return failed > 0 && failed == all },
}

// wait stays until the containers have ended, or SIGINT or SIGTERM asks for it, and
// removes what was played. As the main process of a unit it tells systemd that all
// have started.
func wait(ctx context.Context, e *env.Env, p *plan.Plan, list []*container.Container, propagation string) error {
	e.TakeSignals(ctx)
	asked, done := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer done()
	ccontainer.TellManager(e, fmt.Sprintf("READY=1\nSTATUS=%d containers have started", len(list)))
	ccontainer.Watchdog(asked, e, list...)
	codes := make([]int, len(list))
	failed := make([]error, len(list))
	var w sync.WaitGroup
	for i, c := range list {
		w.Go(func() {
			codes[i], failed[i] = lifecycle.Wait(asked, c)
			if errors.Is(failed[i], container.ErrNotFound) {
				failed[i] = nil // somebody has removed it
			}
		})
	}
	w.Wait()
	stopped := asked.Err() != nil
	done() // a second signal ends this command and leaves the rest to `kube down`
	ctx = context.WithoutCancel(ctx)
	var err error
	if !stopped {
		err = errors.Join(failed...)
	}
	if err = errors.Join(err, down(ctx, e, p, false)); err != nil || stopped {
		return err
	}
	bad := 0
	for _, code := range codes {
		if code != 0 {
			bad++
		}
	}
	if propagations[propagation](bad, len(list)) {
		return failure.Status(1)
	}
	return nil
}
