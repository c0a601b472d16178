package translate

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"skiff/commands/kube/plan"
	"skiff/storage/container/hook"
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

// mountable is a volume of a pod: the beginning of --mount.
type mountable struct {
	kind, source string // bind, volume, tmpfs, image
	create       bool   // -v, which makes the directory
	readOnly     bool
	options      []string
}

func (b *podBuilder) volume(v *corev1.Volume) error {
	own := b.name + "-" + v.Name
	switch s := v.VolumeSource; {
	case s.HostPath != nil:
		m := mountable{kind: "bind", source: s.HostPath.Path}
		if !path.IsAbs(m.source) {
			return fmt.Errorf("hostPath %q is not absolute", m.source)
		}
		if t := s.HostPath.Type; t != nil {
			switch *t {
			case corev1.HostPathDirectoryOrCreate:
				m.create = true
			case corev1.HostPathUnset:
			case corev1.HostPathDirectory, corev1.HostPathFile, corev1.HostPathFileOrCreate, corev1.HostPathSocket, corev1.HostPathCharDev, corev1.HostPathBlockDev:
				b.plan.Paths = append(b.plan.Paths, plan.Path{Path: m.source, Type: string(*t)})
			default:
				return fmt.Errorf("hostPath.type %s is not supported", *t)
			}
		}
		b.volumes[v.Name] = m
	case s.EmptyDir != nil && s.EmptyDir.Medium == corev1.StorageMediumMemory:
		m := mountable{kind: "tmpfs"}
		if q := s.EmptyDir.SizeLimit; q != nil {
			m.options = append(m.options, fmt.Sprintf("tmpfs-size=%d", q.Value()))
		}
		b.volumes[v.Name] = m
	case s.EmptyDir != nil:
		if s.EmptyDir.SizeLimit != nil {
			b.warn("pod %s: emptyDir %s: sizeLimit has no effect on a disk", b.name, v.Name)
		}
		b.addVolume(plan.Volume{Name: own, Own: true})
		b.volumes[v.Name] = mountable{kind: "volume", source: own}
	case s.PersistentVolumeClaim != nil:
		b.addVolume(plan.Volume{Name: s.PersistentVolumeClaim.ClaimName})
		b.volumes[v.Name] = mountable{kind: "volume", source: s.PersistentVolumeClaim.ClaimName, readOnly: s.PersistentVolumeClaim.ReadOnly}
	case s.Image != nil:
		if s.Image.Reference == "" {
			return errors.New("image.reference is missing")
		}
		pull, err := pullPolicy(s.Image.PullPolicy)
		if err != nil {
			return fmt.Errorf("image.%w", err)
		}
		b.plan.Images = append(b.plan.Images, plan.Image{Reference: s.Image.Reference, Pull: pull})
		b.volumes[v.Name] = mountable{kind: "image", source: s.Image.Reference, readOnly: true}
	case s.ConfigMap != nil, s.Secret != nil, s.Projected != nil, s.DownwardAPI != nil:
		files := map[string]plan.File{}
		if err := b.files(&s, files); err != nil {
			return err
		}
		secret := s.Secret != nil || s.Projected != nil && slices.ContainsFunc(s.Projected.Sources, func(p corev1.VolumeProjection) bool { return p.Secret != nil })
		b.addVolume(plan.Volume{Name: own, Own: true, Files: files, Secret: secret})
		b.volumes[v.Name] = mountable{kind: "volume", source: own, readOnly: true}
	default:
		return errors.New("it is of no kind that is supported")
	}
	return nil
}

func (b *podBuilder) addVolume(v plan.Volume) {
	if !slices.ContainsFunc(b.plan.Volumes, func(o plan.Volume) bool { return o.Name == v.Name }) {
		b.plan.Volumes = append(b.plan.Volumes, v)
	}
}

// mount puts a volume into a container, whose environment is values.
func (b *podBuilder) mount(m *corev1.VolumeMount, values map[string]string, flag func(name, value string)) error {
	v, ok := b.volumes[m.Name]
	if !ok {
		return errors.New("the pod has no volume of that name")
	}
	subPath := m.SubPath
	if m.SubPathExpr != "" {
		if subPath != "" {
			return errors.New("subPath and subPathExpr exclude each other")
		}
		if subPath = expand(m.SubPathExpr, values); strings.Contains(subPath, "$(") {
			return fmt.Errorf("subPathExpr %q names a variable that is not there", m.SubPathExpr)
		}
	}
	if strings.ContainsAny(m.MountPath+subPath+v.source, ",\n\"") {
		return errors.New("a path with a comma, a quote or a line break is not supported")
	}
	sub := path.Clean("/" + subPath)[1:]
	if subPath != "" && (path.IsAbs(subPath) || slices.Contains(strings.Split(subPath, "/"), "..")) {
		return fmt.Errorf("subPath %q leaves the volume", subPath)
	}
	spread, err := propagation(m, &v)
	if err != nil {
		return err
	}
	if v.create {
		option := ""
		if spread != "" {
			option = "," + spread
		}
		if m.ReadOnly {
			option = ",ro" + option
		}
		if option != "" {
			option = ":" + option[1:]
		}
		if strings.Contains(v.source+m.MountPath, ":") {
			return errors.New("a path with a colon is not supported")
		}
		flag("volume", path.Join(v.source, sub)+":"+m.MountPath+option)
		return nil
	}
	parts := []string{"type=" + v.kind}
	if v.source != "" {
		if v.kind == "bind" && sub != "" {
			v.source = path.Join(v.source, sub)
		}
		parts = append(parts, "source="+v.source)
	}
	if v.kind == "volume" && sub != "" {
		parts = append(parts, "volume-subpath="+sub)
	}
	if v.kind == "image" && sub != "" {
		parts = append(parts, "image-subpath="+sub)
	}
	if spread != "" {
		parts = append(parts, "bind-propagation="+spread)
	}
	if v.kind == "tmpfs" && sub != "" {
		return errors.New("subPath of an emptyDir in memory is not supported")
	}
	parts = append(parts, "destination="+m.MountPath)
	if m.ReadOnly || v.readOnly {
		parts = append(parts, "readonly")
	}
	if v.kind == "bind" && m.RecursiveReadOnly != nil && *m.RecursiveReadOnly == corev1.RecursiveReadOnlyDisabled && m.ReadOnly {
		parts = append(parts, "bind-recursive=writable")
	}
	flag("mount", strings.Join(append(parts, v.options...), ","))
	return nil
}

// propagation is the value of bind-propagation, empty for the default: None.
func propagation(m *corev1.VolumeMount, v *mountable) (string, error) {
	mode := corev1.MountPropagationNone
	if m.MountPropagation != nil {
		mode = *m.MountPropagation
	}
	switch {
	case mode == corev1.MountPropagationNone:
		return "", nil
	case mode != corev1.MountPropagationHostToContainer && mode != corev1.MountPropagationBidirectional:
		return "", fmt.Errorf("mountPropagation %q is not one of None, HostToContainer and Bidirectional", mode)
	case v.kind != "bind":
		return "", fmt.Errorf("mountPropagation %s needs a hostPath", mode)
	case mode == corev1.MountPropagationHostToContainer:
		return "rslave", nil
	}
	return "rshared", nil
}
