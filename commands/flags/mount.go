package flags

import (
	"encoding/csv"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"skiff/commands/failure"
	"skiff/commands/format"
	"skiff/storage/container"
)

// Volume is one -v: a bind mount when Source is a path, a named volume when it
// is a name, an anonymous volume when it is empty.
type Volume struct {
	Raw         string // as typed, a relative source made absolute
	Source      string
	Destination string
	Mode        string // as typed
	ReadOnly    bool
	NoCopy      bool
	Propagation string // "", rprivate, shared, ...
	// Overlay says that what the container writes stays in it.
	Overlay bool
	// Own says that the container's user owns it.
	Own bool
}

// Bind reports whether the source is a path of this machine.
func (v Volume) Bind() bool { return strings.HasPrefix(v.Source, "/") }

// ParseVolume reads the value of -v: [source:]destination[:options]. dir is
// what a relative source starts from.
func ParseVolume(raw, dir string) (Volume, error) {
	v := Volume{Raw: raw}
	invalid := fmt.Errorf("invalid volume specification: '%s'", raw)
	parts := strings.Split(raw, ":")
	for _, p := range parts {
		if p == "" {
			return v, fmt.Errorf("invalid spec: %s: empty section between colons", raw)
		}
	}
	switch len(parts) {
	case 1:
		v.Destination = parts[0]
	case 2:
		if v.readMode(parts[1]) == nil {
			// A destination with a mode would be an anonymous volume with a mode.
			return v, invalid
		}
		v.Source, v.Destination = parts[0], parts[1]
	case 3:
		v.Source, v.Destination, v.Mode = parts[0], parts[1], parts[2]
		if err := v.readMode(v.Mode); err != nil {
			return v, failure.Engine(err, "%v", err)
		}
	default:
		return v, invalid
	}
	if strings.HasPrefix(v.Source, ".") {
		parts[0] = filepath.Join(dir, v.Source)
		v.Source, v.Raw = parts[0], strings.Join(parts, ":")
	}
	if v.Bind() {
		v.Source = filepath.Clean(v.Source)
	}
	clean, err := CheckDestination(v.Destination)
	if err != nil {
		kind := "volume"
		if v.Bind() {
			kind = "bind"
		}
		return v, failure.Engine(err, "%v: invalid mount config for type %q: %v", invalid, kind, err)
	}
	v.Destination = clean
	return v, nil
}

// readMode takes the options of -v; of each kind one may be given.
func (v *Volume) readMode(mode string) error {
	var access, label, spread, copying, consistency, above, owner int
	*v = Volume{Raw: v.Raw, Source: v.Source, Destination: v.Destination, Mode: v.Mode}
	for _, o := range strings.Split(mode, ",") {
		switch o {
		case "rw":
			access++
		case "ro":
			access++
			v.ReadOnly = true
		case "z", "Z":
			// SELinux labels: nothing to relabel where there is no SELinux.
			label++
		case "O":
			above++
			v.Overlay = true
		case "U":
			owner++
			v.Own = true
		case "nocopy":
			copying++
			v.NoCopy = true
		case "consistent", "cached", "delegated", "default":
			consistency++
		default:
			if !validPropagation(o) {
				return fmt.Errorf("invalid mode: %s", mode)
			}
			spread++
			v.Propagation = o
		}
	}
	if access > 1 || label > 1 || spread > 1 || copying > 1 || consistency > 1 || above > 1 || owner > 1 || above > 0 && access+spread+copying+owner > 0 {
		return fmt.Errorf("invalid mode: %s", mode)
	}
	return nil
}

func validPropagation(s string) bool {
	switch s {
	case "private", "rprivate", "shared", "rshared", "slave", "rslave":
		return true
	}
	return false
}

// CheckDestination returns a mount's destination in its shortest form, or why
// nothing can be mounted there.
func CheckDestination(dest string) (string, error) {
	if strings.ContainsRune(dest, 0) {
		return "", errors.New("mount path must not contain a NUL byte")
	}
	if !path.IsAbs(dest) {
		return "", fmt.Errorf("invalid mount path: '%s' mount path must be absolute", dest)
	}
	if dest = path.Clean(dest); dest == "/" {
		return "", errors.New("invalid specification: destination can't be '/'")
	}
	return dest, nil
}

// ParseMount reads the value of --mount: key=value pairs separated by commas,
// quoted as in CSV. dir is what a source that starts with a dot starts from.
func ParseMount(raw, dir string) (container.MountSpec, error) {
	m := container.MountSpec{Type: "volume"}
	fields, err := csv.NewReader(strings.NewReader(raw)).Read()
	if err != nil {
		return m, err
	}
	for _, field := range fields {
		if err := mountField(&m, field, dir); err != nil {
			return m, err
		}
	}
	return m, checkMount(m)
}

func mountField(m *container.MountSpec, field, dir string) error {
	key, value, hasValue := strings.Cut(field, "=")
	key = strings.ToLower(key)
	if !hasValue {
		switch key {
		case "readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src":
			value = "true"
		default:
			return fmt.Errorf("invalid field '%s' must be a key=value pair", field)
		}
	}
	invalid := fmt.Errorf("invalid value for %s: %s", key, value)
	flag := func(to *bool) error {
		b, err := strconv.ParseBool(value)
		if err != nil {
			return invalid
		}
		*to = b
		return nil
	}
	switch key {
	case "type":
		m.Type = strings.ToLower(value)
	case "source", "src":
		m.Source = value
		if strings.HasPrefix(value, ".") {
			m.Source = filepath.Join(dir, value)
		}
	case "target", "dst", "destination":
		m.Target = value
	case "readonly", "ro":
		return flag(&m.ReadOnly)
	case "consistency":
		// docker's, for file systems of other machines; means nothing here.
	case "bind-propagation":
		bindOptions(m).Propagation = strings.ToLower(value)
	case "bind-nonrecursive":
		return flag(&bindOptions(m).NonRecursive)
	case "bind-create-src":
		return flag(&bindOptions(m).CreateMountpoint)
	case "bind-recursive":
		switch value {
		case "enabled":
		case "disabled":
			bindOptions(m).NonRecursive = true
		case "writable":
			bindOptions(m).ReadOnlyNonRecursive = true
		case "readonly":
			bindOptions(m).ReadOnlyForceRecursive = true
		default:
			return fmt.Errorf(`%w (must be "enabled", "disabled", "writable", or "readonly")`, invalid)
		}
	case "volume-subpath":
		volumeOptions(m).Subpath = value
	case "volume-nocopy":
		return flag(&volumeOptions(m).NoCopy)
	case "volume-label":
		k, v, _ := strings.Cut(value, "=")
		labels := volumeOptions(m).Labels
		if labels == nil {
			labels = map[string]string{}
		}
		labels[k] = v
		volumeOptions(m).Labels = labels
	case "volume-driver":
		if value != "local" {
			return fmt.Errorf("volume driver %q is not supported, only \"local\" is", value)
		}
	case "volume-opt":
		k, v, _ := strings.Cut(value, "=")
		options := volumeOptions(m).Options
		if options == nil {
			options = map[string]string{}
		}
		options[k] = v
		volumeOptions(m).Options = options
	case "tmpfs-size":
		n, err := format.ParseSize(value)
		if err != nil {
			return invalid
		}
		tmpfsOptions(m).SizeBytes = n
	case "tmpfs-mode":
		n, err := strconv.ParseUint(value, 8, 12)
		if err != nil {
			return invalid
		}
		tmpfsOptions(m).Mode = uint32(n)
	case "image-subpath":
		m.ImageOptions = &container.ImageOptions{Subpath: value}
	default:
		return fmt.Errorf("unexpected key '%s' in '%s'", key, field)
	}
	return nil
}

func checkMount(m container.MountSpec) error {
	for _, kind := range []struct {
		name string
		used bool
	}{{"bind", m.BindOptions != nil}, {"volume", m.VolumeOptions != nil}, {"tmpfs", m.TmpfsOptions != nil}, {"image", m.ImageOptions != nil}} {
		if kind.used && m.Type != kind.name {
			return fmt.Errorf("cannot mix '%s-*' options with mount type '%s'", kind.name, m.Type)
		}
	}
	switch m.Type {
	case "bind", "volume", "tmpfs", "image":
	case "":
		return errors.New("type is required")
	case "npipe", "cluster":
		return fmt.Errorf("mount type %q is not supported", m.Type)
	default:
		return failure.Engine(nil, "invalid mount config for type %q: mount type unknown", m.Type)
	}
	if m.Target == "" {
		return errors.New("target is required")
	}
	if b := m.BindOptions; b != nil {
		switch {
		case b.ReadOnlyNonRecursive && !m.ReadOnly:
			return errors.New("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction")
		case b.ReadOnlyForceRecursive && !m.ReadOnly:
			return errors.New("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction")
		case b.ReadOnlyForceRecursive && b.Propagation != "rprivate":
			return errors.New("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction")
		}
	}
	if m.BindOptions != nil && m.BindOptions.Propagation != "" && !validPropagation(m.BindOptions.Propagation) {
		return fmt.Errorf("invalid propagation value: %s", m.BindOptions.Propagation)
	}
	return nil
}

func bindOptions(m *container.MountSpec) *container.BindOptions {
	if m.BindOptions == nil {
		m.BindOptions = &container.BindOptions{}
	}
	return m.BindOptions
}

func volumeOptions(m *container.MountSpec) *container.VolumeOptions {
	if m.VolumeOptions == nil {
		m.VolumeOptions = &container.VolumeOptions{}
	}
	return m.VolumeOptions
}

func tmpfsOptions(m *container.MountSpec) *container.TmpfsOptions {
	if m.TmpfsOptions == nil {
		m.TmpfsOptions = &container.TmpfsOptions{}
	}
	return m.TmpfsOptions
}

// ParseTmpfs reads the value of --tmpfs: path[:options].
func ParseTmpfs(raw string) (dest, options string, err error) {
	dest, options, _ = strings.Cut(raw, ":")
	if dest, err = CheckDestination(dest); err != nil {
		return "", "", err
	}
	for _, o := range strings.Split(options, ",") {
		name, value, _ := strings.Cut(o, "=")
		switch name {
		case "", "rw", "ro", "exec", "noexec", "suid", "nosuid", "dev", "nodev", "sync", "async", "dirsync",
			"atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime",
			"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol":
		default:
			return "", "", fmt.Errorf("invalid tmpfs option %q", o)
		}
		if name == "size" && !strings.HasSuffix(value, "%") {
			if _, err := format.ParseSize(value); err != nil {
				return "", "", fmt.Errorf("invalid tmpfs option %q", o)
			}
		}
	}
	return dest, options, nil
}
