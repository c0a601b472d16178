package translate

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"skiff/commands/kube/plan"
)

// pod plans one pod.
func (p *player) pod(name string, meta *metaObject, spec *corev1.PodSpec) error {
	if name == "" {
		return errors.New("metadata.name is missing")
	}
	if len(spec.Containers) == 0 {
		return errors.New("spec.containers is empty")
	}
	b := &podBuilder{player: p, meta: meta, spec: spec, name: name, volumes: map[string]mountable{}}
	b.pod = plan.Pod{Name: name, Share: []string{"ipc", "net", "uts"}}
	if account := spec.ServiceAccountName; account != "" && account != "default" {
		b.warn("pod %s: serviceAccountName %s: there are no service accounts, and no token is mounted", name, account)
	}
	if err := b.flags(); err != nil {
		return err
	}
	for i := range spec.Volumes {
		if err := b.volume(&spec.Volumes[i]); err != nil {
			return fmt.Errorf("spec.volumes[%s]: %w", spec.Volumes[i].Name, err)
		}
	}
	for i, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for j := range list {
			c, err := b.container(&list[j], i == 0)
			if err != nil {
				return fmt.Errorf("container %s: %w", list[j].Name, err)
			}
			b.pod.Containers = append(b.pod.Containers, *c)
		}
	}
	p.plan.Pods = append(p.plan.Pods, b.pod)
	p.pods = append(p.pods, podFacts{meta, spec})
	return nil
}

// podBuilder collects one pod.
type podBuilder struct {
	*player
	meta    *metaObject
	spec    *corev1.PodSpec
	name    string
	pod     plan.Pod
	volumes map[string]mountable
}

func (b *podBuilder) flag(name, value string) { b.pod.Flags = append(b.pod.Flags, "--"+name+"="+value) }

// flags are those of the pod's infra container.
func (b *podBuilder) flags() error {
	s := b.spec
	for _, k := range slices.Sorted(maps.Keys(b.meta.Labels)) {
		b.flag("label", k+"="+b.meta.Labels[k])
	}
	if s.HostNetwork {
		b.flag("network", "host")
		b.pod.Share = []string{"ipc", "net"}
	} else {
		hostname := s.Hostname
		if hostname == "" {
			hostname = b.name
		}
		b.flag("hostname", hostname[:min(len(hostname), 63)])
	}
	if s.HostIPC {
		b.pod.Share = slices.DeleteFunc(b.pod.Share, func(ns string) bool { return ns == "ipc" })
	}
	if s.ShareProcessNamespace != nil && *s.ShareProcessNamespace {
		if s.HostPID {
			return errors.New("spec.shareProcessNamespace and spec.hostPID cannot both be")
		}
		if mode := b.userns(); mode != "" && mode != "host" {
			return errors.New("spec.shareProcessNamespace is not supported with user namespaces of the containers (spec.hostUsers, " + plan.UsernsAnnotation + ")")
		}
		b.pod.Share = append(b.pod.Share, "pid")
	}
	for _, a := range s.HostAliases {
		for _, h := range a.Hostnames {
			b.flag("add-host", h+":"+a.IP)
		}
	}
	switch s.DNSPolicy {
	case "", corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSClusterFirstWithHostNet, corev1.DNSNone:
	default:
		return fmt.Errorf("spec.dnsPolicy %q is not one of Kubernetes'", s.DNSPolicy)
	}
	if d := s.DNSConfig; d != nil {
		for _, n := range d.Nameservers {
			b.flag("dns", n)
		}
		for _, n := range d.Searches {
			b.flag("dns-search", n)
		}
		for _, o := range d.Options {
			text := o.Name
			if o.Value != nil {
				text += ":" + *o.Value
			}
			b.flag("dns-option", text)
		}
	}
	if c := s.SecurityContext; c != nil {
		for _, sysctl := range c.Sysctls {
			b.flag("sysctl", sysctl.Name+"="+sysctl.Value)
		}
	}
	for _, c := range s.Containers {
		for i, port := range c.Ports {
			if err := b.claim(c.Name, &port); err != nil {
				return fmt.Errorf("container %s: ports[%d].%w", c.Name, i, err)
			}
			if port.HostPort == 0 || s.HostNetwork {
				continue
			}
			text := fmt.Sprintf("%d:%d", port.HostPort, port.ContainerPort)
			if ip := port.HostIP; ip != "" {
				if strings.Contains(ip, ":") {
					ip = "[" + ip + "]"
				}
				text = ip + ":" + text
			}
			if port.Protocol != "" && port.Protocol != corev1.ProtocolTCP {
				text += "/" + strings.ToLower(string(port.Protocol))
			}
			b.flag("publish", text)
		}
	}
	if len(s.NodeSelector) > 0 {
		b.warn("pod %s: spec.nodeSelector has no effect: there is one machine", b.name)
	}
	return nil
}

// claim notes a port that a container wants of this machine, unless another has it.
func (b *podBuilder) claim(name string, want *corev1.ContainerPort) error {
	for _, n := range []struct {
		field       string
		value, from int32
	}{{"containerPort", want.ContainerPort, 1}, {"hostPort", want.HostPort, 0}} {
		if n.value < n.from || n.value > 65535 {
			return fmt.Errorf("%s %d is not between 1 and 65535", n.field, n.value)
		}
	}
	if want.HostPort == 0 || b.spec.HostNetwork {
		return nil
	}
	protocol := cmp.Or(want.Protocol, corev1.ProtocolTCP)
	own := claimed{want.HostPort, protocol, want.HostIP, fmt.Sprintf("container %s of pod %s", name, b.name)}
	for _, c := range b.ports {
		if c.port == own.port && c.protocol == own.protocol && (c.ip == own.ip || anywhere(c.ip) || anywhere(own.ip)) {
			return fmt.Errorf("hostPort %d is published by %s already", own.port, c.who)
		}
	}
	b.ports = append(b.ports, own)
	return nil
}

// claimed is a port of this machine's.
type claimed struct {
	port     int32
	protocol corev1.Protocol
	ip, who  string
}

func anywhere(ip string) bool { return ip == "" || ip == "0.0.0.0" || ip == "::" }

// container plans one.
func (b *podBuilder) container(c *corev1.Container, init bool) (*plan.Container, error) {
	if c.Name == "" || c.Image == "" {
		return nil, errors.New("name and image must be given")
	}
	out := &plan.Container{Name: b.name + "-" + c.Name, Image: c.Image, Init: init}
	flag := func(name, value string) { out.Args = append(out.Args, "--"+name+"="+value) }
	env, err := b.environment(c)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		values[k] = v
		flag("env", kv)
	}
	for _, k := range slices.Sorted(maps.Keys(b.meta.Annotations)) {
		flag("annotation", k+"="+b.meta.Annotations[k])
	}
	if mode := b.userns(); mode != "" {
		flag("userns", mode)
	}
	if init {
		flag("annotation", plan.InitAnnotation+"=true")
	}
	if c.WorkingDir != "" {
		flag("workdir", c.WorkingDir)
	}
	if c.TTY {
		flag("tty", "true")
	}
	if c.Stdin {
		flag("interactive", "true")
	}
	pull, err := pullPolicy(c.ImagePullPolicy)
	if err != nil {
		return nil, fmt.Errorf("image%w", err)
	}
	if pull != "" {
		flag("pull", pull)
	}
	if b.spec.HostPID {
		flag("pid", "host")
	}
	if b.spec.HostIPC {
		flag("ipc", "host")
	}
	if t := b.spec.TerminationGracePeriodSeconds; t != nil {
		flag("stop-timeout", strconv.FormatInt(*t, 10))
	}
	if !init {
		switch b.spec.RestartPolicy {
		case "", corev1.RestartPolicyAlways:
			flag("restart", "always")
		case corev1.RestartPolicyOnFailure:
			flag("restart", "on-failure")
		case corev1.RestartPolicyNever:
		default:
			return nil, fmt.Errorf("spec.restartPolicy %q is not one of Always, OnFailure and Never", b.spec.RestartPolicy)
		}
	}
	b.resources(c, flag)
	if err := b.security(c, flag); err != nil {
		return nil, err
	}
	if err := b.probes(c, init, flag); err != nil {
		return nil, err
	}
	if err := b.hooks(c, init, flag); err != nil {
		return nil, err
	}
	for i, m := range c.VolumeMounts {
		if err := b.mount(&c.VolumeMounts[i], values, flag); err != nil {
			return nil, fmt.Errorf("volumeMounts[%s]: %w", m.Name, err)
		}
	}
	command, args := expandAll(c.Command, values), expandAll(c.Args, values)
	if len(command) > 0 {
		flag("entrypoint", command[0])
		args = append(slices.Clone(command[1:]), args...)
	}
	out.Args = append(append(out.Args, c.Image), args...)
	return out, nil
}

// userns is the user namespace mode of the pod's containers, empty for none of
// their own.
func (b *podBuilder) userns() string {
	mode := b.meta.Annotations[plan.UsernsAnnotation]
	if mode == "" && b.spec.HostUsers != nil && !*b.spec.HostUsers {
		mode = "auto"
	}
	return mode
}

// pullPolicy is the value of --pull, empty for its default.
func pullPolicy(p corev1.PullPolicy) (string, error) {
	switch p {
	case corev1.PullAlways:
		return "always", nil
	case corev1.PullNever:
		return "never", nil
	case "", corev1.PullIfNotPresent:
		return "", nil
	}
	return "", fmt.Errorf("PullPolicy %q is not one of Always, IfNotPresent and Never", p)
}

// resources are limits; what is requested becomes weights.
func (b *podBuilder) resources(c *corev1.Container, flag func(name, value string)) {
	limits, requests := c.Resources.Limits, c.Resources.Requests
	if q, ok := limits[corev1.ResourceMemory]; ok && q.Value() > 0 {
		flag("memory", strconv.FormatInt(q.Value(), 10))
	}
	if q, ok := limits[corev1.ResourceCPU]; ok && q.MilliValue() > 0 {
		flag("cpus", strconv.FormatFloat(float64(q.MilliValue())/1000, 'f', -1, 64))
	}
	if q, ok := requests[corev1.ResourceMemory]; ok && q.Value() > 0 {
		flag("memory-reservation", strconv.FormatInt(q.Value(), 10))
	}
	if q, ok := requests[corev1.ResourceCPU]; ok && q.MilliValue() > 0 {
		flag("cpu-shares", strconv.FormatInt(max(2, q.MilliValue()*1024/1000), 10))
	}
}

// security is who the process is and what it may.
func (b *podBuilder) security(c *corev1.Container, flag func(name, value string)) error {
	own, pod := c.SecurityContext, b.spec.SecurityContext
	if own == nil {
		own = &corev1.SecurityContext{}
	}
	if pod == nil {
		pod = &corev1.PodSecurityContext{}
	}
	first := func(a, b *int64) *int64 {
		if a != nil {
			return a
		}
		return b
	}
	user, group := first(own.RunAsUser, pod.RunAsUser), first(own.RunAsGroup, pod.RunAsGroup)
	switch {
	case user != nil && group != nil:
		flag("user", fmt.Sprintf("%d:%d", *user, *group))
	case user != nil:
		flag("user", strconv.FormatInt(*user, 10))
	case group != nil:
		return errors.New("securityContext.runAsGroup needs runAsUser here")
	}
	nonRoot := own.RunAsNonRoot
	if nonRoot == nil {
		nonRoot = pod.RunAsNonRoot
	}
	if nonRoot != nil && *nonRoot && user == nil {
		return errors.New("securityContext.runAsNonRoot needs runAsUser here: whose the image's process is is not looked at")
	}
	if nonRoot != nil && *nonRoot && *user == 0 {
		return errors.New("securityContext.runAsNonRoot and runAsUser 0 contradict each other")
	}
	for _, g := range pod.SupplementalGroups {
		flag("group-add", strconv.FormatInt(g, 10))
	}
	if pod.FSGroup != nil {
		flag("group-add", strconv.FormatInt(*pod.FSGroup, 10))
		b.warn("pod %s: securityContext.fsGroup is a supplementary group; volumes keep their owner", b.name)
	}
	if own.Privileged != nil && *own.Privileged {
		flag("privileged", "true")
	}
	if own.ReadOnlyRootFilesystem != nil && *own.ReadOnlyRootFilesystem {
		flag("read-only", "true")
	}
	if own.AllowPrivilegeEscalation != nil && !*own.AllowPrivilegeEscalation {
		flag("security-opt", "no-new-privileges")
	}
	if caps := own.Capabilities; caps != nil {
		for _, name := range caps.Add {
			flag("cap-add", string(name))
		}
		for _, name := range caps.Drop {
			flag("cap-drop", string(name))
		}
	}
	profile := own.SeccompProfile
	if profile == nil {
		profile = pod.SeccompProfile
	}
	if profile != nil {
		switch profile.Type {
		case corev1.SeccompProfileTypeRuntimeDefault:
		case corev1.SeccompProfileTypeUnconfined:
			flag("security-opt", "seccomp=unconfined")
		default:
			return fmt.Errorf("securityContext.seccompProfile of type %s is not supported", profile.Type)
		}
	}
	return nil
}
