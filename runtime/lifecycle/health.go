package lifecycle

import (
	"cmp"
	"time"

	"skiff/runtime/stage/message"
	"skiff/storage/container"
)

// docker's figures for what nobody said.
const (
	healthInterval      = 30 * time.Second
	healthTimeout       = 30 * time.Second
	healthStartInterval = 5 * time.Second
	healthRetries       = 3
)

// healthConfig is what the monitor needs to check the container's health, nil
// without a check.
func healthConfig(c *container.Container) (*message.Health, error) {
	p := &c.Config.Config
	h := &message.Health{OnFailure: c.Config.Host.HealthOnFailure}
	if args := p.Healthcheck.Command(p.Shell); args != nil {
		check := p.Healthcheck
		work, err := execWork(c, args)
		if err != nil {
			return nil, err
		}
		h.Regular = &message.Check{
			Work: *work, Interval: cmp.Or(check.Interval, healthInterval), Timeout: cmp.Or(check.Timeout, healthTimeout),
			StartPeriod: check.StartPeriod, StartInterval: cmp.Or(check.StartInterval, healthStartInterval), Retries: cmp.Or(check.Retries, healthRetries),
		}
	}
	if args := p.StartupCheck.Command(p.Shell); args != nil {
		check := p.StartupCheck
		work, err := execWork(c, args)
		if err != nil {
			return nil, err
		}
		h.Startup = &message.Check{
			Work: *work, Interval: cmp.Or(check.Interval, healthInterval), Timeout: cmp.Or(check.Timeout, healthTimeout),
			Retries: check.Retries, Successes: max(check.Successes, 1),
		}
	}
	if h.Regular == nil && h.Startup == nil {
		return nil, nil
	}
	return h, nil
}
