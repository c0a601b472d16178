package translate

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/commands/kube/plan"
)

type metaObject = metav1.ObjectMeta

// environment is the container's, in order; what is named later wins.
func (b *podBuilder) environment(c *corev1.Container) ([]string, error) {
	var names []string
	values := map[string]string{}
	set := func(k, v string) {
		if _, there := values[k]; !there {
			names = append(names, k)
		}
		values[k] = v
	}
	for _, from := range c.EnvFrom {
		switch {
		case from.ConfigMapRef != nil:
			m := b.configMaps[from.ConfigMapRef.Name]
			if m == nil {
				if optional(from.ConfigMapRef.Optional) {
					continue
				}
				return nil, fmt.Errorf("envFrom: ConfigMap %s is not there", from.ConfigMapRef.Name)
			}
			for _, k := range slices.Sorted(maps.Keys(m.Data)) {
				set(from.Prefix+k, m.Data[k])
			}
		case from.SecretRef != nil:
			s := b.secrets[from.SecretRef.Name]
			if s == nil {
				if optional(from.SecretRef.Optional) {
					continue
				}
				return nil, fmt.Errorf("envFrom: Secret %s is not there", from.SecretRef.Name)
			}
			for _, k := range slices.Sorted(maps.Keys(s.Data)) {
				set(from.Prefix+k, string(s.Data[k]))
			}
		}
	}
	for _, e := range c.Env {
		if e.ValueFrom == nil {
			set(e.Name, expand(e.Value, values))
			continue
		}
		value, there, err := b.valueFrom(c, e.ValueFrom)
		if err != nil {
			return nil, fmt.Errorf("env[%s]: %w", e.Name, err)
		}
		if there {
			set(e.Name, value)
		}
	}
	out := make([]string, len(names))
	for i, k := range names {
		out[i] = k + "=" + values[k]
	}
	return out, nil
}

func optional(b *bool) bool { return b != nil && *b }

func (b *podBuilder) valueFrom(c *corev1.Container, from *corev1.EnvVarSource) (value string, there bool, err error) {
	switch {
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		m := b.configMaps[ref.Name]
		if m != nil {
			if v, ok := m.Data[ref.Key]; ok {
				return v, true, nil
			}
		}
		if optional(ref.Optional) {
			return "", false, nil
		}
		return "", false, fmt.Errorf("ConfigMap %s has no key %s, or is not there", ref.Name, ref.Key)
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		if s := b.secrets[ref.Name]; s != nil {
			if v, ok := s.Data[ref.Key]; ok {
				return string(v), true, nil
			}
		}
		if optional(ref.Optional) {
			return "", false, nil
		}
		return "", false, fmt.Errorf("Secret %s has no key %s, or is not there", ref.Name, ref.Key)
	case from.FieldRef != nil:
		v, err := b.field(from.FieldRef.FieldPath)
		return v, err == nil, err
	case from.ResourceFieldRef != nil:
		v, err := b.resource(from.ResourceFieldRef, c)
		return v, err == nil, err
	}
	return "", false, errors.New("valueFrom names nothing")
}

// field is the value of a field of the pod that is known before it runs.
func (b *podBuilder) field(path string) (string, error) {
	switch path {
	case "metadata.name":
		return b.name, nil
	case "metadata.namespace":
		if b.meta.Namespace == "" {
			return "default", nil
		}
		return b.meta.Namespace, nil
	case "spec.nodeName":
		return os.Hostname()
	case "spec.serviceAccountName":
		if b.spec.ServiceAccountName != "" {
			return b.spec.ServiceAccountName, nil
		}
		return "default", nil
	}
	for prefix, from := range map[string]map[string]string{"metadata.labels['": b.meta.Labels, "metadata.annotations['": b.meta.Annotations} {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			if key, ok := strings.CutSuffix(rest, "']"); ok {
				return from[key], nil
			}
		}
	}
	return "", fmt.Errorf("fieldRef %s is not supported", path)
}

// resource is a container's request or limit in units of the divisor, rounded up;
// where it has no limit, what this machine has. c is the container that asks, nil
// for a volume.
func (b *podBuilder) resource(ref *corev1.ResourceFieldSelector, c *corev1.Container) (string, error) {
	if ref.ContainerName != "" {
		c = nil
		for _, list := range [][]corev1.Container{b.spec.InitContainers, b.spec.Containers} {
			if i := slices.IndexFunc(list, func(c corev1.Container) bool { return c.Name == ref.ContainerName }); i >= 0 {
				c = &list[i]
			}
		}
	}
	if c == nil {
		return "", fmt.Errorf("resourceFieldRef: there is no container %q", ref.ContainerName)
	}
	kind, name, _ := strings.Cut(ref.Resource, ".")
	list := map[string]corev1.ResourceList{"limits": c.Resources.Limits, "requests": c.Resources.Requests}[kind]
	q, ok := list[corev1.ResourceName(name)]
	divisor := ref.Divisor
	if divisor.IsZero() {
		divisor = apiresource.MustParse("1")
	}
	switch {
	case kind != "limits" && kind != "requests" || name != "cpu" && name != "memory":
		return "", fmt.Errorf("resourceFieldRef %s is not supported", ref.Resource)
	case name == "cpu" && !ok && kind == "limits":
		q = *apiresource.NewQuantity(int64(runtime.NumCPU()), apiresource.DecimalSI)
	case name == "memory" && !ok && kind == "limits":
		var info unix.Sysinfo_t
		if err := unix.Sysinfo(&info); err != nil {
			return "", fmt.Errorf("resourceFieldRef %s: %w", ref.Resource, err)
		}
		q = *apiresource.NewQuantity(int64(info.Totalram)*int64(info.Unit), apiresource.BinarySI)
	}
	value, unit := q.Value(), divisor.Value()
	if name == "cpu" {
		value, unit = q.MilliValue(), divisor.MilliValue()
	}
	if unit <= 0 {
		return "", fmt.Errorf("resourceFieldRef: divisor %s is not positive", divisor.String())
	}
	return strconv.FormatInt((value+unit-1)/unit, 10), nil
}

// expand replaces $(NAME) by Kubernetes' rules: $$ is a dollar, what is not known
// stays. https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
func expand(text string, values map[string]string) string {
	var out strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i+1 == len(text) {
			return out.String() + text
		}
		out.WriteString(text[:i])
		text = text[i:]
		end := strings.IndexByte(text, ')')
		switch {
		case text[1] == '$':
			out.WriteByte('$')
			text = text[2:]
		case text[1] == '(' && end > 0:
			if v, ok := values[text[2:end]]; ok {
				out.WriteString(v)
			} else {
				out.WriteString(text[:end+1])
			}
			text = text[end+1:]
		default:
			out.WriteByte('$')
			text = text[1:]
		}
	}
}

func expandAll(words []string, values map[string]string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = expand(w, values)
	}
	return out
}

// files are those of a volume that ConfigMaps, Secrets and what is known of the
// pod fill.
func (b *podBuilder) files(s *corev1.VolumeSource, into map[string]plan.File) error {
	switch {
	case s.ConfigMap != nil:
		return b.configFiles(s.ConfigMap.Name, s.ConfigMap.Items, s.ConfigMap.Optional, s.ConfigMap.DefaultMode, into)
	case s.Secret != nil:
		return b.secretFiles(s.Secret.SecretName, s.Secret.Items, s.Secret.Optional, s.Secret.DefaultMode, into)
	case s.DownwardAPI != nil:
		return b.podFiles(s.DownwardAPI.Items, s.DownwardAPI.DefaultMode, into)
	}
	for _, source := range s.Projected.Sources {
		var err error
		switch {
		case source.ConfigMap != nil:
			err = b.configFiles(source.ConfigMap.Name, source.ConfigMap.Items, source.ConfigMap.Optional, s.Projected.DefaultMode, into)
		case source.Secret != nil:
			err = b.secretFiles(source.Secret.Name, source.Secret.Items, source.Secret.Optional, s.Projected.DefaultMode, into)
		case source.DownwardAPI != nil:
			err = b.podFiles(source.DownwardAPI.Items, s.Projected.DefaultMode, into)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *podBuilder) configFiles(name string, items []corev1.KeyToPath, may *bool, mode *int32, into map[string]plan.File) error {
	m := b.configMaps[name]
	if m == nil {
		if optional(may) {
			return nil
		}
		return fmt.Errorf("ConfigMap %s is not there", name)
	}
	all := map[string][]byte{}
	for k, v := range m.Data {
		all[k] = []byte(v)
	}
	maps.Copy(all, m.BinaryData)
	return place("ConfigMap "+name, all, items, mode, into)
}

func (b *podBuilder) secretFiles(name string, items []corev1.KeyToPath, may *bool, mode *int32, into map[string]plan.File) error {
	s := b.secrets[name]
	if s == nil {
		if optional(may) {
			return nil
		}
		return fmt.Errorf("Secret %s is not there", name)
	}
	return place("Secret "+name, s.Data, items, mode, into)
}

// podFiles tell about the pod.
func (b *podBuilder) podFiles(items []corev1.DownwardAPIVolumeFile, mode *int32, into map[string]plan.File) error {
	for _, item := range items {
		var text string
		var err error
		switch {
		case item.FieldRef != nil && item.FieldRef.FieldPath == "metadata.labels":
			text = pairs(b.meta.Labels)
		case item.FieldRef != nil && item.FieldRef.FieldPath == "metadata.annotations":
			text = pairs(b.meta.Annotations)
		case item.FieldRef != nil:
			text, err = b.field(item.FieldRef.FieldPath)
		case item.ResourceFieldRef != nil:
			text, err = b.resource(item.ResourceFieldRef, nil)
		default:
			err = errors.New("it names nothing")
		}
		if err != nil {
			return fmt.Errorf("downwardAPI.items[%s]: %w", item.Path, err)
		}
		f := plan.File{Data: []byte(text), Mode: 0o644}
		if mode != nil {
			f.Mode = uint32(*mode) & 0o777
		}
		if item.Mode != nil {
			f.Mode = uint32(*item.Mode) & 0o777
		}
		into[item.Path] = f
	}
	return nil
}

// pairs are labels or annotations as Kubernetes writes them into a file.
func pairs(m map[string]string) string {
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		lines = append(lines, k+"="+strconv.Quote(m[k]))
	}
	return strings.Join(lines, "\n")
}

// place gives keys their file names.
func place(from string, all map[string][]byte, items []corev1.KeyToPath, mode *int32, into map[string]plan.File) error {
	usual := uint32(0o644)
	if mode != nil {
		usual = uint32(*mode) & 0o777
	}
	if len(items) == 0 {
		for k, v := range all {
			into[k] = plan.File{Data: v, Mode: usual}
		}
		return nil
	}
	for _, item := range items {
		data, ok := all[item.Key]
		if !ok {
			return fmt.Errorf("%s has no key %s", from, item.Key)
		}
		f := plan.File{Data: data, Mode: usual}
		if item.Mode != nil {
			f.Mode = uint32(*item.Mode) & 0o777
		}
		into[item.Path] = f
	}
	return nil
}
