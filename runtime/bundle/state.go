package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"skiff/storage/atomicfile"
	"skiff/storage/container"
	"skiff/storage/container/state"
	"skiff/storage/lock"
)

// Files of a container's directory, beside the configuration's copy.
const (
	stateFile = "state.json"
	// startFIFO is there until the process was started.
	startFIFO = "exec.fifo"
)

// Errors of the lifecycle.
var (
	// ErrNotFound says that there is no container of that id.
	ErrNotFound = errors.New("container does not exist")
	// ErrExists says that the id is taken.
	ErrExists = errors.New("container with given ID already exists")
	// ErrNotRunning says that there is no process to signal or to join. Other
	// engines look for runc's words.
	ErrNotRunning = errors.New("container not running")
)

// StateRoot is the directory that has a directory for each container.
type StateRoot string

// record is state.json. Its directory's lock guards it.
type record struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Owner       int               `json:"owner"` // user id of who made it
	// Pid is 0 until create is done; with the others it tells the process from a
	// later one of the same pid.
	Pid      int    `json:"pid"`
	PidStart uint64 `json:"pidStart"` // clock ticks after boot, proc(5)
	BootID   string `json:"bootId"`
	// Cgroups are the directories of its control groups.
	Cgroups []string `json:"cgroups,omitempty"`
}

// Container is one container of a state root.
type Container struct {
	dir string
	record
	unmet string // see Unmet
}

// State is the specification's state of a container with what runc adds
// (runtime.md, "State").
type State struct {
	Version     string               `json:"ociVersion"`
	ID          string               `json:"id"`
	Pid         int                  `json:"pid"`
	Status      rspec.ContainerState `json:"status"`
	Bundle      string               `json:"bundle"`
	Rootfs      string               `json:"rootfs"`
	Created     time.Time            `json:"created"`
	Annotations map[string]string    `json:"annotations,omitempty"`
	Owner       int                  `json:"-"`
}

// Open returns the container of that id, or ErrNotFound.
func (r StateRoot) Open(id string) (*Container, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	c := &Container{dir: filepath.Join(string(r), id)}
	data, err := os.ReadFile(filepath.Join(c.dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("container %q: %w", id, ErrNotFound)
	}
	if err == nil {
		err = json.Unmarshal(data, &c.record)
	}
	if err != nil {
		return nil, fmt.Errorf("read state of %q: %w", id, err)
	}
	return c, nil
}

// List returns all containers, by id.
func (r StateRoot) List() ([]*Container, error) {
	entries, err := os.ReadDir(string(r))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []*Container
	var broken error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		c, err := r.Open(e.Name())
		switch {
		case err == nil:
			list = append(list, c)
		case !errors.Is(err, ErrNotFound): // deleted meanwhile
			broken = errors.Join(broken, err)
		}
	}
	return list, broken
}

// checkID allows what runc does: it becomes a file name.
func checkID(id string) error {
	bad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_+-.", r))
	}
	if id == "" || id[0] == '.' || len(id) > 255 || strings.ContainsFunc(id, bad) {
		return fmt.Errorf("invalid container ID format: %q", id)
	}
	return nil
}

// State looks at the container as it is now.
func (c *Container) State() (State, error) {
	status, err := c.status()
	s := State{
		Version: c.Version, ID: c.ID, Status: status, Bundle: c.Bundle, Rootfs: c.Rootfs,
		Created: c.Created, Annotations: c.Annotations, Owner: c.Owner,
	}
	if status != rspec.StateStopped {
		s.Pid = c.Pid
	}
	return s, err
}

func (c *Container) status() (rspec.ContainerState, error) {
	if c.Pid == 0 {
		held, err := lock.TryDir(c.dir)
		if errors.Is(err, lock.ErrBusy) {
			return rspec.StateCreating, nil
		}
		held.Release()
		return rspec.StateStopped, err // its creator was killed
	}
	fd, err := c.open()
	if errors.Is(err, ErrNotRunning) {
		return rspec.StateStopped, nil
	}
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	if _, err := os.Stat(filepath.Join(c.dir, startFIFO)); err == nil {
		return rspec.StateCreated, nil
	}
	return rspec.StateRunning, nil
}

// open returns a pidfd of the container's process, or ErrNotRunning.
func (c *Container) open() (int, error) {
	fd, err := container.OpenProcess(state.State{Pid: c.Pid, PidStart: c.PidStart, BootID: c.BootID})
	if err == nil && fd < 0 {
		err = ErrNotRunning
	}
	return fd, err
}

// write publishes the record.
//
// Requires the directory's lock, exclusive, or that nobody else knows it.
func (c *Container) write() error {
	data, err := json.Marshal(&c.record)
	if err != nil {
		return err
	}
	// Volatile: its directory does not outlive a reboot, nor does the process.
	return atomicfile.Write(filepath.Join(c.dir, stateFile), data, 0o600, atomicfile.Volatile)
}

// spec returns the configuration that the container was made from.
func (c *Container) spec() (*rspec.Spec, error) { return readSpec(filepath.Join(c.dir, configFile)) }
