package launch

import (
	"fmt"
	"path"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"skiff/runtime/spec"
	"skiff/runtime/stage/message"
)

// mountOptions are the specification's options that are mount attributes
// (config.md, "Linux mount options"): set or cleared.
var mountOptions = [...]struct {
	name  string
	attr  uint64
	clear bool
}{
	{"ro", unix.MOUNT_ATTR_RDONLY, false},
	{"rw", unix.MOUNT_ATTR_RDONLY, true},
	{"nosuid", unix.MOUNT_ATTR_NOSUID, false},
	{"suid", unix.MOUNT_ATTR_NOSUID, true},
	{"nodev", unix.MOUNT_ATTR_NODEV, false},
	{"dev", unix.MOUNT_ATTR_NODEV, true},
	{"noexec", unix.MOUNT_ATTR_NOEXEC, false},
	{"exec", unix.MOUNT_ATTR_NOEXEC, true},
	{"nodiratime", unix.MOUNT_ATTR_NODIRATIME, false},
	{"diratime", unix.MOUNT_ATTR_NODIRATIME, true},
	{"nosymfollow", unix.MOUNT_ATTR_NOSYMFOLLOW, false},
	{"symfollow", unix.MOUNT_ATTR_NOSYMFOLLOW, true},
}

// atimeOptions set the one access time mode; mount_setattr(2) wants the old one
// cleared as a whole.
var atimeOptions = [...]struct {
	name string
	attr uint64
}{
	{"relatime", unix.MOUNT_ATTR_RELATIME},
	{"noatime", unix.MOUNT_ATTR_NOATIME},
	{"strictatime", unix.MOUNT_ATTR_STRICTATIME},
	{"norelatime", unix.MOUNT_ATTR_STRICTATIME},
	{"nostrictatime", unix.MOUNT_ATTR_RELATIME},
	{"atime", unix.MOUNT_ATTR_RELATIME},
}

// ignored options mean nothing to the kernel or are its default.
var ignored = [...]string{"defaults", "async", "nosync", "silent", "loud", "nomand", "iversion", "noiversion", "z", "Z", "auto", "noauto"}

// Mount parses one mount of the configuration.
func Mount(m *rspec.Mount) (*message.Mount, error) {
	if m.Destination == "" {
		return nil, fmt.Errorf("mount without a destination")
	}
	out := &message.Mount{Destination: path.Clean("/" + m.Destination), Type: m.Type, Source: m.Source}
	if out.Type == "cgroup" {
		out.Type = "cgroup2"
	}
	out.Optional = out.Type == "cgroup2" || out.Type == "mqueue"
	for _, o := range m.Options {
		if err := option(out, o); err != nil {
			return nil, fmt.Errorf("mount on %s: %w", m.Destination, err)
		}
	}
	if out.Type == "bind" || out.Type == "none" || out.Type == "" {
		out.Type, out.Data = "bind", nil
	}
	return out, nil
}

func option(m *message.Mount, o string) error {
	recursive := strings.HasPrefix(o, "r") && o != "ro" && o != "rw"
	for _, a := range mountOptions {
		switch {
		case o == a.name && a.clear:
			m.Set &^= a.attr
			m.Clear |= a.attr
			return nil
		case o == a.name:
			m.Clear &^= a.attr
			m.Set |= a.attr
			return nil
		case recursive && o[1:] == a.name && !a.clear:
			m.RecSet |= a.attr
			return nil
		}
	}
	for _, a := range atimeOptions {
		if o == a.name {
			m.Set = m.Set&^unix.MOUNT_ATTR__ATIME | a.attr
			m.Clear |= unix.MOUNT_ATTR__ATIME
			return nil
		}
	}
	if flags, ok := propagationFlag(o); ok {
		m.Propagation = flags
		return nil
	}
	for _, i := range ignored {
		if o == i {
			return nil
		}
	}
	switch {
	case o == "bind":
		m.Type = "bind"
	case o == "rbind":
		m.Type, m.Recursive = "bind", true
	case o == "tmpcopyup":
		m.CopyUp = true
	case strings.HasPrefix(o, spec.SubpathOption):
		m.Subpath = strings.TrimPrefix(o, spec.SubpathOption)
	case o == "idmap" || o == "ridmap":
		return fmt.Errorf("idmapped mounts are not supported yet")
	case o == "remount":
		return fmt.Errorf("option %q is not supported", o)
	default:
		m.Data = append(m.Data, o)
	}
	return nil
}

func propagationFlag(o string) (uintptr, bool) {
	for _, p := range [...]struct {
		name string
		flag uintptr
	}{
		{"private", unix.MS_PRIVATE}, {"shared", unix.MS_SHARED}, {"slave", unix.MS_SLAVE}, {"unbindable", unix.MS_UNBINDABLE},
	} {
		if o == p.name {
			return p.flag, true
		}
		if o == "r"+p.name {
			return p.flag | unix.MS_REC, true
		}
	}
	return 0, false
}
