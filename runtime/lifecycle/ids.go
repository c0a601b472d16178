package lifecycle

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/runtime/launch"
	"skiff/runtime/spec"
	"skiff/runtime/stage/message"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/lock"
)

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
	switch {
	case h.IDMappings != nil:
		return givenIDs(f, h.IDMappings)
	case h.UsernsMode == "nomap":
		return noMap(f)
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

// noMap makes the maps of --userns nomap: all subordinate ids from root on, and
// not the user's own.
func noMap(f *spec.Facts) error {
	for _, m := range []struct {
		to   *[]rspec.LinuxIDMapping
		file string
	}{{&f.UIDMap, "/proc/self/uid_map"}, {&f.GIDMap, "/proc/self/gid_map"}} {
		extents, err := idExtents(m.file)
		if err != nil {
			return err
		}
		size := extents[len(extents)-1]
		if size < 2 {
			return &NoRangeError{"nomap"}
		}
		*m.to, _ = splitMapping(container.IDMapping{Container: 0, Host: 1, Size: uint32(size) - 1}, extents)
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

// outerID is a container's id as our own namespace has it.
func outerID(list []rspec.LinuxIDMapping, id int) (int, error) {
	if len(list) == 0 {
		return id, nil
	}
	for _, m := range list {
		if n := id - int(m.ContainerID); n >= 0 && n < int(m.Size) {
			return int(m.HostID) + n, nil
		}
	}
	return 0, fmt.Errorf("the container has no id %d", id)
}

// unowned reports whether the container's user namespace lacks the user's own
// ids: everything that is the user's is nobody's there.
func unowned(f *spec.Facts) bool {
	if len(f.UIDMap) == 0 {
		return false
	}
	has := func(list []rspec.LinuxIDMapping) bool {
		return slices.ContainsFunc(list, func(m rspec.LinuxIDMapping) bool { return m.HostID == 0 })
	}
	return !has(f.UIDMap) || !has(f.GIDMap)
}

// NoShiftError says that a container whose ids are not the user's cannot have
// this root.
type NoShiftError struct{ Mode, Why, Cure string }

func (e *NoShiftError) Error() string {
	return fmt.Sprintf("user namespace mode %q: %s", e.Mode, e.Why)
}

// Hint says what to do.
func (e *NoShiftError) Hint() string { return e.Cure }

// shift has the root of c shown with the container's ids, not the user's.
func shift(c *container.Container, o *message.Overlay, f *spec.Facts) error {
	mode, _, _ := strings.Cut(c.Config.Host.UsernsMode, ":")
	switch {
	case o == nil:
		return &NoShiftError{
			Mode: mode, Why: "the directory of --rootfs is the user's, whose ids this container does not have",
			Cure: "say --rootfs DIR:O for an overlay above it, or --userns keep-id",
		}
	case o.Fuse == "":
		return &NoShiftError{
			Mode: mode, Why: "the image's files are the user's, and only fuse-overlayfs shows them as another's without copying them",
			Cure: "install fuse-overlayfs, or use --userns keep-id:uid=UID,gid=GID",
		}
	}
	o.UIDMap, o.GIDMap = launch.IDMaps(f.UIDMap), launch.IDMaps(f.GIDMap)
	return nil
}

// own gives a file that was made for the container to its root.
func own(f *spec.Facts, path string) error {
	uid, err := outerID(f.UIDMap, 0)
	if err != nil {
		return err
	}
	gid, err := outerID(f.GIDMap, 0)
	if err != nil {
		return err
	}
	if err := rootless.Await(); err != nil {
		return err
	}
	return os.Lchown(path, uid, gid)
}

// minAutoIDs is how many ids --userns auto gives at least, as podman does.
const minAutoIDs = 1024

// AutoSize reads the value of --userns auto[:size=N]; 0 is as many as the image
// needs.
func AutoSize(mode string) (size uint32, err error) {
	_, options, _ := strings.Cut(mode, ":")
	if options == "" {
		return 0, nil
	}
	key, value, _ := strings.Cut(options, "=")
	n, err := strconv.ParseUint(value, 10, 31)
	if key != "size" || err != nil || n == 0 {
		return 0, fmt.Errorf("invalid option %q of auto, which takes size=N", options)
	}
	return uint32(n), nil
}

// isAuto reports whether a container's ids are chosen when it is created.
func isAuto(mode string) bool { return mode == "auto" || strings.HasPrefix(mode, "auto:") }

// chooseIDs gives cfg, with the user namespace mode auto, ids that no other such
// container has. The caller publishes it and releases the lock then.
func chooseIDs(ctx context.Context, st *storage.Store, cfg *container.Config) (*lock.Lock, error) {
	size, err := AutoSize(cfg.Host.UsernsMode)
	if err != nil {
		return nil, err
	}
	if err := rootless.Await(); err != nil {
		return nil, err
	}
	if !rootless.Rootless() {
		return nil, &NoShiftError{
			Mode: "auto", Why: "root has no subordinate ids to choose from",
			Cure: "name the ids with --uidmap and --gidmap",
		}
	}
	have := uint32(0)
	for _, file := range []string{"/proc/self/uid_map", "/proc/self/gid_map"} {
		extents, err := idExtents(file)
		if err != nil {
			return nil, err
		}
		if n := uint32(extents[len(extents)-1]); have == 0 || n < have {
			have = n
		}
	}
	if have < 2 {
		return nil, &NoRangeError{"auto"}
	}
	if size == 0 {
		size = idsOf(st, cfg)
	}
	held, err := lock.Exclusive(ctx, st.IDsLock())
	if err != nil {
		return nil, err
	}
	used, err := usedIDs(st)
	if err == nil {
		start, ok := freeIDs(used, size, have)
		if ok {
			m := container.IDMapping{Container: 0, Host: start, Size: size}
			cfg.Host.IDMappings = &container.IDMappings{UIDs: []container.IDMapping{m}, GIDs: []container.IDMapping{m}}
			return held, nil
		}
		err = &NoShiftError{
			Mode: "auto", Why: fmt.Sprintf("no %d of the user's %d subordinate ids are together and free", size, have-1),
			Cure: "remove containers with --userns auto, ask for fewer with auto:size=N, or add a line to /etc/subuid and /etc/subgid",
		}
	}
	held.Release()
	return nil, err
}

// usedIDs are the ids of all containers with the mode auto.
func usedIDs(st *storage.Store) ([]container.IDMapping, error) {
	list, err := container.List(st)
	var used []container.IDMapping
	for _, c := range list {
		if m := c.Config.Host.IDMappings; m != nil && isAuto(c.Config.Host.UsernsMode) {
			used = append(append(used, m.UIDs...), m.GIDs...)
		}
	}
	if len(list) > 0 {
		err = nil // one that cannot be read cannot be started
	}
	return used, err
}

// freeIDs finds the first size ids from 1 on and below end that are not used.
func freeIDs(used []container.IDMapping, size, end uint32) (start uint32, ok bool) {
	slices.SortFunc(used, func(a, b container.IDMapping) int { return int(a.Host) - int(b.Host) })
	start = 1
	for _, m := range used {
		if m.Host >= start && m.Host-start >= size {
			break
		}
		start = max(start, m.Host+m.Size)
	}
	return start, start < end && end-start >= size
}

// idsOf is how many ids a container needs: all that its image names, but nobody's.
func idsOf(st *storage.Store, cfg *container.Config) uint32 {
	most := uint32(minAutoIDs - 1)
	note := func(s string) {
		if n, err := strconv.ParseUint(s, 10, 31); err == nil && n != 65534 {
			most = max(most, uint32(n))
		}
	}
	for _, file := range []struct {
		path   string
		fields []int
	}{{"etc/passwd", []int{2, 3}}, {"etc/group", []int{2}}} {
		for _, dir := range rootDirs(st, cfg) {
			if eachRecord(dir, file.path, func(f []string) {
				for _, i := range file.fields {
					if i < len(f) {
						note(f[i])
					}
				}
			}) {
				break
			}
		}
	}
	user, group, _ := strings.Cut(cfg.Config.User, ":")
	note(user)
	note(group)
	for _, g := range cfg.Host.GroupAdd {
		note(g)
	}
	return most + 1
}

// rootDirs are the directories that make the root, topmost first.
func rootDirs(st *storage.Store, cfg *container.Config) []string {
	var dirs []string
	for _, id := range cfg.Layers {
		dirs = append(dirs, filepath.Join(st.Layers(), id, "diff"))
	}
	if cfg.Rootfs != "" {
		dirs = append(dirs, cfg.Rootfs)
	}
	return dirs
}

// eachRecord reads a file such as /etc/passwd beneath dir; false says that there
// is none. What is there is the image's: not more than a megabyte of it, and only
// of a regular file.
func eachRecord(dir, path string, do func(fields []string)) bool {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false
	}
	defer root.Close()
	f, err := root.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return true
	}
	for lines := bufio.NewScanner(io.LimitReader(f, 1<<20)); lines.Scan(); {
		do(strings.Split(lines.Text(), ":"))
	}
	return true
}
