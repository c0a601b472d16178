package lifecycle

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"skiff/runtime/stage/message"
	"skiff/storage/container"
	"skiff/storage/container/hook"
)

// docker's figures for what nobody said.
const (
	healthInterval      = 30 * time.Second
	healthTimeout       = 30 * time.Second
	healthStartInterval = 5 * time.Second
	healthRetries       = 3
)

// Kubernetes' figures for what nobody said of readiness, which docker does not know.
const (
	readyInterval = 10 * time.Second
	readyTimeout  = time.Second
	readyRetries  = 3
)

// healthConfig is what the monitor needs to check the container's health, nil
// without a check.
func healthConfig(c *container.Container) (*message.Health, error) {
	p := &c.Config.Config
	h := &message.Health{OnFailure: c.Config.Host.HealthOnFailure}
	if check := p.Healthcheck; check.Exists() {
		work, err := checkWork(c, check.Command(p.Shell), check.Probe())
		if err != nil {
			return nil, err
		}
		h.Regular = &message.Check{
			Work: *work, Interval: cmp.Or(check.Interval, healthInterval), Timeout: cmp.Or(check.Timeout, healthTimeout),
			StartPeriod: check.StartPeriod, StartInterval: cmp.Or(check.StartInterval, healthStartInterval), Retries: cmp.Or(check.Retries, healthRetries),
		}
	}
	if check := p.StartupCheck; check.Exists() {
		work, err := checkWork(c, check.Command(p.Shell), check.Probe())
		if err != nil {
			return nil, err
		}
		h.Startup = &message.Check{
			Work: *work, Interval: cmp.Or(check.Interval, healthInterval), Timeout: cmp.Or(check.Timeout, healthTimeout),
			Retries: check.Retries, Successes: max(check.Successes, 1),
		}
	}
	if check := p.ReadyCheck; check.Exists() {
		work, err := checkWork(c, check.Command(p.Shell), check.Probe())
		if err != nil {
			return nil, err
		}
		h.Ready = &message.Check{
			Work: *work, Interval: cmp.Or(check.Interval, readyInterval), Timeout: cmp.Or(check.Timeout, readyTimeout),
			StartPeriod: check.Delay, Retries: cmp.Or(check.Retries, readyRetries), Successes: max(check.Successes, 1),
		}
	}
	if len(h.Checks()) == 0 {
		return nil, nil
	}
	return h, nil
}

// checkWork executes args, or without them asks.
func checkWork(c *container.Container, args []string, probe *hook.Handler) (*message.Work, error) {
	if args == nil {
		return askWork(c, &hook.Call{Handler: *probe})
	}
	return execWork(c, args)
}

// askWork asks over the container's network.
func askWork(c *container.Container, call *hook.Call) (*message.Work, error) {
	call.Names = namesOf(c)
	data, err := json.Marshal(call)
	return &message.Work{Probe: data}, err
}

// namesOf is the directory with the files by which the container resolves names.
func namesOf(c *container.Container) string {
	if shared, ok := strings.CutPrefix(c.Config.Host.NetworkMode, "container:"); ok {
		if other, err := container.Find(c.Store, shared); err == nil {
			return other.Dir()
		}
	}
	return c.Dir()
}
