package container

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"sort"
	"strings"

	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/image"
	"skiff/storage/volume"
)

// mountPlan decides what is mounted in a container that is being made. undo
// removes what it made on the way.
type mountPlan struct {
	st     *storage.Store
	mounts []container.Mount
	made   []string // anonymous volumes
	id     string   // the container's
	note   container.VolumesNote
}

// planMounts resolves -v, --mount, --volumes-from and the image's volumes into
// cfg. Later ones give way: what the user named beats what the image wants.
// Volumes are created, missing sources of -v too. On error nothing is left but
// such directories and named volumes, as with docker.
func planMounts(st *storage.Store, cfg *container.Config, o createOptions, img *image.Image) (p *mountPlan, err error) {
	p = &mountPlan{st: st, id: cfg.ID}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.undo())
		}
	}()
	for _, v := range o.Volumes {
		if err := p.addVolume(cfg, v); err != nil {
			return p, err
		}
	}
	for _, m := range o.Host.Mounts {
		if err := p.addMount(m); err != nil {
			return p, err
		}
	}
	for _, ref := range o.VolumesFrom {
		if err := p.addFrom(ref); err != nil {
			return p, err
		}
	}
	for _, dest := range slices.Sorted(keys(img.Config.Config.Volumes)) {
		if err := p.addImageVolume(cfg, dest); err != nil {
			return p, err
		}
	}
	// A mount below another must come after it.
	sort.SliceStable(p.mounts, func(i, j int) bool { return depth(p.mounts[i]) < depth(p.mounts[j]) })
	cfg.Mounts = p.mounts
	cfg.Host.VolumesFrom = o.VolumesFrom
	return p, nil
}

func depth(m container.Mount) int { return strings.Count(m.Destination, "/") }

func keys(m map[string]struct{}) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (p *mountPlan) undo() error {
	var errs []error
	for _, name := range p.made {
		if err := volume.Remove(p.st, name); !errors.Is(err, volume.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, p.note.Done())...)
}

func (p *mountPlan) taken(dest string) bool {
	return slices.ContainsFunc(p.mounts, func(m container.Mount) bool { return m.Destination == dest })
}

func (p *mountPlan) addVolume(cfg *container.Config, v flags.Volume) error {
	m := container.Mount{Destination: v.Destination, Mode: v.Mode, RW: !v.ReadOnly, Propagation: v.Propagation, Overlay: v.Overlay, Own: v.Own}
	switch {
	case v.Bind():
		if err := makeSource(v.Source); err != nil {
			return err
		}
		m.Type, m.Source = "bind", v.Source
		cfg.Host.Binds = append(cfg.Host.Binds, v.Raw)
	case v.Propagation != "":
		return fmt.Errorf("invalid volume specification: '%s': invalid mode: %s", v.Raw, v.Mode)
	case v.Source == "":
		if err := p.anonymous(&m); err != nil {
			return err
		}
		addConfigVolume(cfg, v.Destination)
	default:
		if err := p.named(&m, v.Source, nil, nil); err != nil {
			return err
		}
		cfg.Host.Binds = append(cfg.Host.Binds, v.Raw)
	}
	m.Copy = m.Type == "volume" && !v.NoCopy && !v.Overlay
	if v.Overlay && (m.Tmpfs || notDirectory(m.Source)) {
		return failure.Engine(nil, "invalid volume specification: '%s': option O needs a directory", v.Raw)
	}
	p.add(m)
	return nil
}

func notDirectory(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

// makeSource makes the missing source of a -v, owned by the caller.
func makeSource(source string) error {
	if _, err := os.Lstat(source); !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := os.MkdirAll(source, 0o755); err != nil {
		return fmt.Errorf("error while creating mount source path '%s': %w", source, err)
	}
	return nil
}

func (p *mountPlan) addMount(spec container.MountSpec) error {
	m := container.Mount{Type: spec.Type, Destination: spec.Target, RW: !spec.ReadOnly}
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("invalid mount config for type %q: "+format, append([]any{spec.Type}, args...)...)
	}
	switch spec.Type {
	case "bind":
		if !path.IsAbs(spec.Source) {
			if spec.Source == "" {
				return invalid("field Source must not be empty")
			}
			return invalid("invalid mount path: '%s' mount path must be absolute", spec.Source)
		}
		m.Source = path.Clean(spec.Source)
		if b := spec.BindOptions; b != nil {
			m.Propagation, m.NonRecursive, m.WritableBelow = b.Propagation, b.NonRecursive, b.ReadOnlyNonRecursive
			if b.CreateMountpoint {
				if err := makeSource(m.Source); err != nil {
					return err
				}
			}
		}
		if _, err := os.Stat(m.Source); errors.Is(err, os.ErrNotExist) {
			return invalid("bind source path does not exist: %s", m.Source)
		}
	case "volume":
		var labels, options map[string]string
		m.Copy = true
		if v := spec.VolumeOptions; v != nil {
			options = v.Options
			labels, m.Subpath, m.Copy = v.Labels, v.Subpath, !v.NoCopy && v.Subpath == ""
			if leaves(m.Subpath) {
				return invalid("invalid volume subpath %q: it must be relative and stay below the volume", m.Subpath)
			}
		}
		if spec.Source == "" {
			if err := p.anonymous(&m); err != nil {
				return err
			}
			break
		}
		if err := p.named(&m, spec.Source, labels, options); err != nil {
			return err
		}
	case "tmpfs":
		if spec.Source != "" {
			return invalid("field Source must not be specified")
		}
		m.Options = tmpfsOptions(spec)
	case "image":
		if spec.Source == "" {
			return invalid("field Source must not be empty")
		}
		if o := spec.ImageOptions; o != nil {
			if m.Subpath = o.Subpath; leaves(m.Subpath) {
				return invalid("invalid image subpath %q: it must be relative and stay below the image", m.Subpath)
			}
		}
		if err := p.image(&m, spec.Source); err != nil {
			return err
		}
	}
	p.add(m)
	return nil
}

// leaves reports whether a path names something outside of where it begins.
func leaves(subpath string) bool {
	return path.IsAbs(subpath) || slices.Contains(strings.Split(subpath, "/"), "..")
}

// image makes m a mount of the files of the image ref. As with docker it must be
// there.
func (p *mountPlan) image(m *container.Mount, ref string) error {
	img, err := image.Resolve(p.st, ref)
	if errors.Is(err, image.ErrNotFound) {
		// Not the container's own image, which is fetched when it is missing.
		return failure.Engine(nil, "%v", err)
	}
	if err != nil {
		return err
	}
	if len(img.Layers) == 0 {
		return failure.Engine(nil, "invalid mount config for type \"image\": image %s has no files", ref)
	}
	m.Source, m.ImageID, m.Layers = ref, imageID(img), img.Layers
	return nil
}

func tmpfsOptions(spec container.MountSpec) []string {
	var options []string
	if t := spec.TmpfsOptions; t != nil {
		if t.SizeBytes > 0 {
			options = append(options, fmt.Sprintf("size=%d", t.SizeBytes))
		}
		if t.Mode > 0 {
			options = append(options, fmt.Sprintf("mode=%o", t.Mode))
		}
	}
	return options
}

// addFrom takes over the mounts of another container: ref is ctr[:ro|rw].
func (p *mountPlan) addFrom(ref string) error {
	name, mode, _ := strings.Cut(ref, ":")
	if mode != "" && mode != "ro" && mode != "rw" {
		return fmt.Errorf("invalid mode: %s", mode)
	}
	c, err := find(p.st, name)
	if err != nil {
		return err
	}
	for _, m := range c.Config.Mounts {
		if m.Type == "tmpfs" || p.taken(m.Destination) {
			continue
		}
		m.RW = m.RW && mode != "ro"
		// It stays the other's: it does not go with this container.
		m.Copy, m.Anonymous = false, false
		p.add(m)
	}
	return nil
}

// addImageVolume makes a volume where the image wants one and nothing is
// mounted. An image may not choose the places that make the container safe.
func (p *mountPlan) addImageVolume(cfg *container.Config, dest string) error {
	clean, err := flags.CheckDestination(dest)
	if err != nil || magic(clean) {
		return fmt.Errorf("invalid volume %q in the image: nothing can be mounted there", dest)
	}
	addConfigVolume(cfg, dest)
	if _, ok := cfg.Host.Tmpfs[clean]; ok || p.taken(clean) {
		return nil
	}
	m := container.Mount{Destination: clean, RW: true, Copy: true}
	if err := p.anonymous(&m); err != nil {
		return err
	}
	p.add(m)
	return nil
}

// magic tells the paths whose file system is the kernel's or ours.
func magic(dest string) bool {
	for _, root := range []string{"/proc", "/sys"} {
		if dest == root || strings.HasPrefix(dest, root+"/") {
			return true
		}
	}
	return dest == "/dev"
}

func addConfigVolume(cfg *container.Config, dest string) {
	if cfg.Config.Volumes == nil {
		cfg.Config.Volumes = map[string]struct{}{}
	}
	cfg.Config.Volumes[dest] = struct{}{}
}

func (p *mountPlan) anonymous(m *container.Mount) error {
	name := volume.NewName()
	if err := p.note.Add(p.st, p.id, name); err != nil {
		return err
	}
	// It may be there although making it failed in the end.
	p.made = append(p.made, name)
	v, err := volume.Create(p.st, volume.Volume{Name: name, Anonymous: true})
	if err != nil {
		return err
	}
	m.Type, m.Name, m.Source, m.Driver, m.Anonymous = "volume", v.Name, v.Mountpoint, "local", true
	return nil
}

func (p *mountPlan) named(m *container.Mount, name string, labels, options map[string]string) error {
	v, err := volume.Create(p.st, volume.Volume{Name: name, Labels: labels, Options: options})
	if err != nil {
		return failure.Engine(err, "create %s: %v", name, err)
	}
	m.Type, m.Name, m.Source, m.Driver = "volume", v.Name, v.Mountpoint, "local"
	b, err := v.Backing()
	if err != nil {
		return failure.Engine(err, "error while mounting volume %q: %v", name, err)
	}
	m.Tmpfs, m.Options = b.Tmpfs, b.Options
	if b.Bind != "" {
		if _, err := os.Stat(b.Bind); err != nil {
			return failure.Engine(err, "failed to mount local volume: mount %s:%s, flags: 0x1000: %v", b.Bind, v.Mountpoint, errors.Unwrap(err))
		}
		m.Source, m.RW = b.Bind, m.RW && !b.ReadOnly
	}
	return nil
}

func (p *mountPlan) add(m container.Mount) {
	if m.Type == "bind" && m.Propagation == "" {
		m.Propagation = "rprivate"
	}
	p.mounts = append(p.mounts, m)
}
