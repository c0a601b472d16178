package flags

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/failure"
	"skiff/runtime/lifecycle"
	"skiff/storage/container"
	"skiff/storage/container/hook"
)

// LifeFlags are the flags about how a container's life goes on: restart, stop,
// health, log.
func LifeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "health-cmd", Usage: "Command to run to check health"},
		&cli.DurationFlag{Name: "health-interval", Usage: "Time between running the check (ms|s|m|h) (default 0s)"},
		&cli.IntFlag{Name: "health-retries", Usage: "Consecutive failures needed to report unhealthy"},
		&cli.StringFlag{Name: "health-probe", Usage: "Ask the container itself, instead of running a command: http://:8080/healthz, https://..., tcp://:5432, grpc://:50051/service, or JSON as Kubernetes has it"},
		&cli.DurationFlag{Name: "health-start-interval", Usage: "Time between running the check during the start period (ms|s|m|h) (default 0s)"},
		&cli.DurationFlag{Name: "health-start-period", Usage: "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)"},
		&cli.StringFlag{Name: "health-on-failure", Usage: "What to do with an unhealthy container: none, kill, restart, stop"},
		&cli.StringFlag{Name: "health-ready-cmd", Usage: "Command to run to check whether the container is ready; nothing is done to one that is not"},
		&cli.DurationFlag{Name: "health-ready-delay", Usage: "Time before the readiness check runs first (ms|s|m|h) (default 0s)"},
		&cli.DurationFlag{Name: "health-ready-interval", Usage: "Time between running the readiness check (ms|s|m|h) (default 10s)"},
		&cli.StringFlag{Name: "health-ready-probe", Usage: "What to ask whether the container is ready, as health-probe"},
		&cli.IntFlag{Name: "health-ready-retries", Usage: "Consecutive failures after which the container is not ready any more (default 3)"},
		&cli.IntFlag{Name: "health-ready-success", Usage: "Consecutive successes that make the container ready (default 1)"},
		&cli.DurationFlag{Name: "health-ready-timeout", Usage: "Maximum time to allow one readiness check to run (ms|s|m|h) (default 1s)"},
		&cli.StringFlag{Name: "health-startup-cmd", Usage: "Command to run to check that the container has come up, before health-cmd is"},
		&cli.DurationFlag{Name: "health-startup-interval", Usage: "Time between running the startup check (ms|s|m|h) (default 30s)"},
		&cli.StringFlag{Name: "health-startup-probe", Usage: "What to ask until the container has come up, as health-probe"},
		&cli.IntFlag{Name: "health-startup-retries", Usage: "Consecutive failures of the startup check after which the container is restarted (default 0: never)"},
		&cli.IntFlag{Name: "health-startup-success", Usage: "Consecutive successes that end the startup (default 1)"},
		&cli.DurationFlag{Name: "health-startup-timeout", Usage: "Maximum time to allow one startup check to run (ms|s|m|h) (default 30s)"},
		&cli.DurationFlag{Name: "health-timeout", Usage: "Maximum time to allow one check to run (ms|s|m|h) (default 0s)"},
		&cli.BoolFlag{Name: "no-healthcheck", Usage: "Disable any container-specified HEALTHCHECK"},
		&cli.StringFlag{Name: "log-driver", Usage: "Logging driver for the container"},
		&cli.StringSliceFlag{Name: "log-opt", Usage: "Log driver options"},
		&cli.StringFlag{Name: "post-start", Usage: "Hook to run in the container when it has started: a command line, or JSON as Kubernetes has it"},
		&cli.StringFlag{Name: "pre-stop", Usage: "Hook to run in the container before its stop signal, within the grace time"},
		&cli.StringFlag{Name: "restart", Value: "no", Usage: "Restart policy to apply when a container exits"},
		&cli.StringFlag{Name: "stop-signal", Usage: "Signal to stop the container"},
		&cli.IntFlag{Name: "timeout", Usage: "Seconds after which the container is killed"},
		&cli.IntFlag{Name: "stop-timeout", Usage: "Timeout (in seconds) to stop a container"},
	}
}

// Life fills what p and h say about restart, stop, health and log.
func Life(c *cli.Context, p *container.Process, h *container.Host) (warnings []string, err error) {
	if h.RestartPolicy, err = ParseRestart(c.String("restart")); err != nil {
		return nil, err
	}
	if notice := lifecycle.BootNotice(h.RestartPolicy); notice != "" {
		warnings = append(warnings, notice)
	}
	if p.StopSignal = c.String("stop-signal"); p.StopSignal != "" {
		if _, err := ParseSignal(p.StopSignal); err != nil {
			return nil, failure.Engine(err, "%v", err)
		}
	}
	if c.IsSet("stop-timeout") {
		seconds := c.Int("stop-timeout")
		p.StopTimeout = &seconds
	}
	if p.Healthcheck, err = health(c); err != nil {
		return nil, err
	}
	if p.StartupCheck, err = startup(c); err != nil {
		return nil, err
	}
	if p.ReadyCheck, err = ready(c); err != nil {
		return nil, err
	}
	if h.Lifecycle, err = hooks(c); err != nil {
		return nil, err
	}
	if h.HealthOnFailure = c.String("health-on-failure"); !slices.Contains([]string{"", "none", "kill", "restart", "stop"}, h.HealthOnFailure) {
		return nil, fmt.Errorf("invalid action %q for --health-on-failure: one of none, kill, restart and stop", h.HealthOnFailure)
	}
	if h.HealthOnFailure == "restart" && h.AutoRemove {
		return nil, errors.New("conflicting options: --health-on-failure=restart and --rm")
	}
	if h.Timeout = c.Int("timeout"); h.Timeout < 0 {
		return nil, errors.New("--timeout cannot be negative")
	}
	h.LogConfig, err = logConfig(c.String("log-driver"), c.StringSlice("log-opt"))
	return warnings, err
}

// test is what the flags PREFIX-cmd and PREFIX-probe say, nil for nothing.
func test(c *cli.Context, prefix string) ([]string, error) {
	cmd, probe := c.String(prefix+"-cmd"), c.String(prefix+"-probe")
	switch {
	case cmd != "" && probe != "":
		return nil, fmt.Errorf("conflicting options: --%s-cmd and --%s-probe", prefix, prefix)
	case cmd != "":
		return []string{"CMD-SHELL", cmd}, nil
	case !c.IsSet(prefix + "-probe"):
		return nil, nil
	}
	h, err := hook.ParseProbe(probe)
	if err != nil {
		return nil, fmt.Errorf("invalid probe for --%s-probe: %w", prefix, err)
	}
	return container.TestOf(h)
}

// ready returns nil when nothing was said about readiness. What the image says of
// health does not matter to it.
func ready(c *cli.Context) (*container.ReadyCheck, error) {
	words, err := test(c, "health-ready")
	if err != nil {
		return nil, err
	}
	check := &container.ReadyCheck{
		Test: words, Interval: c.Duration("health-ready-interval"), Timeout: c.Duration("health-ready-timeout"),
		Delay: c.Duration("health-ready-delay"), Retries: c.Int("health-ready-retries"), Successes: c.Int("health-ready-success"),
	}
	said := check.Interval != 0 || check.Timeout != 0 || check.Delay != 0 || check.Retries != 0 || check.Successes != 0
	switch {
	case words == nil && said:
		return nil, errors.New("--health-ready-* options need --health-ready-cmd or --health-ready-probe")
	case words == nil:
		return nil, nil
	case check.Retries < 0 || check.Successes < 0:
		return nil, errors.New("--health-ready-retries and --health-ready-success cannot be negative")
	}
	for flag, d := range map[string]time.Duration{"interval": check.Interval, "timeout": check.Timeout, "delay": check.Delay} {
		if d < 0 || d > 0 && d < time.Millisecond {
			return nil, fmt.Errorf("--health-ready-%s cannot be less than 1ms", flag)
		}
	}
	return check, nil
}

// startup returns nil when nothing was said about the startup.
func startup(c *cli.Context) (*container.StartupCheck, error) {
	words, err := test(c, "health-startup")
	if err != nil {
		return nil, err
	}
	check := &container.StartupCheck{
		Test: words, Interval: c.Duration("health-startup-interval"), Timeout: c.Duration("health-startup-timeout"),
		Retries: c.Int("health-startup-retries"), Successes: c.Int("health-startup-success"),
	}
	said := check.Interval != 0 || check.Timeout != 0 || check.Retries != 0 || check.Successes != 0
	switch {
	case words == nil && said:
		return nil, errors.New("--health-startup-* options need --health-startup-cmd or --health-startup-probe")
	case words == nil:
		return nil, nil
	case c.Bool("no-healthcheck"):
		return nil, errors.New("--no-healthcheck conflicts with --health-* options")
	case check.Retries < 0 || check.Successes < 0:
		return nil, errors.New("--health-startup-retries and --health-startup-success cannot be negative")
	}
	for flag, d := range map[string]time.Duration{"interval": check.Interval, "timeout": check.Timeout} {
		if d < 0 || d > 0 && d < time.Millisecond {
			return nil, fmt.Errorf("--health-startup-%s cannot be less than 1ms", flag)
		}
	}
	return check, nil
}

// hooks returns nil when nothing was said about hooks.
func hooks(c *cli.Context) (*hook.Lifecycle, error) {
	l := &hook.Lifecycle{}
	for _, h := range []struct {
		flag string
		to   **hook.Handler
	}{{"post-start", &l.PostStart}, {"pre-stop", &l.PreStop}} {
		if !c.IsSet(h.flag) {
			continue
		}
		var err error
		if *h.to, err = hook.Parse(c.String(h.flag)); err != nil {
			return nil, fmt.Errorf("invalid hook for --%s: %w", h.flag, err)
		}
	}
	if *l == (hook.Lifecycle{}) {
		return nil, nil
	}
	return l, nil
}

// ParseRestart reads the value of --restart: policy[:most retries].
func ParseRestart(s string) (container.RestartPolicy, error) {
	name, count, hasCount := strings.Cut(s, ":")
	p := container.RestartPolicy{Name: name}
	if hasCount {
		n, err := strconv.Atoi(count)
		if err != nil {
			return p, errors.New("invalid restart policy format: maximum retry count must be an integer")
		}
		p.MaximumRetryCount = n
	}
	switch name {
	case "":
		if hasCount {
			return p, errors.New("invalid restart policy format: no policy provided before colon")
		}
		p.Name = "no"
	case "no", "always", "unless-stopped":
		if p.MaximumRetryCount != 0 {
			return p, failure.Engine(nil, "invalid restart policy: maximum retry count can only be used with 'on-failure'")
		}
	case "on-failure":
		if p.MaximumRetryCount < 0 {
			return p, failure.Engine(nil, "invalid restart policy: maximum retry count cannot be negative")
		}
	default:
		return p, failure.Engine(nil, "invalid restart policy: unknown policy '%s'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'", name)
	}
	return p, nil
}

// health returns nil when nothing was said about health.
func health(c *cli.Context) (*container.Healthcheck, error) {
	words, err := test(c, "health")
	if err != nil {
		return nil, err
	}
	check := &container.Healthcheck{Test: words, Retries: c.Int("health-retries")}
	said := words != nil || check.Retries != 0
	for _, d := range []struct {
		flag string
		to   *time.Duration
	}{
		{"health-interval", &check.Interval},
		{"health-timeout", &check.Timeout},
		{"health-start-period", &check.StartPeriod},
		{"health-start-interval", &check.StartInterval},
	} {
		*d.to = c.Duration(d.flag)
		said = said || *d.to != 0
		if *d.to < 0 {
			return nil, fmt.Errorf("--%s cannot be negative", d.flag)
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"Interval", check.Interval}, {"Timeout", check.Timeout}, {"StartPeriod", check.StartPeriod}, {"StartInterval", check.StartInterval}} {
		if d.value > 0 && d.value < time.Millisecond {
			return nil, failure.Engine(nil, "%s in Healthcheck cannot be less than 1ms", d.name)
		}
	}
	switch {
	case check.Retries < 0:
		return nil, errors.New("--health-retries cannot be negative")
	case c.Bool("no-healthcheck") && said:
		return nil, errors.New("--no-healthcheck conflicts with --health-* options")
	case c.Bool("no-healthcheck"):
		return &container.Healthcheck{Test: []string{"NONE"}}, nil
	case !said:
		return nil, nil
	}
	return check, nil
}

func logConfig(driver string, options []string) (container.LogConfig, error) {
	conf := container.LogConfig{Type: driver, Config: map[string]string{}}
	switch driver {
	case "":
		conf.Type = "json-file"
	case "json-file", "local", "none", "journald", "passthrough":
	case "syslog", "fluentd", "gelf", "awslogs", "splunk", "gcplogs", "etwlogs":
		return conf, fmt.Errorf("log driver %q is not supported; json-file, local, journald, passthrough and none are", driver)
	default:
		return conf, failure.Engine(nil, "error looking up logging plugin %s: plugin %q not found", driver, driver)
	}
	for _, o := range options {
		key, value, ok := strings.Cut(o, "=")
		if !ok || key == "" {
			return conf, fmt.Errorf("invalid logging opts for driver %s", conf.Type)
		}
		switch key {
		case "max-size", "max-file", "compress", "mode", "max-buffer-size", "labels", "labels-regex", "env", "env-regex", "tag":
		default:
			return conf, failure.Engine(nil, "unknown log opt '%s' for %s log driver", key, conf.Type)
		}
		conf.Config[key] = value
	}
	return conf, nil
}
