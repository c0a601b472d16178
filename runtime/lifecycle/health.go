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
	args := c.Config.Config.Healthcheck.Command(c.Config.Config.Shell)
	if args == nil {
		return nil, nil
	}
	check := c.Config.Config.Healthcheck
	work, err := execWork(c, args)
	if err != nil {
		return nil, err
	}
	h := &message.Health{
		Work:     *work,
		Interval: cmp.Or(check.Interval, healthInterval), Timeout: cmp.Or(check.Timeout, healthTimeout),
		StartPeriod: check.StartPeriod, StartInterval: cmp.Or(check.StartInterval, healthStartInterval),
		Retries: cmp.Or(check.Retries, healthRetries), OnFailure: c.Config.Host.HealthOnFailure,
	}
	return h, nil
}
