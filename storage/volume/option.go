package volume

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Backing is where the contents of a volume with options are, decided from its
// options as docker's local driver takes them: type, device and o.
type Backing struct {
	// Tmpfs: each container that has the volume gets an empty file system in
	// memory, with Options.
	Tmpfs   bool
	Options []string // of a tmpfs
	// Bind is a directory of this machine that the contents are in.
	Bind     string
	ReadOnly bool
}

// Backing returns how the volume is mounted; the zero value is the plain
// directory Mountpoint.
func (v *Volume) Backing() (Backing, error) { return backing(v.Options) }

func backing(options map[string]string) (b Backing, err error) {
	for key := range options {
		if !slices.Contains([]string{"type", "device", "o", "size"}, key) {
			return b, fmt.Errorf("invalid option: %q", key)
		}
	}
	if _, ok := options["size"]; ok {
		return b, errors.New("quota size requested but no quota support")
	}
	_, hasType := options["type"]
	device, hasDevice := options["device"]
	o, hasO := options["o"]
	switch {
	case (hasType || hasO) && !hasDevice:
		return b, errors.New(`missing required option: "device"`)
	case (hasDevice || hasO) && !hasType:
		return b, errors.New(`missing required option: "type"`)
	case !hasType:
		return b, nil
	}
	words := strings.FieldsFunc(o, func(r rune) bool { return r == ',' })
	switch kind := options["type"]; kind {
	case "tmpfs":
		b.Tmpfs, b.Options = true, words
		for _, w := range words {
			name, _, _ := strings.Cut(w, "=")
			if !slices.Contains([]string{
				"size", "nr_blocks", "nr_inodes", "mode", "uid", "gid", "huge", "mpol", "ro", "rw", "noexec", "exec", "nosuid", "suid",
				"nodev", "dev", "noatime", "nodiratime", "relatime", "strictatime",
			}, name) {
				return b, fmt.Errorf("invalid tmpfs option %q", w)
			}
		}
	case "none", "bind", "":
		if !slices.Contains(words, "bind") && !slices.Contains(words, "rbind") && kind != "bind" {
			return b, fmt.Errorf("type %q needs bind among the options o", kind)
		}
		if !path.IsAbs(device) {
			return b, fmt.Errorf("invalid device %q: it must be an absolute path", device)
		}
		b.Bind, b.ReadOnly = path.Clean(device), slices.Contains(words, "ro")
	default:
		return b, fmt.Errorf("type %q is not supported: an ordinary user can mount tmpfs and bind only", kind)
	}
	return b, nil
}
