package translate

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"skiff/storage/container/hook"
)

// probes: the liveness probe is the health check, the startup probe what goes before
// it. The readiness probe is a check of its own beside these; alone, and where one
// success is enough, it is the health check, without consequences: that is what
// docker's is.
func (b *podBuilder) probes(c *corev1.Container, init bool, flag func(name, value string)) error {
	live, ready, startup := c.LivenessProbe, c.ReadinessProbe, c.StartupProbe
	never := b.spec.RestartPolicy == corev1.RestartPolicyNever
	if init && (live != nil || ready != nil || startup != nil) {
		return errors.New("an init container has no probes")
	}
	switch {
	case ready != nil && (live != nil || startup != nil && never || ready.SuccessThreshold > 1):
		if err := probe(c, "readinessProbe", "health-ready", ready, flag); err != nil {
			return err
		}
		if n := ready.SuccessThreshold; n > 0 {
			flag("health-ready-success", strconv.Itoa(int(n)))
		}
		if d := ready.InitialDelaySeconds; d > 0 {
			flag("health-ready-delay", strconv.Itoa(int(d))+"s")
		}
	case ready != nil:
		if err := probe(c, "readinessProbe", "health", ready, flag); err != nil {
			return err
		}
		delay(ready, flag)
	}
	if live != nil {
		if err := probe(c, "livenessProbe", "health", live, flag); err != nil {
			return err
		}
		delay(live, flag)
	}
	if startup != nil {
		patient := startup.DeepCopy()
		if d := startup.InitialDelaySeconds; d > 0 {
			// It is asked meanwhile, too, and may fail as much more often.
			period := or(startup.PeriodSeconds, 10)
			patient.FailureThreshold = or(startup.FailureThreshold, 3) + (d+period-1)/period
		}
		if err := probe(c, "startupProbe", "health-startup", patient, flag); err != nil {
			return err
		}
	}
	switch {
	case (live != nil || startup != nil) && never:
		flag("health-on-failure", "kill")
	case live != nil:
		flag("health-on-failure", "restart")
	}
	return nil
}

// delay is what no failure counts in.
func delay(p *corev1.Probe, flag func(name, value string)) {
	if p.InitialDelaySeconds > 0 {
		flag("health-start-period", strconv.Itoa(int(p.InitialDelaySeconds))+"s")
	}
}

func or(n, usual int32) int32 {
	if n == 0 {
		return usual
	}
	return n
}

// probe is one check, by flags that begin so.
func probe(c *corev1.Container, field, prefix string, p *corev1.Probe, flag func(name, value string)) error {
	own := p.ProbeHandler.DeepCopy()
	if err := numberPorts(c, own.HTTPGet, own.TCPSocket); err != nil {
		return fmt.Errorf("%s.%w", field, err)
	}
	// As Kubernetes' own validation has it.
	for _, n := range []struct {
		name  string
		value int32
	}{
		{"initialDelaySeconds", p.InitialDelaySeconds},
		{"periodSeconds", p.PeriodSeconds},
		{"timeoutSeconds", p.TimeoutSeconds},
		{"failureThreshold", p.FailureThreshold},
		{"successThreshold", p.SuccessThreshold},
	} {
		if n.value < 0 {
			return fmt.Errorf("%s.%s: %d is negative", field, n.name, n.value)
		}
	}
	if field != "readinessProbe" && p.SuccessThreshold > 1 {
		return fmt.Errorf("%s.successThreshold: %d must be 1", field, p.SuccessThreshold)
	}
	data, err := json.Marshal(own)
	if err != nil {
		return err
	}
	if string(data) == "{}" {
		return fmt.Errorf("%s has no action", field)
	}
	h, err := hook.ParseProbe(string(data))
	if err == nil {
		data, err = json.Marshal(h) // without what says nothing
	}
	if err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	flag(prefix+"-probe", string(data))
	flag(prefix+"-interval", fmt.Sprintf("%ds", or(p.PeriodSeconds, 10)))
	flag(prefix+"-timeout", fmt.Sprintf("%ds", or(p.TimeoutSeconds, 1)))
	flag(prefix+"-retries", strconv.Itoa(int(or(p.FailureThreshold, 3))))
	return nil
}

// numberPorts puts numbers in the place of ports' names.
func numberPorts(c *corev1.Container, get *corev1.HTTPGetAction, socket *corev1.TCPSocketAction) error {
	for _, p := range []struct {
		field string
		there bool
		port  func() *intstr.IntOrString
	}{
		{"httpGet", get != nil, func() *intstr.IntOrString { return &get.Port }},
		{"tcpSocket", socket != nil, func() *intstr.IntOrString { return &socket.Port }},
	} {
		if !p.there {
			continue
		}
		port := p.port()
		number, err := probePort(c, port.StrVal, port.IntVal)
		if err != nil {
			return fmt.Errorf("%s.port: %w", p.field, err)
		}
		*port = intstr.FromInt32(number)
	}
	return nil
}

// hooks are flags of create's, in Kubernetes' own JSON.
func (b *podBuilder) hooks(c *corev1.Container, init bool, flag func(name, value string)) error {
	l := c.Lifecycle
	if l == nil {
		return nil
	}
	if init {
		return errors.New("lifecycle: an init container has no hooks")
	}
	for _, h := range []struct {
		name, flag string
		handler    *corev1.LifecycleHandler
	}{{"postStart", "post-start", l.PostStart}, {"preStop", "pre-stop", l.PreStop}} {
		if h.handler == nil {
			continue
		}
		own := h.handler.DeepCopy()
		if err := numberPorts(c, own.HTTPGet, own.TCPSocket); err != nil {
			return fmt.Errorf("lifecycle.%s.%w", h.name, err)
		}
		data, err := json.Marshal(own)
		if err != nil {
			return err
		}
		if _, err := hook.Parse(string(data)); err != nil {
			return fmt.Errorf("lifecycle.%s: %w", h.name, err)
		}
		flag(h.flag, string(data))
	}
	return nil
}

func probePort(c *corev1.Container, name string, number int32) (int32, error) {
	if name == "" {
		return number, nil
	}
	for _, p := range c.Ports {
		if p.Name == name {
			return p.ContainerPort, nil
		}
	}
	return 0, fmt.Errorf("no port of the container is called %q", name)
}
