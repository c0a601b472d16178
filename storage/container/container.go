package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"skiff/storage"
	"skiff/storage/atomicfile"
	"skiff/storage/container/state"
	"skiff/storage/lock"
	"skiff/storage/temp"
)

var (
	// ErrNotFound says that no container has the name or id.
	ErrNotFound = errors.New("no such container")
	// ErrAmbiguous says that an id prefix fits several containers.
	ErrAmbiguous = errors.New("multiple IDs found with provided prefix")
	// ErrNameTaken says that another container has the name.
	ErrNameTaken = errors.New("name already in use")
)

// File names within a container's directory.
const (
	configFile = "config.json"
	// LockFile is the run lock: held by the monitor for its whole life.
	LockFile = "lock"
	// SocketFile is the monitor's control socket.
	SocketFile = "control.sock"
	// LogFile is the newest log; older ones have .1, .2, ... behind.
	LogFile = "log"
	// UpperDir is the writable layer, WorkDir overlay's scratch beside it.
	UpperDir, WorkDir = "upper", "work"
	// RootDir is where fuse-overlayfs mounts the root, where it does.
	RootDir = "root"
	// Symbolic links that are not in their place yet: in Store.Names, in Store.Running.
	nameAttempt, runningAttempt = ".name", ".running"
)

// Container is one container's directory, read at one moment.
type Container struct {
	Store  *storage.Store
	Config *Config
	maker  *lock.Lock // of the run lock's file, see Publish
}

// Dir is the container's directory.
func (c *Container) Dir() string { return filepath.Join(c.Store.Containers(), c.Config.ID) }

// Lock takes the op lock: what a command holds exclusively while it starts,
// removes or changes the container. It is the directory's own (flock); a
// container that is gone is ErrNotFound.
func (c *Container) Lock(ctx context.Context) (*lock.Lock, error) {
	l, err := lock.Dir(ctx, c.Dir())
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%q: %w", c.Config.ID, ErrNotFound)
	}
	return l, err
}

// TryLock is Lock that does not wait: lock.ErrBusy.
func (c *Container) TryLock() (*lock.Lock, error) { return lock.TryDir(c.Dir()) }

// Load reads the container with the full id. It returns ErrNotFound when the
// directory is absent, and *atomicfile.DamagedError or *atomicfile.NewerError when
// its configuration is not one.
func Load(st *storage.Store, id string) (*Container, error) {
	var cfg Config
	dir := filepath.Join(st.Containers(), id)
	path := filepath.Join(dir, configFile)
	err := atomicfile.ReadDocument(path, &cfg, &cfg.Version, Version)
	if errors.Is(err, os.ErrNotExist) {
		err = atomicfile.Missing(path, dir)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%q: %w", id, ErrNotFound)
	}
	if atomicfile.IsDamaged(err) && lost(path) {
		return nil, fmt.Errorf("%q: %w", id, ErrNotFound)
	}
	if err == nil && cfg.ID != id {
		err = &atomicfile.DamagedError{Path: path, Reason: "it names the container " + cfg.ID}
	}
	if err != nil {
		return nil, fmt.Errorf("read container %.12s: %w", id, err)
	}
	return &Container{Store: st, Config: &cfg}, nil
}

// Find returns the container that ref names: a name (with or without docker's
// leading slash), a full id, or a unique prefix of one; a name beats a prefix.
func Find(st *storage.Store, ref string) (*Container, error) {
	name := strings.TrimPrefix(ref, "/")
	if validName(name) {
		if id, err := os.Readlink(filepath.Join(st.Names(), name)); err == nil {
			if c, err := Load(st, id); !errors.Is(err, ErrNotFound) {
				return c, err
			}
		}
	}
	if !isHex(ref) || len(ref) > 64 {
		return nil, fmt.Errorf("%q: %w", ref, ErrNotFound)
	}
	if len(ref) == 64 {
		return Load(st, ref)
	}
	ids, err := IDs(st)
	if err != nil {
		return nil, err
	}
	first := sort.SearchStrings(ids, ref)
	if first == len(ids) || !strings.HasPrefix(ids[first], ref) {
		return nil, fmt.Errorf("%q: %w", ref, ErrNotFound)
	}
	if first+1 < len(ids) && strings.HasPrefix(ids[first+1], ref) {
		return nil, fmt.Errorf("%q: %w", ref, ErrAmbiguous)
	}
	return Load(st, ids[first])
}

// IDs returns the ids of all containers, sorted.
func IDs(st *storage.Store) ([]string, error) {
	dir, err := os.Open(st.Containers())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	ids := names[:0]
	for _, n := range names {
		if len(n) == 64 && isHex(n) {
			ids = append(ids, n)
		}
	}
	sort.Strings(ids)
	return ids, nil
}

// List returns all containers, newest first. One that vanished meanwhile, or
// would have but for a kill, is left out; one whose configuration cannot be read is reported in err beside
// the others.
func List(st *storage.Store) ([]*Container, error) {
	ids, err := IDs(st)
	if err != nil {
		return nil, err
	}
	found := make([]*Container, len(ids))
	failed := make([]error, len(ids))
	Each(len(ids), func(i int) {
		c, err := Load(st, ids[i])
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			failed[i] = err
		case !c.Vanished():
			found[i] = c
		}
	})
	all := slices.DeleteFunc(found, func(c *Container) bool { return c == nil })
	sort.SliceStable(all, func(i, j int) bool { return all[i].Config.Created.After(all[j].Config.Created) })
	return all, errors.Join(failed...)
}

// side is how many containers one processor reads before it is worth waking
// another.
const side = 32

// Each calls do with 0 to n-1, in no order, on as many processors as pay.
func Each(n int, do func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), 1+n/side)
	var next atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	all.Wait()
}

// Save publishes a changed configuration (rename, update) durably.
// Requires the container's op lock, exclusive.
func (c *Container) Save() error {
	data, err := atomicfile.Encode(c.Config)
	if err != nil {
		return fmt.Errorf("write container: %w", err)
	}
	if err := atomicfile.Reclaim(c.Dir(), configFile); err != nil {
		return fmt.Errorf("write container: %w", err)
	}
	return temp.WriteFile(context.Background(), c.Store, filepath.Join(c.Dir(), configFile), data, c.configMode(), c.durability())
}

// A configuration that was synced has one mode, another one the other: it may be
// empty after a power cut, and is then known not to be damaged.
const (
	durableMode  = 0o600
	volatileMode = 0o400
)

func (c *Container) configMode() os.FileMode {
	if c.durability() == atomicfile.Durable {
		return durableMode
	}
	return volatileMode
}

// lost reports whether a power cut took a configuration that was not synced: that of
// a container that was to vanish at its end, which has come.
func lost(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Size() == 0 && info.Mode().Perm() == volatileMode
}

// Lost reports whether a power cut took the container with the id, which was to
// vanish at its end.
func Lost(st *storage.Store, id string) bool {
	return lost(filepath.Join(st.Containers(), id, configFile))
}

// RemoveLost deletes what a power cut left of a container that was to vanish at its
// end. Its name is known by the link that leads to it only.
func RemoveLost(st *storage.Store, id string) error {
	c := &Container{Store: st, Config: &Config{ID: id, Name: NameOf(st, id)}}
	op, err := c.TryLock()
	if err != nil {
		return nil // somebody is at it
	}
	defer op.Release()
	if !Lost(st, id) || !c.deserted() {
		return nil
	}
	if err := c.Remove(); !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

// durability: nobody misses a container that was to vanish at its end.
func (c *Container) durability() atomicfile.Durability {
	return atomicfile.Durability(!c.Config.Host.AutoRemove)
}

// Holder returns the pid of the living monitor, 0 when there is none.
func (c *Container) Holder() (int, error) { return lock.RunHolder(filepath.Join(c.Dir(), LockFile)) }

// State returns what the monitor published last.
func (c *Container) State() (state.State, error) { return state.Read(c.Dir()) }

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}
