package translate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"skiff/commands/kube/plan"
)

// appLabel is what pods are selected by.
const appLabel = "app"

// generate describes containers as Kubernetes does.
func generate(g *plan.Generate) (text string, warnings []string, err error) {
	b := &describer{name: g.Name, claims: map[string]bool{}}
	for _, name := range g.Claims {
		b.claim(name)
	}
	var work any
	if len(g.Members) > 0 || len(g.Claims) == 0 {
		if work, err = b.workload(g); err != nil {
			return "", nil, err
		}
	}
	var documents []any
	for _, name := range b.order {
		documents = append(documents, &corev1.PersistentVolumeClaim{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}, ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
			},
		})
	}
	documents = append(documents, b.sources...)
	if g.Serve && work != nil {
		b.newService(g)
	}
	documents = append(documents, describeServices(g)...)
	if work != nil {
		documents = append(documents, work)
	}
	var out strings.Builder
	for i, d := range documents {
		data, err := plain(d)
		if err != nil {
			return "", nil, err
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(data)
	}
	return out.String(), b.warnings, nil
}

// workload is the document of what runs.
func (b *describer) workload(g *plan.Generate) (any, error) {
	spec, err := b.spec(g)
	if err != nil {
		return nil, err
	}
	labels := maps.Clone(g.Labels)
	if g.Bare || g.Kind == "Deployment" || g.Kind == "DaemonSet" || g.Serve {
		// What a Service, and the Deployment, select by.
		labels = map[string]string{appLabel: label(g.Name)}
		maps.Copy(labels, g.Labels)
	}
	always := func() {
		if spec.RestartPolicy != corev1.RestartPolicyAlways {
			b.warn("a %s's pods always restart: restartPolicy %s was left out", g.Kind, spec.RestartPolicy)
			spec.RestartPolicy = corev1.RestartPolicyAlways
		}
	}
	template := func() corev1.PodTemplateSpec {
		return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: g.Annotations}, Spec: *spec}
	}
	kind := func(version string) metav1.TypeMeta { return metav1.TypeMeta{APIVersion: version, Kind: g.Kind} }
	meta := metav1.ObjectMeta{Name: g.Name, Labels: labels}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{appLabel: labels[appLabel]}}
	switch g.Kind {
	case "Pod":
		meta.Annotations = g.Annotations
		return &corev1.Pod{TypeMeta: kind("v1"), ObjectMeta: meta, Spec: *spec}, nil
	case "Deployment":
		always()
		return &appsv1.Deployment{TypeMeta: kind("apps/v1"), ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: &g.Replicas, Selector: selector, Template: template()}}, nil
	case "DaemonSet":
		always()
		return &appsv1.DaemonSet{TypeMeta: kind("apps/v1"), ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template()}}, nil
	case "Job":
		if spec.RestartPolicy == corev1.RestartPolicyAlways {
			b.warn("a Job's pods end: restartPolicy Always became OnFailure")
			spec.RestartPolicy = corev1.RestartPolicyOnFailure
		}
		return &batchv1.Job{TypeMeta: kind("batch/v1"), ObjectMeta: meta, Spec: batchv1.JobSpec{Template: template()}}, nil
	}
	return nil, fmt.Errorf("kind %q cannot be generated: only Pod, Deployment, DaemonSet and Job can", g.Kind)
}

// plain is a document as YAML, without what only a cluster fills in.
func plain(d any) ([]byte, error) {
	data, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	delete(tree, "status")
	if spec, ok := tree["spec"].(map[string]any); ok {
		drop(spec, "strategy", "updateStrategy")
		if template, ok := spec["template"].(map[string]any); ok {
			drop(template, "metadata")
			spec, _ = template["spec"].(map[string]any)
		}
		for _, key := range []string{"containers", "initContainers"} {
			list, _ := spec[key].([]any)
			for _, c := range list {
				drop(c.(map[string]any), "resources")
			}
		}
	}
	return yaml.Marshal(tree)
}

// drop takes away what says nothing.
func drop(from map[string]any, keys ...string) {
	for _, key := range keys {
		if !says(from[key]) {
			delete(from, key)
		}
	}
}

// describer collects what belongs to the description of one pod.
type describer struct {
	name     string
	pod      *corev1.PodSpec
	claims   map[string]bool // volumes that have been described
	order    []string        // those of them that are claims
	sources  []any           // ConfigMaps and Secrets
	warnings []string
}

func (b *describer) warn(format string, args ...any) {
	b.warnings = append(b.warnings, fmt.Sprintf(format, args...))
}

var notLabel = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

func label(name string) string { return strings.Trim(notLabel.ReplaceAllString(name, "-"), "-_.") }

func (b *describer) spec(g *plan.Generate) (*corev1.PodSpec, error) {
	if len(g.Members) == 0 {
		return nil, errors.New("there is no container to describe")
	}
	s := &corev1.PodSpec{Hostname: g.Hostname, HostNetwork: g.Host, HostPID: g.HostPID, HostIPC: g.HostIPC}
	b.pod = s
	if g.OwnUsers {
		no := false
		s.HostUsers = &no
	}
	if s.Hostname == g.Name {
		s.Hostname = "" // so it is without
	}
	for _, ns := range g.Share {
		if ns == "pid" {
			yes := true
			s.ShareProcessNamespace = &yes
		}
	}
	s.RestartPolicy = corev1.RestartPolicyNever
	for i := range g.Members {
		m := &g.Members[i]
		switch m.Restart {
		case "always", "unless-stopped":
			s.RestartPolicy = corev1.RestartPolicyAlways
		case "on-failure":
			if s.RestartPolicy == corev1.RestartPolicyNever {
				s.RestartPolicy = corev1.RestartPolicyOnFailure
			}
		}
		if m.StopTimeout != nil && *m.StopTimeout >= 0 {
			t := int64(*m.StopTimeout)
			s.TerminationGracePeriodSeconds = &t
		}
		c, err := b.container(m)
		if err != nil {
			return nil, fmt.Errorf("container %s: %w", m.Name, err)
		}
		if m.Init {
			s.InitContainers = append(s.InitContainers, *c)
		} else {
			s.Containers = append(s.Containers, *c)
		}
	}
	if len(s.Containers) == 0 {
		return nil, errors.New("all containers are init containers")
	}
	names(g, s)
	if err := b.security(g, s); err != nil {
		return nil, err
	}
	for _, p := range g.Ports {
		s.Containers[0].Ports = append(s.Containers[0].Ports, corev1.ContainerPort{
			ContainerPort: p.Container, HostPort: p.Host, HostIP: p.HostIP, Protocol: corev1.Protocol(p.Protocol),
		})
	}
	return s, nil
}

// names are what the pod's containers resolve names by.
func names(g *plan.Generate, s *corev1.PodSpec) {
	for _, h := range g.ExtraHosts {
		name, ip, _ := strings.Cut(h, ":")
		if last := len(s.HostAliases) - 1; last >= 0 && s.HostAliases[last].IP == ip {
			s.HostAliases[last].Hostnames = append(s.HostAliases[last].Hostnames, name)
			continue
		}
		s.HostAliases = append(s.HostAliases, corev1.HostAlias{IP: ip, Hostnames: []string{name}})
	}
	if len(g.DNS)+len(g.DNSSearch)+len(g.DNSOptions) == 0 {
		return
	}
	d := &corev1.PodDNSConfig{Nameservers: g.DNS, Searches: g.DNSSearch}
	for _, o := range g.DNSOptions {
		name, value, has := strings.Cut(o, ":")
		option := corev1.PodDNSConfigOption{Name: name}
		if has {
			option.Value = &value
		}
		d.Options = append(d.Options, option)
	}
	s.DNSConfig = d
	if len(g.DNS) > 0 {
		s.DNSPolicy = corev1.DNSNone // these servers, and no others
	}
}

// security is what containers of a pod have in common.
func (b *describer) security(g *plan.Generate, s *corev1.PodSpec) error {
	c := &corev1.PodSecurityContext{}
	set := len(g.Sysctls)+len(g.Groups) > 0
	for _, name := range slices.Sorted(maps.Keys(g.Sysctls)) {
		c.Sysctls = append(c.Sysctls, corev1.Sysctl{Name: name, Value: g.Sysctls[name]})
	}
	for _, text := range g.Groups {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("group %q: Kubernetes wants numbers", text)
		}
		c.SupplementalGroups = append(c.SupplementalGroups, n)
	}
	if set {
		s.SecurityContext = c
	}
	return nil
}

func (b *describer) container(m *plan.Member) (*corev1.Container, error) {
	c := &corev1.Container{
		Name: label(m.Name), Image: m.Image, Command: escapeAll(m.Command), Args: escapeAll(m.Args), WorkingDir: m.WorkingDir, TTY: m.Tty, Stdin: m.Stdin,
	}
	if c.Image == "" {
		return nil, errors.New("it has no image, which a cluster needs")
	}
	for _, kv := range m.Env {
		k, v, _ := strings.Cut(kv, "=")
		c.Env = append(c.Env, corev1.EnvVar{Name: k, Value: strings.ReplaceAll(v, "$(", "$$(")})
	}
	if err := security(m, c); err != nil {
		return nil, err
	}
	limits := corev1.ResourceList{}
	if m.Memory > 0 {
		limits[corev1.ResourceMemory] = *resource.NewQuantity(m.Memory, resource.BinarySI)
	}
	if m.NanoCPUs > 0 {
		limits[corev1.ResourceCPU] = *resource.NewMilliQuantity(m.NanoCPUs/1e6, resource.DecimalSI)
	}
	if len(limits) > 0 {
		c.Resources.Limits = limits
	}
	requests := corev1.ResourceList{}
	if m.Reservation > 0 {
		requests[corev1.ResourceMemory] = *resource.NewQuantity(m.Reservation, resource.BinarySI)
	}
	if m.CPUShares > 0 {
		requests[corev1.ResourceCPU] = *resource.NewMilliQuantity((m.CPUShares*1000+1023)/1024, resource.DecimalSI)
	}
	if len(requests) > 0 {
		c.Resources.Requests = requests
	}
	if m.Health != nil {
		p := &corev1.Probe{
			PeriodSeconds: m.HealthSeconds[0], TimeoutSeconds: m.HealthSeconds[1], InitialDelaySeconds: m.HealthSeconds[2], FailureThreshold: m.HealthRetries,
		}
		if err := probeHandler(m.Health, &p.ProbeHandler); err != nil {
			return nil, fmt.Errorf("health check: %w", err)
		}
		// Who fails that only gets no requests; nobody ends it.
		switch {
		case !m.Harmless:
			c.LivenessProbe = p
		case m.Ready == nil:
			c.ReadinessProbe = p
		default:
			b.warn("container %s: its health check, which nobody acts on, was left out: the check of its readiness is the readinessProbe", m.Name)
		}
	}
	if m.Ready != nil {
		c.ReadinessProbe = &corev1.Probe{
			PeriodSeconds: m.ReadySeconds[0], TimeoutSeconds: m.ReadySeconds[1], InitialDelaySeconds: m.ReadySeconds[2],
			FailureThreshold: m.ReadyRetries, SuccessThreshold: m.ReadySuccesses,
		}
		if err := probeHandler(m.Ready, &c.ReadinessProbe.ProbeHandler); err != nil {
			return nil, fmt.Errorf("readiness check: %w", err)
		}
	}
	if m.Startup != nil {
		c.StartupProbe = &corev1.Probe{PeriodSeconds: m.StartupSeconds[0], TimeoutSeconds: m.StartupSeconds[1], FailureThreshold: m.StartupRetries}
		if err := probeHandler(m.Startup, &c.StartupProbe.ProbeHandler); err != nil {
			return nil, fmt.Errorf("startup check: %w", err)
		}
		if m.StartupSuccesses > 1 {
			b.warn("container %s: Kubernetes takes one success of its startup check for enough, not %d", m.Name, m.StartupSuccesses)
		}
		if m.StartupRetries == 0 {
			// Never is not to be said there: for a day.
			c.StartupProbe.FailureThreshold = 24 * 60 * 60 / max(m.StartupSeconds[0], 1)
			b.warn("container %s: its startup check may fail for ever here, in Kubernetes for a day", m.Name)
		}
	}
	for _, h := range []struct {
		data json.RawMessage
		to   func(l *corev1.Lifecycle, h *corev1.LifecycleHandler)
	}{
		{m.PostStart, func(l *corev1.Lifecycle, h *corev1.LifecycleHandler) { l.PostStart = h }},
		{m.PreStop, func(l *corev1.Lifecycle, h *corev1.LifecycleHandler) { l.PreStop = h }},
	} {
		if h.data == nil {
			continue
		}
		handler := &corev1.LifecycleHandler{}
		if err := json.Unmarshal(h.data, handler); err != nil {
			return nil, fmt.Errorf("lifecycle: %w", err)
		}
		if c.Lifecycle == nil {
			c.Lifecycle = &corev1.Lifecycle{}
		}
		h.to(c.Lifecycle, handler)
	}
	for i, mount := range m.Mounts {
		b.mount(m, c, i, mount)
	}
	return c, nil
}

// probeHandler reads a probe, and says what Kubernetes' JSON would leave null.
func probeHandler(data json.RawMessage, h *corev1.ProbeHandler) error {
	err := json.Unmarshal(data, h)
	if err == nil && h.GRPC != nil && h.GRPC.Service == nil {
		h.GRPC.Service = new(string)
	}
	return err
}

// escapeAll keeps Kubernetes from expanding what is meant for a shell.
func escapeAll(words []string) []string {
	var out []string
	for _, w := range words {
		out = append(out, strings.ReplaceAll(w, "$(", "$$("))
	}
	return out
}

func security(m *plan.Member, c *corev1.Container) error {
	s := &corev1.SecurityContext{}
	set := false
	yes, no := true, false
	if m.User != "" {
		user, group, hasGroup := strings.Cut(m.User, ":")
		for _, f := range []struct {
			text string
			to   **int64
			on   bool
		}{{user, &s.RunAsUser, true}, {group, &s.RunAsGroup, hasGroup}} {
			if !f.on {
				continue
			}
			n, err := strconv.ParseInt(f.text, 10, 64)
			if err != nil {
				return fmt.Errorf("user %q: Kubernetes wants numbers", m.User)
			}
			*f.to, set = &n, true
		}
	}
	if m.Privileged {
		s.Privileged, set = &yes, true
	}
	if m.ReadOnly {
		s.ReadOnlyRootFilesystem, set = &yes, true
	}
	if m.NoNewPrivs {
		s.AllowPrivilegeEscalation, set = &no, true
	}
	if m.Unconfined {
		s.SeccompProfile, set = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}, true
	}
	if len(m.CapAdd)+len(m.CapDrop) > 0 {
		s.Capabilities, set = &corev1.Capabilities{}, true
		for _, name := range m.CapAdd {
			s.Capabilities.Add = append(s.Capabilities.Add, corev1.Capability(strings.TrimPrefix(strings.ToUpper(name), "CAP_")))
		}
		for _, name := range m.CapDrop {
			s.Capabilities.Drop = append(s.Capabilities.Drop, corev1.Capability(strings.TrimPrefix(strings.ToUpper(name), "CAP_")))
		}
	}
	if set {
		c.SecurityContext = s
	}
	return nil
}

func (b *describer) mount(m *plan.Member, c *corev1.Container, i int, mount plan.Mount) {
	v := corev1.Volume{}
	switch mount.Kind {
	case "bind":
		v.Name = fmt.Sprintf("%s-host-%d", label(m.Name), i)
		v.HostPath = &corev1.HostPathVolumeSource{Path: mount.Source}
		if t := corev1.HostPathType(mount.Type); t != "" {
			v.HostPath.Type = &t
		}
	case "image":
		v.Name = fmt.Sprintf("%s-image-%d", label(m.Name), i)
		v.Image = &corev1.ImageVolumeSource{Reference: mount.Source}
	case "tmpfs":
		v.Name = fmt.Sprintf("%s-memory-%d", label(m.Name), i)
		v.EmptyDir = &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}
		if mount.Size > 0 {
			v.EmptyDir.SizeLimit = resource.NewQuantity(mount.Size, resource.BinarySI)
		}
	case "emptyDir", "configMap", "secret":
		v.Name = strings.ToLower(label(strings.TrimPrefix(mount.Source, b.name+"-")))
		b.own(&mount, &v)
	default:
		claim := b.claim(mount.Source)
		v.Name = claim + "-pvc"
		v.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}
	}
	name := v.Name
	if !slices.ContainsFunc(b.pod.Volumes, func(o corev1.Volume) bool { return o.Name == name }) {
		b.pod.Volumes = append(b.pod.Volumes, v)
	}
	if mount.Overlay {
		// Else it would reach what it is kept from here.
		b.warn("%s: %s is read-only there: Kubernetes keeps no writes of one container above a volume", m.Name, mount.Target)
		mount.ReadOnly = true
	}
	if mount.Own {
		b.warn("%s: %s is not given to the container's user there: say securityContext.fsGroup", m.Name, mount.Target)
	}
	vm := corev1.VolumeMount{Name: name, MountPath: mount.Target, SubPath: mount.Subpath, ReadOnly: mount.ReadOnly}
	if mode := map[string]corev1.MountPropagationMode{
		"rslave": corev1.MountPropagationHostToContainer, "slave": corev1.MountPropagationHostToContainer,
		"rshared": corev1.MountPropagationBidirectional, "shared": corev1.MountPropagationBidirectional,
	}[mount.Propagation]; mode != "" && mount.Kind == "bind" {
		vm.MountPropagation = &mode
	}
	c.VolumeMounts = append(c.VolumeMounts, vm)
}

// claim describes a volume, and returns its name there.
func (b *describer) claim(volume string) string {
	name := strings.ToLower(label(volume))
	if !b.claims[name] {
		b.claims[name], b.order = true, append(b.order, name)
		if name != volume {
			b.warn("volume %s is called %s there", volume, name)
		}
	}
	return name
}

// own describes a volume that goes with its pod, with its files.
func (b *describer) own(m *plan.Mount, v *corev1.Volume) {
	name := strings.ToLower(label(m.Source))
	described := b.claims[name]
	b.claims[name] = true
	if m.Kind == "emptyDir" {
		v.EmptyDir = &corev1.EmptyDirVolumeSource{}
		return
	}
	keys := map[string][]byte{}
	var items []corev1.KeyToPath
	modes := map[uint32]bool{}
	nested := false
	for _, path := range slices.Sorted(maps.Keys(m.Files)) {
		mode := int32(m.Files[path].Mode)
		key := notLabel.ReplaceAllString(path, ".")
		for keys[key] != nil {
			key += "_"
		}
		nested = nested || key != path
		keys[key], modes[m.Files[path].Mode] = append([]byte{}, m.Files[path].Data...), true
		items = append(items, corev1.KeyToPath{Key: key, Path: path, Mode: &mode})
	}
	var usual *int32
	if len(modes) == 1 {
		if mode := *items[0].Mode; mode != 0o644 {
			usual = &mode
		}
		for i := range items {
			items[i].Mode = nil
		}
		if !nested {
			items = nil
		}
	}
	meta := metav1.ObjectMeta{Name: name}
	if m.Kind == "secret" {
		v.Secret = &corev1.SecretVolumeSource{SecretName: name, Items: items, DefaultMode: usual}
		if !described {
			b.sources = append(b.sources, &corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: meta, Data: keys})
		}
		return
	}
	v.ConfigMap = &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Items: items, DefaultMode: usual}
	if described {
		return
	}
	c := &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: meta}
	for key, data := range keys {
		if utf8.Valid(data) {
			if c.Data == nil {
				c.Data = map[string]string{}
			}
			c.Data[key] = string(data)
			continue
		}
		if c.BinaryData == nil {
			c.BinaryData = map[string][]byte{}
		}
		c.BinaryData[key] = data
	}
	b.sources = append(b.sources, c)
}
