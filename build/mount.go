package build

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"skiff/build/dockerfile"
	"skiff/runtime/lifecycle"
	"skiff/storage/container"
	"skiff/storage/lock"
)

// mount is one --mount of a RUN.
type mount struct {
	kind, from, source, target, id, sharing string
	readOnly, required                      bool
	env                                     *string
	size                                    int64
	mode, uid, gid                          *uint64
	// key stands for the contents in the step's key.
	key string
	// state is what from names; nil is the context.
	state *state
}

var mountKinds = []string{"bind", "cache", "tmpfs", "secret", "ssh"}

// parseMounts reads the mounts of a RUN. The words of refusals are BuildKit's.
func (e *evaluation) parseMounts(c *dockerfile.Command) ([]*mount, error) {
	var out []*mount
	for _, text := range c.Mounts {
		m, err := parseMount(text, e.expand)
		if err != nil {
			return nil, err
		}
		if m.target != "" && !path.IsAbs(m.target) {
			m.target = path.Join(e.process().WorkingDir, m.target)
		}
		if m.kind == "ssh" && m.target == "" {
			m.target = fmt.Sprintf("/run/buildkit/ssh_agent.%d", len(out))
		}
		out = append(out, m)
	}
	return out, nil
}

func parseMount(text string, expand func(string) (string, error)) (*mount, error) {
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return nil, fmt.Errorf("failed to parse csv mounts: %w", err)
	}
	m := &mount{kind: "bind"}
	auto := true
	for _, f := range fields {
		key, value, given := strings.Cut(f, "=")
		key = strings.ToLower(key)
		if given && key != "from" {
			if value, err = expand(value); err != nil {
				return nil, err
			}
		}
		if !given {
			switch key {
			case "ro", "readonly", "rw", "readwrite", "required":
				value = "true"
			default:
				return nil, fmt.Errorf("invalid field '%s' must be a key=value pair", f)
			}
		}
		number := func(base int) (*uint64, error) {
			n, err := strconv.ParseUint(value, base, 32)
			if err != nil {
				return nil, fmt.Errorf("invalid value %s for %s", value, key)
			}
			return &n, nil
		}
		switch key {
		case "type":
			m.kind = strings.ToLower(value)
			if !slices.Contains(mountKinds, m.kind) {
				return nil, fmt.Errorf("unsupported mount type %q", value)
			}
		case "from":
			if strings.Contains(value, "$") {
				return nil, fmt.Errorf("'%s' doesn't support variable expansion, define alias stage instead", key)
			}
			m.from = value
		case "source", "src":
			m.source = value
		case "target", "dst", "destination":
			m.target = value
		case "ro", "readonly", "rw", "readwrite":
			b, err := strconv.ParseBool(value)
			if err != nil {
				return nil, fmt.Errorf("invalid value for %s: %s", key, value)
			}
			m.readOnly, auto = b == strings.HasPrefix(key, "ro") || key == "readonly" && b, false
			if strings.HasPrefix(key, "rw") || key == "readwrite" {
				m.readOnly = !b
			} else {
				m.readOnly = b
			}
		case "required":
			if m.kind != "secret" && m.kind != "ssh" {
				return nil, fmt.Errorf("unexpected key '%s' for mount type '%s'", key, m.kind)
			}
			if m.required, err = strconv.ParseBool(value); err != nil {
				return nil, fmt.Errorf("invalid value for %s: %s", key, value)
			}
		case "size":
			if m.kind != "tmpfs" {
				return nil, fmt.Errorf("unexpected key '%s' for mount type '%s'", key, m.kind)
			}
			if m.size, err = ParseBytes(value); err != nil {
				return nil, fmt.Errorf("invalid value for %s: %s", key, value)
			}
		case "id":
			m.id = value
		case "sharing":
			m.sharing = strings.ToLower(value)
			if !slices.Contains([]string{"shared", "private", "locked"}, m.sharing) {
				return nil, fmt.Errorf("unsupported sharing value %q", value)
			}
		case "mode":
			m.mode, err = number(8)
		case "uid":
			m.uid, err = number(10)
		case "gid":
			m.gid, err = number(10)
		case "env":
			m.env = &value
		default:
			return nil, fmt.Errorf("unexpected key '%s' in '%s'", key, f)
		}
		if err != nil {
			return nil, err
		}
	}
	if auto {
		m.readOnly = m.kind != "cache" && m.kind != "tmpfs"
	}
	return m, m.check()
}

func (m *mount) check() error {
	owned := m.kind == "secret" || m.kind == "ssh" || m.kind == "cache"
	for _, f := range []struct {
		name string
		set  bool
	}{{"mode", m.mode != nil}, {"uid", m.uid != nil}, {"gid", m.gid != nil}} {
		if f.set && !owned {
			return fmt.Errorf("%s not allowed for %q type mounts", f.name, m.kind)
		}
	}
	if m.sharing != "" && m.kind != "cache" {
		return fmt.Errorf("invalid cache sharing set for %v mount", m.kind)
	}
	switch m.kind {
	case "secret":
		if m.from != "" {
			return errors.New("secret mount should not have a from")
		}
		if m.source == "" && m.target == "" && m.id == "" {
			return errors.New("invalid secret mount. one of source, target required")
		}
		if m.source != "" && m.id != "" {
			return errors.New("both source and id can't be set")
		}
		if m.id == "" {
			m.id = m.source
		}
		if m.id == "" {
			m.id = path.Base(m.target)
		}
		if m.target == "" && m.env == nil {
			m.target = "/run/secrets/" + path.Base(m.id)
		}
	case "ssh":
		if m.id == "" {
			m.id = "default"
		}
	case "tmpfs", "cache", "bind":
		if m.target == "" {
			return fmt.Errorf("target is required for %q mount", m.kind)
		}
		if path.Clean("/"+m.target) == "/" {
			return fmt.Errorf("invalid mount target %q", m.target)
		}
	}
	return nil
}

// ParseBytes reads a number with an optional unit of 1024.
func ParseBytes(text string) (int64, error) {
	number := strings.TrimRight(strings.ToLower(text), "ib")
	unit := int64(1)
	if i := strings.IndexAny(number, "kmgt"); i == len(number)-1 && i > 0 {
		unit = 1 << (10 * (1 + strings.IndexByte("kmgt", number[i])))
		number = number[:i]
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("invalid size %q", text)
	}
	return n * unit, nil
}

// mountKeys are what of the mounts a step's key is made of: never a secret,
// never what a cache holds.
func (e *evaluation) mountKeys(mounts []*mount) ([]string, error) {
	var keys []string
	for _, m := range mounts {
		switch m.kind {
		case "bind":
			if err := e.bindKey(m); err != nil {
				return nil, err
			}
		case "cache":
			if m.from != "" {
				st, err := e.stateOf(m.from)
				if err != nil {
					return nil, err
				}
				m.state = st
			}
		}
		keys = append(keys, m.kind, m.target, m.source, m.id, m.key, fmt.Sprint(m.readOnly))
		if m.env != nil {
			keys = append(keys, *m.env)
		}
	}
	return keys, nil
}

func (e *evaluation) bindKey(m *mount) error {
	if m.from == "" {
		src, err := e.contextSource()
		if err != nil {
			return err
		}
		list, err := src.find(m.source, nil)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return notFound(m.source)
		}
		m.key, err = src.digest(list, false)
		return err
	}
	st, err := e.stateOf(m.from)
	if err != nil {
		return err
	}
	m.state, m.key = st, st.key
	return nil
}

// attach makes what the mounts show and adds them to the container. clean is
// never nil.
func (w *work) attach(mounts []*mount, cfg *container.Config) (clean func(), err error) {
	var undo []func()
	clean = func() {
		for _, f := range slices.Backward(undo) {
			f()
		}
	}
	for i, m := range mounts {
		dir := filepath.Join(w.dir, fmt.Sprintf("mount-%d", i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return clean, err
		}
		var release func()
		switch m.kind {
		case "bind":
			release, err = w.bind(m, dir, cfg)
		case "cache":
			release, err = w.cacheMount(m, dir, cfg)
		case "tmpfs":
			options := []string{"mode=1777"}
			if m.size > 0 {
				options = append(options, fmt.Sprintf("size=%d", m.size))
			}
			cfg.Mounts = append(cfg.Mounts, container.Mount{Type: "tmpfs", Destination: m.target, RW: true, Options: options})
		case "secret":
			release, err = w.secret(m, dir, cfg)
		case "ssh":
			err = w.agent(m, cfg)
		}
		if release != nil {
			undo = append(undo, release)
		}
		if err != nil {
			return clean, err
		}
	}
	return clean, nil
}

// bind shows a directory or file of the context, an image or a stage. What is
// written there is thrown away.
func (w *work) bind(m *mount, dir string, cfg *container.Config) (func(), error) {
	var lower []string
	if m.state != nil {
		lower = m.state.dirs(w.builder)
	} else {
		// Of the context only what .dockerignore lets through is there.
		src, err := w.contextSource()
		if err != nil {
			return nil, err
		}
		copied := filepath.Join(dir, "context")
		if err := os.Mkdir(copied, 0o755); err != nil {
			return nil, err
		}
		root, err := os.Open(copied)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		list, err := src.find(m.source, nil)
		if err != nil {
			return nil, err
		}
		t := &tree{root: root}
		for _, f := range list {
			to := path.Join("/", m.source)
			if err := t.put(w.ctx, f, to, putOptions{epoch: w.Epoch, owner: &owner{}}); err != nil {
				return nil, err
			}
		}
		lower = []string{copied}
	}
	for _, name := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return nil, err
		}
	}
	o, err := w.overlay(lower, dir, filepath.Join(dir, "upper"), filepath.Join(dir, "work"))
	if err != nil {
		return nil, err
	}
	release, err := lifecycle.AttachRoot(o)
	if err != nil {
		return nil, err
	}
	source, err := pathBeneath(o.Target, m.source)
	if err != nil {
		release()
		return nil, err
	}
	cfg.Mounts = append(cfg.Mounts, container.Mount{Type: "bind", Source: source, Destination: m.target, RW: !m.readOnly})
	return release, nil
}

// pathBeneath resolves name in the directory root, out of which no link leads, and
// returns the path of what was found. Nobody changes the tree meanwhile.
func pathBeneath(root, name string) (string, error) {
	dir, err := os.Open(root)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	f, err := (&tree{root: dir}).open(name, unix.O_PATH)
	if errors.Is(err, unix.ENOENT) {
		return "", notFound(name)
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	found, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err == nil && found != root && !strings.HasPrefix(found, root+"/") {
		err = fmt.Errorf("%s is not beneath its source", name)
	}
	return found, err
}

// cacheMount shows a directory that outlives the build. Its name is made of the
// id, so that no id can lead out of the cache.
func (w *work) cacheMount(m *mount, scratch string, cfg *container.Config) (func(), error) {
	id := m.id
	if id == "" {
		id = path.Clean(m.target)
	}
	base := w.cache.path(mountsDir)
	if err := os.Mkdir(base, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	name := keyOf(w.Args["BUILDKIT_CACHE_MOUNT_NS"], id)
	from := ""
	if m.state != nil {
		from = m.state.key + m.source
		name = keyOf(name, from)
	}
	var held *lock.Lock
	var err error
	dir := filepath.Join(base, name)
	switch m.sharing {
	case "locked":
		held, err = lock.Exclusive(w.ctx, dir+".lock")
	case "private":
		// The first one that nobody uses.
		for n := 0; ; n++ {
			if n > 0 {
				dir = filepath.Join(base, fmt.Sprintf("%s.%d", name, n))
			}
			if held, err = lock.TryExclusive(dir + ".lock"); !errors.Is(err, lock.ErrBusy) {
				break
			}
		}
	default:
		held, err = lock.Shared(w.ctx, dir+".lock")
	}
	if err != nil {
		return nil, fmt.Errorf("cache mount %q: %w", id, err)
	}
	release := func() {
		now := time.Now()
		_ = os.Chtimes(dir+".lock", now, now) // last used
		held.Release()
	}
	if _, err := os.Lstat(dir); err != nil {
		if err := w.newCacheMount(m, dir, scratch); err != nil {
			release()
			return nil, err
		}
		_ = os.WriteFile(dir+".id", []byte(id), 0o600)
	}
	cfg.Mounts = append(cfg.Mounts, container.Mount{Type: "bind", Source: dir, Destination: m.target, RW: !m.readOnly})
	return release, nil
}

// newCacheMount makes the directory, whole, with what from has in it.
func (w *work) newCacheMount(m *mount, dir, scratch string) error {
	made := filepath.Join(scratch, "cache")
	mode := os.FileMode(0o755)
	if m.mode != nil {
		mode = os.FileMode(*m.mode & 0o777)
	}
	var own owner
	if m.uid != nil {
		own.uid = int(*m.uid)
	}
	if m.gid != nil {
		own.gid = int(*m.gid)
	}
	if err := os.Mkdir(made, 0o755); err != nil {
		return err
	}
	if m.state != nil {
		src, err := w.stateSource(m.state)
		if err != nil {
			return err
		}
		defer src.close()
		list, err := src.find(m.source, nil)
		if err != nil {
			return err
		}
		root, err := os.Open(made)
		if err != nil {
			return err
		}
		defer root.Close()
		t := &tree{root: root}
		for _, f := range list {
			if err := t.put(w.ctx, f, "/", putOptions{}); err != nil {
				return err
			}
		}
	}
	if err := os.Chown(made, own.uid, own.gid); err != nil {
		return err
	}
	if err := unix.Chmod(made, uint32(mode)); err != nil {
		return err
	}
	err := os.Rename(made, dir)
	if _, there := os.Lstat(dir); there == nil {
		return nil // somebody else's is as good
	}
	return err
}

// secret shows a value that nothing keeps: its file is in memory.
func (w *work) secret(m *mount, dir string, cfg *container.Config) (func(), error) {
	value, ok := w.Secrets[m.id]
	if !ok {
		if m.required {
			return nil, fmt.Errorf("secret %s: not found", m.id)
		}
		return nil, nil
	}
	if m.env != nil {
		name := *m.env
		if name == "" {
			name = m.id
		}
		cfg.Config.Env = setEnv(slices.Clone(cfg.Config.Env), name, string(value))
		if m.target == "" {
			return nil, nil
		}
	}
	mode := uint32(0o400)
	if m.mode != nil {
		mode = uint32(*m.mode & 0o777)
	}
	release, err := lifecycle.AttachMemory(dir)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", m.id, err)
	}
	uid, gid := 0, 0
	if m.uid != nil {
		uid = int(*m.uid)
	}
	if m.gid != nil {
		gid = int(*m.gid)
	}
	name := filepath.Join(dir, "secret")
	err = os.WriteFile(name, value, 0o600)
	if err = errors.Join(err, os.Chown(name, uid, gid), unix.Chmod(name, mode)); err != nil {
		release()
		return nil, fmt.Errorf("secret %s: %w", m.id, err)
	}
	cfg.Mounts = append(cfg.Mounts, container.Mount{Type: "bind", Source: name, Destination: m.target})
	return release, nil
}

// agent shows the socket of an ssh agent.
func (w *work) agent(m *mount, cfg *container.Config) error {
	socket, ok := w.SSH[m.id]
	if !ok {
		if m.required {
			return fmt.Errorf("no SSH key %q forwarded from the client", m.id)
		}
		return nil
	}
	cfg.Mounts = append(cfg.Mounts, container.Mount{Type: "bind", Source: socket, Destination: m.target, RW: true})
	cfg.Config.Env = setEnv(slices.Clone(cfg.Config.Env), "SSH_AUTH_SOCK", m.target)
	return nil
}

// absent lists the paths that do not exist in the root and that a mount needs,
// parents before what is in them.
func (w *work) absent(mounts []*mount) ([]string, error) {
	if len(mounts) == 0 {
		return nil, nil
	}
	dir := filepath.Join(w.dir, "before")
	upper, scratch := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(upper, 0o755), os.Mkdir(scratch, 0o700)); err != nil {
		return nil, err
	}
	root, release, err := w.mountLayers(w.dirs(w.builder), dir, upper, scratch)
	if err != nil {
		return nil, err
	}
	defer release()
	t := &tree{root: root}
	var missing []string
	for _, m := range mounts {
		at := "/"
		for _, part := range strings.Split(strings.Trim(path.Clean("/"+m.target), "/"), "/") {
			at = path.Join(at, part)
			f, err := t.open(at, unix.O_PATH)
			if err == nil {
				f.Close()
			} else if !slices.Contains(missing, at) {
				missing = append(missing, at)
			}
		}
	}
	return missing, nil
}

// sweepStubs removes the empty files and directories that were made to mount
// on. It works on the step's own layer only, follows no link there and removes
// nothing that has contents.
func (w *work) sweepStubs(missing []string) error {
	root, err := os.Open(w.diff())
	if err != nil {
		return err
	}
	defer root.Close()
	slices.SortFunc(missing, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	for _, name := range missing {
		dir, base := path.Split(name)
		at, err := openIn(int(root.Fd()), dir, unix.O_RDONLY|unix.O_DIRECTORY, 0, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
		if err != nil {
			continue // the process put something else there
		}
		var st unix.Stat_t
		if unix.Fstatat(int(at.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			switch {
			case st.Mode&unix.S_IFMT == unix.S_IFDIR:
				_ = unix.Unlinkat(int(at.Fd()), base, unix.AT_REMOVEDIR) // one that is not empty stays
			case st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0:
				_ = unix.Unlinkat(int(at.Fd()), base, 0)
			}
		}
		at.Close()
	}
	return nil
}
