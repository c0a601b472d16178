package lifecycle

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/runtime/spec"
	"skiff/storage/container"
)

// gatherFacts asks the machine what the translation must know.
func gatherFacts(_ context.Context, c *container.Container) (*spec.Facts, error) {
	f := &spec.Facts{Rootless: rootless.Rootless(), OneID: rootless.OneID()}
	var fs unix.Statfs_t
	f.UnifiedCgroup = unix.Statfs("/sys/fs/cgroup", &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC
	f.Namespaces = func(ref string) (string, error) {
		other, err := container.Find(c.Store, ref)
		if err != nil {
			return "", err
		}
		st, err := other.Status()
		if err != nil {
			return "", err
		}
		if !st.Running() {
			return "", fmt.Errorf("cannot join network of a non running container: %s", other.Config.ID)
		}
		return fmt.Sprintf("/proc/%d/ns", st.Pid), nil
	}
	if c.Config.Host.Privileged {
		f.HostDevices = hostDevices()
	}
	return f, idMaps(f, &c.Config.Host)
}

// ownIDs reports whether the container has a user namespace of its own.
func ownIDs(h *container.Host) bool { return h.UsernsMode != "" && h.UsernsMode != "host" }

// idMaps fills the maps of a user namespace of the container's own.
func idMaps(f *spec.Facts, h *container.Host) error {
	if !ownIDs(h) {
		return nil
	}
	if err := rootless.Await(); err != nil {
		return err
	}
	if h.IDMappings != nil {
		return givenIDs(f, h.IDMappings)
	}
	return keepID(f, h.UsernsMode)
}

// givenIDs makes the maps of --uidmap and --gidmap.
func givenIDs(f *spec.Facts, m *container.IDMappings) error {
	for _, m := range []struct {
		to   *[]rspec.LinuxIDMapping
		file string
		list []container.IDMapping
	}{{&f.UIDMap, "/proc/self/uid_map", m.UIDs}, {&f.GIDMap, "/proc/self/gid_map", m.GIDs}} {
		extents, err := idExtents(m.file)
		if err != nil {
			return err
		}
		for _, one := range m.list {
			list, ok := splitMapping(one, extents)
			if !ok {
				return fmt.Errorf("id map %d:%d:%d: the user has only the ids 0 to %d",
					one.Container, one.Host, one.Size, extents[len(extents)-1]-1)
			}
			*m.to = append(*m.to, list...)
		}
	}
	return nil
}

// splitMapping cuts a run of ids where ours change from one run of the outer
// ids to another: the kernel takes none that reaches over the border. ends are
// where our runs end. ok is false for ids that we do not have.
func splitMapping(m container.IDMapping, ends []int) (list []rspec.LinuxIDMapping, ok bool) {
	for _, end := range ends {
		if m.Size == 0 || int(m.Host) >= end {
			continue
		}
		n := min(m.Size, uint32(end)-m.Host)
		list = append(list, rspec.LinuxIDMapping{ContainerID: m.Container, HostID: m.Host, Size: n})
		m.Container, m.Host, m.Size = m.Container+n, m.Host+n, m.Size-n
	}
	return list, m.Size == 0
}

// hostDevices are the character and block devices directly in /dev that this
// user may open, without terminals.
func hostDevices() []string {
	entries, err := os.ReadDir("/dev")
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		name := "/dev/" + e.Name()
		if e.Type()&os.ModeDevice == 0 || e.Name() == "console" || e.Name() == "ptmx" || strings.HasPrefix(e.Name(), "tty") {
			continue
		}
		if unix.Access(name, unix.R_OK) == nil {
			out = append(out, name)
		}
	}
	return out
}

// NoRangeError says that a mapping needs subordinate ids and there are none.
type NoRangeError struct{ Mode string }

func (e *NoRangeError) Error() string {
	return fmt.Sprintf("user namespace mode %q needs subordinate ids", e.Mode)
}

// Hint says where they come from.
func (e *NoRangeError) Hint() string {
	return "add a line for the user to /etc/subuid and /etc/subgid, as `usermod --add-subuids` does"
}

// keepID makes the maps of --userns keep-id[:uid=U,gid=G]: the caller, who is 0
// in our namespace, becomes U inside, and the subordinate ids fill up the rest
// in order. No file is touched: what is root's in the image shows as U's.
func keepID(f *spec.Facts, mode string) error {
	uid, gid := rootless.UID(), rootless.GID()
	if _, options, ok := strings.Cut(mode, ":"); ok {
		for _, o := range strings.Split(options, ",") {
			key, value, _ := strings.Cut(o, "=")
			n, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return fmt.Errorf("invalid user namespace mode %q", mode)
			}
			switch key {
			case "uid":
				uid = int(n)
			case "gid":
				gid = int(n)
			default:
				return fmt.Errorf("invalid user namespace mode %q", mode)
			}
		}
	}
	for _, m := range []struct {
		to   *[]rspec.LinuxIDMapping
		file string
		id   int
	}{{&f.UIDMap, "/proc/self/uid_map", uid}, {&f.GIDMap, "/proc/self/gid_map", gid}} {
		extents, err := idExtents(m.file)
		if err != nil {
			return err
		}
		size := extents[len(extents)-1]
		if size <= m.id {
			return &NoRangeError{mode}
		}
		id := uint32(m.id)
		for _, one := range []container.IDMapping{
			{Container: id, Host: 0, Size: 1},
			{Container: 0, Host: 1, Size: id},
			{Container: id + 1, Host: id + 1, Size: uint32(size) - id - 1},
		} {
			list, _ := splitMapping(one, extents) // we have size ids
			*m.to = append(*m.to, list...)
		}
	}
	return nil
}

// keptUser is the id that the caller has in a keep-id map.
func keptUser(list []rspec.LinuxIDMapping) string { return strconv.Itoa(int(list[0].ContainerID)) }

// idExtents returns where each of the consecutive runs of ids, the first of
// which begins with 0, ends in a namespace.
func idExtents(file string) (ends []int, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read id map: %w", err)
	}
	next := 0
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		var inside, outside, size int
		if _, err := fmt.Sscan(line, &inside, &outside, &size); err != nil || inside != next {
			break
		}
		next += size
		ends = append(ends, next)
	}
	if len(ends) == 0 {
		return nil, fmt.Errorf("read id map: %s maps no id 0", file)
	}
	return ends, nil
}
