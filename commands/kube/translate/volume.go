package translate

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"skiff/commands/kube/plan"
)

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
